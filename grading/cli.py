"""The verbs of the command line. What needs PyTorch imports it when it gets there: list, hint and --help do not."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grading.catalog import ROOT, Catalog, Kata
from grading.practice.progress import Progress
from grading.stubs import stub

if TYPE_CHECKING:
    from grading.records import Report

PASS, FAIL, USAGE, FAULT = 0, 1, 2, 3
VERBS = ("check", "list", "hint", "reset", "compare", "doctor")
KERNEL = ("landlock", "seccomp")
LAYERS = {
    "process": "a process of its own, without the examiner's memory",
    "memory": "limited memory",
    "cpu": "limited CPU time",
    "file-size": "no file may grow",
    "landlock": "the kernel refuses files, signals and networks",
    "seccomp": "the kernel refuses processes, sockets and tracing",
    "audit": "Python refuses the same in plain words",
}


def main(argv: Sequence[str]) -> int:
    """Run a command line; the exit status: 0 all asked for pass, 1 something does not, 2 usage, 3 the engine failed."""
    arguments = _parser().parse_args(_with_verb(list(argv)))
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAIL
    except Exception:
        traceback.print_exc()
        print(
            "\ngrader: this is a fault of the grader, not of your code. Please report it with the lines above.",
            file=sys.stderr,
        )
        return FAULT


def _with_verb(argv: list[str]) -> list[str]:
    """Without a verb, grade: `python grader.py -v`. A kata's name alone is one too: `python grader.py mha`."""
    words = [word for word in argv if not word.startswith("-")]
    if not argv or (argv[0] not in (*VERBS, "-h", "--help") and not (words and words[0] in VERBS)):
        return ["check", *argv]
    return argv


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="grader.py", description="Grade the attention katas.", epilog=_EPILOG)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    check = verbs.add_parser("check", help="grade these katas, or all that were started (the default verb)")
    check.add_argument("katas", nargs="*", metavar="KATA", type=_kata)
    check.add_argument(
        "--problems", type=_folder, default=ROOT / "problems", metavar="DIR", help="grade files elsewhere"
    )
    check.add_argument("--json", action="store_true", help="print the report as JSON and nothing else")
    check.add_argument("-v", "--verbose", action="store_true", help="show every failing check in full")
    check.add_argument("--seed", type=int, help="repeat a run's random inputs")
    check.add_argument("--debug", type=_kata, metavar="KATA", help="run that kata in this process: breakpoint() works")
    check.add_argument("--require-sandbox", action="store_true", help="no grade without the kernel's layers")
    check.set_defaults(run=_check)
    verbs.add_parser("list", help="list the katas").set_defaults(run=_list)
    hint = verbs.add_parser("hint", help="one hint more: direction, idea, line of thought")
    hint.add_argument("kata", metavar="KATA", type=_kata)
    hint.set_defaults(run=_hint)
    reset = verbs.add_parser("reset", help="put the stub back; what was there is kept")
    reset.add_argument("katas", nargs="*", metavar="KATA", type=_kata)
    reset.add_argument("--all", action="store_true", help="all katas")
    reset.set_defaults(run=_reset)
    compare = verbs.add_parser("compare", help="your solution beside the reference, once it passes")
    compare.add_argument("kata", metavar="KATA", type=_kata)
    compare.add_argument("--reveal", action="store_true", help="show it before yours passes")
    compare.set_defaults(run=_compare)
    verbs.add_parser("doctor", help="what fences a submission in here").set_defaults(run=_doctor)
    return parser


_EPILOG = (
    "Without a verb: grade what was started. Exit status: 0 all pass, 1 not all, 2 usage, 3 a fault of the grader."
)


def _kata(stem: str) -> Kata:
    stem = Path(stem).stem  # problems/gqa.py is gqa
    try:
        return Catalog()[stem]
    except KeyError:
        raise argparse.ArgumentTypeError(f"no kata {stem!r}: choose from {', '.join(Catalog().stems)}") from None


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"no folder {text!r}")
    return path.resolve()


# --------------------------------------------------------------------------------------------------- verbs


