"""Write the parts of the documents that come from the katas and from real runs, or say which are stale.

    python docs/screens.py           # write them
    python docs/screens.py --check   # exit status 1 where one is not what a run shows today
    python docs/screens.py README.md # of these documents only

A screen is what its command prints in a copy of the checkout in which every kata is a fresh stub, but for the files
that the screen names. Where a run says how long it took, the document says one second.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from grading.authoring.submissions import FOLDER as SUBMISSIONS
from grading.catalog import ROOT, TRACKS, Catalog, read_toml
from grading.examination.examiner import Examiner
from grading.stubs import stub
from grading.texts import Texts

DOCUMENTS = {
    "README.md": "en",
    "README.zh-CN.md": "zh",
    "docs/guide.md": "en",
    "docs/trials.md": "en",
    "docs/security.md": "en",
}
TRIALS = ROOT / "docs" / "trials.toml"
FENCES = ROOT / "benchmarks" / "results" / "fences.json"
MOST_NAMES = 6  # of files in a cell of the table of fences
LAYERS = {"landlock": "Landlock", "audit": "audit hook", "forbidden": "forbidden functions"}  # others as they are
WIDTH = 88
SEED = "7"
HEADS = {
    "en": ("kata", "you write", "minutes", "checks", "notebook"),
    "zh": ("题目", "要写的内容", "分钟", "检查项", "notebook"),
}
NAMES = {"en": {"core": "Core track", "further": "Further track"}, "zh": {"core": "核心", "further": "进阶"}}
COPIED = ("grader.py", "grading", "katas", "solutions", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Screen:
    """A command, and what is written in problems/ when it runs: a file, and what is exchanged in it."""

    command: str
    files: dict[str, str] = field(default_factory=dict)
    exchanged: tuple[tuple[str, str], ...] = ()


HALF_DONE = (
    (
        'raise NotImplementedError("causal_mask")',
        "key_len = query_len if key_len is None else key_len\n"
        "    return torch.ones(query_len, key_len, dtype=torch.bool).tril(key_len - query_len)",
    ),
)
MENDED = ((".repeat(1, self.group_size, 1, 1)", ".repeat_interleave(self.group_size, dim=1)"),)
SCREENS = {
    "wrong": Screen("python grader.py gqa", {"gqa": "tests/submissions/wrong/gqa/kv-heads-tiled.py"}),
    "right": Screen("python grader.py gqa", {"gqa": "tests/submissions/wrong/gqa/kv-heads-tiled.py"}, MENDED),
    "half": Screen("python grader.py causal_mask", {"causal_mask": "problems/causal_mask.py"}, HALF_DONE),
    "pytest": Screen("pytest -q tests/test_causal_mask.py", {"causal_mask": "problems/causal_mask.py"}, HALF_DONE),
}


class Checkout:
    """A copy of the repository in which nothing is written yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        leave_out = shutil.ignore_patterns("__pycache__", "right", "hostile", "engine")
        for name in COPIED:
            source, target = ROOT / name, folder / name
            shutil.copytree(source, target, ignore=leave_out) if source.is_dir() else shutil.copy(source, target)
        (folder / "problems").mkdir()
        self.reset()

    def reset(self) -> None:
        for kata in Catalog().katas:
            (self.folder / "problems" / f"{kata.stem}.py").write_text(stub(kata), encoding="utf-8")

    def shown(self, screen: Screen, language: str) -> str:
        """The command, and what it prints."""
        for stem, source in screen.files.items():
            text = (self.folder / source).read_text(encoding="utf-8")
            for old, new in screen.exchanged:
                text = text.replace(old, new)
            (self.folder / "problems" / f"{stem}.py").write_text(text, encoding="utf-8")
        lines = [line.rstrip() for line in normal(self._run(screen.command, language)).rstrip().splitlines()]
        self.reset()
        return "\n".join(["```", f"$ {screen.command}", *lines, "```"])

    def _run(self, command: str, language: str) -> str:
        program, *arguments = command.split()
        python = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"] if program == "pytest" else [sys.executable]
        environment = os.environ | {"COLUMNS": str(WIDTH), "KATA_LANG": language, "NO_COLOR": "1"}
        done = subprocess.run(
            [*python, *arguments, "--seed", SEED],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        if done.returncode > 1:
            raise RuntimeError(f"{command} failed:\n{done.stdout}")
        return done.stdout

    def checks(self) -> dict[str, int]:
        """How many checks each kata has."""
        tests = [str(kata.tests.relative_to(ROOT)) for kata in Catalog().katas]
        listed = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider", *tests],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
        ).stdout
        return {stem: int(count) for stem, count in re.findall(r"tests/test_(\w+)\.py: (\d+)", listed)}


