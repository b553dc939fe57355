"""Write the parts of the READMEs that come from the katas, tables and screens: python docs/build_readme.py."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from grading.catalog import ROOT, TRACKS, Catalog
from grading.classroom.submissions import as_problems
from grading.examination.examiner import Examiner
from grading.records import Report
from grading.reports import terminal
from grading.texts import Texts

READMES = {"README.md": "en", "README.zh-CN.md": "zh"}
WRONG = ROOT / "tests" / "submissions" / "wrong" / "gqa" / "kv-heads-tiled.py"
WIDTH = 88
SEED = 7
HEADS = {
    "en": ("kata", "you write", "minutes", "checks", "notebook"),
    "zh": ("题目", "要写的内容", "分钟", "检查项", "notebook"),
}
NAMES = {"en": {"core": "Core track", "further": "Further track"}, "zh": {"core": "核心", "further": "进阶"}}


def parts(examiner: Examiner, language: str) -> dict[str, str]:
    """The text of each part, by its name in the README."""
    with spoken(language), tempfile.TemporaryDirectory() as folder:
        nothing = examiner.grade(Catalog().stems, Path(folder), SEED, asked=False)
        checks = {result.kata: result.expected for result in nothing.katas}
        return {
            "katas": tables(checks, language),
            "wrong": screen(examiner, WRONG),
            "right": screen(examiner, ROOT / "solutions" / "gqa.py"),
        }


def tables(checks: dict[str, int], language: str) -> str:
    """A table of katas for each track that has some."""
    shown = []
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


def screen(examiner: Examiner, submission: Path) -> str:
    """What the command line shows of that submission."""
    kata = submission.parent.name if submission == WRONG else submission.stem
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(submission, Path(folder) / f"{kata}.py")
        report: Report = as_problems(examiner.grade([kata], Path(folder), SEED))
    shown = terminal.report(report, WIDTH).plain.rstrip()
    return "\n".join(["```", f"$ python grader.py {kata}", *(line.rstrip() for line in shown.splitlines()), "```"])


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """While it is entered, reports are in that language."""
    before = os.environ.get("KATA_LANG", "")
    os.environ["KATA_LANG"] = language
    try:
        yield
    finally:
        os.environ["KATA_LANG"] = before


def filled(text: str, new: dict[str, str]) -> str:
    """A README with its generated parts replaced; KeyError where it has a part of another name."""
    return re.sub(
        r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{new[found[2]]}\n{found[3]}",
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    """Write both READMEs."""
    examiner = Examiner()
    for name, language in READMES.items():
        path = ROOT / name
        path.write_text(filled(path.read_text(encoding="utf-8"), parts(examiner, language)), encoding="utf-8")
    examiner.close()


if __name__ == "__main__":
    main()