def _check(arguments: argparse.Namespace) -> int:
    katas = [arguments.debug] if arguments.debug else arguments.katas
    stems = list(dict.fromkeys(kata.stem for kata in katas))
    if arguments.require_sandbox and (missing := [layer for layer in KERNEL if layer not in _layers()]):
        print(f"grader: no grade, for this system has no {' and no '.join(missing)}", file=sys.stderr)
        return FAULT
    report = grade(stems, arguments.problems, arguments.seed, debug=bool(arguments.debug))
    if arguments.json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        from grading.reports import terminal

        _show(terminal.report(report, _width(), arguments.verbose))
    return verdict(report, named=bool(stems))


def grade(stems: Sequence[str], problems: Path, seed: int | None = None, debug: bool = False) -> Report:
    """The report on those katas, or on all of them where none is named."""
    from grading.examine import Examiner

    examiner = Examiner(debug)
    try:
        return examiner.grade(stems or Catalog().stems, problems, seed, asked=bool(stems))
    finally:
        examiner.close()


def verdict(report: Report, named: bool) -> int:
    """The exit status: katas that were not started count only where they were asked for by name."""
    counted = [result for result in report.katas if named or result.outcome != "not started"]
    return PASS if all(result.outcome == "passed" for result in counted) else FAIL


def _list(arguments: argparse.Namespace) -> int:
    for kata in Catalog().katas:
        print(f"{kata.number} {kata.stem:<14}{kata.minutes:>3} min  {kata.title}")
    return PASS


def _hint(arguments: argparse.Namespace) -> int:
    kata, progress = arguments.kata, Progress()
    level = min(progress.hints(kata.stem) + 1, len(kata.hints))
    progress.set_hints(kata.stem, level)
    print(f"{kata.title}, hint {level} of {len(kata.hints)}:\n")
    for line in kata.hints[level - 1].splitlines():
        print(textwrap.fill(line, _width(), subsequent_indent="   " if line[:1].isdigit() else ""))
    if level < len(kata.hints):
        print("\nThe same command gives one more.")
    return PASS


def _reset(arguments: argparse.Namespace) -> int:
    katas = Catalog().katas if arguments.all else arguments.katas
    if not katas:
        print("grader: name a kata, or use --all", file=sys.stderr)
        return USAGE
    for kata in katas:
        path, text = ROOT / "problems" / f"{kata.stem}.py", stub(kata)
        if path.is_file() and path.read_bytes() == text.encode():
            print(f"{kata.stem}: is the stub already")
            continue
        kept = Progress().back_up(path)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{kata.stem}: the stub is back" + (f"; yours is kept in {kept.relative_to(ROOT)}" if kept else ""))
    return PASS


def _compare(arguments: argparse.Namespace) -> int:
    kata: Kata = arguments.kata
    if not arguments.reveal and verdict(grade([kata.stem], ROOT / "problems"), named=True) != PASS:
        print(f"{kata.stem} does not pass yet. --reveal shows the reference all the same.")
        return FAIL
    from grading.reports.compare import side_by_side

    path = ROOT / "problems" / f"{kata.stem}.py"
    yours = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    _show(side_by_side(yours, kata.solution.read_text(encoding="utf-8"), _width()))
    return PASS


def _layers() -> tuple[str, ...]:
    from grading.examine import Examiner

    examiner = Examiner()
    try:
        return examiner.layers()
    finally:
        examiner.close()


def _doctor(arguments: argparse.Namespace) -> int:
    import platform

    layers = _layers()
    import torch

    print(f"{platform.platform()}, Python {platform.python_version()}, PyTorch {torch.__version__}\n")
    for layer, what in LAYERS.items():
        print(f"{'yes' if layer in layers else 'NO':>4}  {layer:<10} {what}")
    return PASS if all(layer in layers for layer in KERNEL) else FAIL


# -------------------------------------------------------------------------------------------------- output


def _width() -> int:
    return max(40, min(shutil.get_terminal_size((100, 24)).columns, 120))


def _show(text: object) -> None:
    """Print with colours on a terminal, plainly elsewhere and where NO_COLOR is set."""
    from rich.console import Console

    Console(width=_width(), highlight=False, soft_wrap=True).print(text, end="")