def normal(text: str) -> str:
    """What a run shows, without what differs from run to run."""
    return re.sub(r"in \d+\.\d+s", "in 1.00s", text)


def katas_of_tracks(checkout: Checkout, language: str) -> str:
    """A table of katas for each track that has some."""
    shown, checks = [], checkout.checks()
    for track in TRACKS:
        katas = [kata for kata in Catalog().katas if kata.track == track]
        rows = ["| | " + " | ".join(HEADS[language]) + " |", "|---" * 6 + "|"]
        for kata in katas:
            title = f"[{Texts(language).title(kata)}](problems/{kata.stem}.py)"
            symbols = ", ".join(f"`{symbol}`" for symbol in kata.symbols)
            notebook = f"[{kata.notebook}](notebooks/{kata.notebook})"
            cells = (title, symbols, kata.minutes, checks[kata.stem], notebook)
            rows.append(f"| {kata.number} | " + " | ".join(map(str, cells)) + " |")
        if katas:
            shown.append(f"{NAMES[language][track]}:\n\n" + "\n".join(rows))
    return "\n\n".join(shown)


def trials(checkout: Checkout, language: str) -> str:
    """A table of the kinds of answers that trials.toml lists, each with what its grade says today."""
    rows = ["| the answer | checks | headline | causes |", "|---|---|---|---|"]
    with closing(Examiner()) as examiner:
        for trial in read_toml(TRIALS)["trial"]:
            path = SUBMISSIONS / trial["file"]
            result = examiner.grade([path.parent.name], path, int(SEED)).katas[0]
            passed = sum(check.outcome == "passed" for check in result.checks)
            failed = result.first_failure
            causes = ", ".join(f"`{cause.name}` ({len(cause.explains)})" for cause in result.causes)
            kind = f"[{trial['kind']}]({os.path.relpath(path, TRIALS.parent)})"
            headline = " ".join(failed.message.split()) if failed else "passes"
            rows.append(f"| {kind} | {passed}/{result.expected} | {headline} | {causes} |")
    return "\n".join(rows)


def fences(checkout: Checkout, language: str) -> str:
    """A table of the grader's layers: what each stops, as benchmarks/fences.py measured it."""
    found = json.loads(FENCES.read_text(encoding="utf-8"))
    rows = ["| layer | alone, over the frame, stops | without it gets through | without it not run |", "|---" * 4 + "|"]
    for layer, without in found["without"].items():
        alone = _by_family(found["alone"][layer]) if layer in found["alone"] else "(part of the frame)"
        rows.append(
            f"| {LAYERS.get(layer, layer)} | {alone} | {_named(without['through'])} | {_named(without['not_run'])} |"
        )
    for name, what in (("everything", "with all layers"), ("frame", "the frame alone"), ("nothing", "no layer at all")):
        each = found[name]
        rows.append(f"| *{what}* | | {_by_family(each['through'])} | {_named(each['not_run'])} |")
    return "\n".join(rows)


def _by_family(names: Iterable[str]) -> str:
    counted = Counter(name.partition("_")[0] for name in names)
    shares = ", ".join(f"{count} {family}" for family, count in counted.items())
    return f"{counted.total()}: {shares}" if counted else "nothing"


def _named(names: Iterable[str]) -> str:
    if not (names := list(names)):
        return "nothing"
    return ", ".join(f"`{name}`" for name in names) if len(names) <= MOST_NAMES else _by_family(names)


TABLES: dict[str, Callable[[Checkout, str], str]] = {"katas": katas_of_tracks, "trials": trials, "fences": fences}


def filled(text: str, checkout: Checkout, language: str) -> str:
    """A document with its generated parts replaced; KeyError where it has a part of another name."""

    def part(found: re.Match[str]) -> str:
        name = found[2]
        new = TABLES[name](checkout, language) if name in TABLES else checkout.shown(SCREENS[name], language)
        return f"{found[1]}{new}\n{found[3]}"

    return re.sub(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", part, text, flags=re.DOTALL)


def main() -> int:
    """Write the documents, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and show what is stale")
    parser.add_argument("documents", nargs="*", default=DOCUMENTS, help="default: all that have generated parts")
    arguments, stale = parser.parse_args(), 0
    with tempfile.TemporaryDirectory() as folder:
        checkout = Checkout(Path(folder))
        for name in arguments.documents:
            text = (ROOT / name).read_text(encoding="utf-8")
            new = filled(text, checkout, DOCUMENTS[name])
            if arguments.check:
                for line in unified_diff(text.splitlines(), new.splitlines(), name, "a run", lineterm="", n=1):
                    print(line)
                stale += text != new
            else:
                (ROOT / name).write_text(new, encoding="utf-8")
    if stale:
        print("\nrun python docs/screens.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
