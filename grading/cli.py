"""The verbs of the command line. What needs PyTorch imports it when it gets there: list, hint and --help do not."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from grading import doctor
from grading.catalog import ROOT, Catalog, Kata, KataFault
from grading.classroom import ci, cohort, readme_badge
from grading.console import (
    FAIL,
    FAULT,
    PASS,
    REPORT_IT,
    USAGE,
    Verbs,
    file_named,
    folder_named,
    grade,
    kata_named,
    show,
    verdict,
    width,
)
from grading.practice.interview import drill, interview
from grading.practice.progress import review, status
from grading.practice.progress.progress import Progress
from grading.practice.watch import watch
from grading.stubs import is_untouched, stub
from grading.texts import Texts, word

if TYPE_CHECKING:
    from grading.records import Report

# verbs with a file of their own: each has register(verbs), and imports nothing heavy by itself
MODULES = (doctor, ci, readme_badge, cohort, status, watch, review, interview, drill)


def main(argv: Sequence[str]) -> int:
    """Run a command line; the exit status: 0 all asked for pass, 1 something does not, 2 usage, 3 the engine failed."""
    parser, verbs = _parser()
    arguments = parser.parse_args(_with_verb(list(argv), verbs, parser.error))
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAIL
    except KataFault as fault:
        print(f"grader: the kata is broken: {fault}", file=sys.stderr)
        return FAULT
    except Exception:
        traceback.print_exc()
        print(f"\ngrader: {REPORT_IT}", file=sys.stderr)
        return FAULT


def _with_verb(argv: list[str], verbs: Collection[str], refuse: Callable[[str], object]) -> list[str]:
    """Without a verb, grade: `python grader.py -v`. A kata's name alone is one too: `python grader.py mha`."""
    words = [word for word in argv if not word.startswith("-")]
    if argv[:1] in (["-h"], ["--help"]) or (words and words[0] in verbs):
        return argv
    if words and (near := get_close_matches(words[0], verbs, n=1)) and not _is_kata(words[0]):
        refuse(f"no verb {words[0]!r}: did you mean {near[0]}?")
    return ["check", *argv]


def _is_kata(name: str) -> bool:
    try:
        Catalog().find(name)
    except ValueError:
        return False
    return True


def _parser() -> tuple[argparse.ArgumentParser, Collection[str]]:
    """The parser, and the names of its verbs."""
    parser = argparse.ArgumentParser(prog="grader.py", description="Grade the attention katas.", epilog=_EPILOG)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_check(verbs)
    verbs.add_parser("list", help="list the katas").set_defaults(run=_list)
    hint = verbs.add_parser("hint", help="one hint more: direction, idea, line of thought")
    hint.add_argument("kata", metavar="KATA", type=kata_named)
    hint.set_defaults(run=_hint)
    reset = verbs.add_parser("reset", help="put the stub back; what was there is kept")
    reset.add_argument("katas", nargs="*", metavar="KATA", type=kata_named)
    reset.add_argument("--all", action="store_true", help="all katas")
    reset.set_defaults(run=_reset)
    compare = verbs.add_parser("compare", help="your solution beside the reference, once it passes")
    compare.add_argument("kata", metavar="KATA", type=kata_named)
    compare.add_argument("--reveal", action="store_true", help="show it before yours passes")
    compare.set_defaults(run=_compare)
    for module in MODULES:
        module.register(verbs)
    return parser, verbs.choices


def _add_check(verbs: Verbs) -> None:
    check = verbs.add_parser("check", help="grade these katas, or all that were started (the default verb)")
    check.add_argument("katas", nargs="*", metavar="KATA", type=kata_named)
    where = check.add_mutually_exclusive_group()
    where.add_argument(
        "--problems", type=folder_named, default=ROOT / "problems", metavar="DIR", help="grade files elsewhere"
    )
    where.add_argument("--file", type=file_named, metavar="PATH", help="grade this file as the one kata that is named")
    check.add_argument("--json", action="store_true", help="print the report as JSON and nothing else")
    check.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page, with heat maps")
    check.add_argument("-v", "--verbose", action="store_true", help="show every failing check in full")
    check.add_argument("--seed", type=int, help="repeat a run's random inputs")
    check.add_argument(
        "--debug", type=kata_named, metavar="KATA", help="run that kata in this process: breakpoint() works"
    )
    check.add_argument("--require-sandbox", action="store_true", help="no grade without the kernel's fences")
    check.set_defaults(run=_check)


_EPILOG = (
    "Without a verb: grade what was started. Exit status: 0 all pass, 1 not all, 2 usage, 3 a fault of the grader."
)


# --------------------------------------------------------------------------------------------------- verbs


def _check(arguments: argparse.Namespace) -> int:
    katas = [arguments.debug] if arguments.debug else arguments.katas
    stems = list(dict.fromkeys(kata.stem for kata in katas))
    if arguments.require_sandbox and (missing := doctor.missing()):
        print(f"grader: no grade, for this system has no {' and no '.join(missing)}", file=sys.stderr)
        return FAULT
    if arguments.file and len(stems) != 1:
        print("grader: --file wants one kata: python grader.py check KATA --file PATH", file=sys.stderr)
        return USAGE
    where = arguments.file or arguments.problems
    report = grade(stems, where, arguments.seed, debug=bool(arguments.debug))
    if where == ROOT / "problems" and not arguments.debug:
        Progress().record(report)
    if arguments.html and (fault := _write_page(report, arguments.html)):
        print(f"grader: {fault}", file=sys.stderr)
        return USAGE
    if arguments.json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        from grading.reports import terminal

        show(terminal.report(report, width(), arguments.verbose))
    return verdict(report, named=bool(stems))


def _write_page(report: Report, path: Path) -> str:
    """Write the page; why it cannot be written, or nothing."""
    from grading.reports import html

    try:
        path.write_text(html.page(report), encoding="utf-8", newline="\n")
    except OSError as error:
        return f"the page cannot be written: {error}"
    return ""


def _list(arguments: argparse.Namespace) -> int:
    texts = Texts()
    for kata in Catalog().katas:
        minutes = texts.word("list-minutes", minutes=kata.minutes)
        shown = kata.fault or f"{minutes}  {texts.title(kata)}"
        print(f"{kata.number or '-'} {kata.stem:<14}{shown}")
    return PASS


def _hint(arguments: argparse.Namespace) -> int:
    from grading.reports.columns import wrap

    kata, progress, texts = arguments.kata, Progress(), Texts()
    hints = texts.hints(kata)
    if not hints:
        print(texts.word("hint-none", title=texts.title(kata)))
        return PASS
    level = min(progress.hints(kata.stem) + 1, len(hints))
    progress.set_hints(kata.stem, level)
    print(texts.word("hint-title", title=texts.title(kata), level=level, count=len(hints)) + "\n")
    for line in hints[level - 1].splitlines():
        print("\n".join(wrap(line, width(), "   " if line[:1].isdigit() else "")))
    if level < len(hints):
        print("\n" + texts.word("hint-more"))
    return PASS


def _reset(arguments: argparse.Namespace) -> int:
    katas = Catalog().katas if arguments.all else arguments.katas
    if not katas:
        print("grader: name a kata, or use --all", file=sys.stderr)
        return USAGE
    if arguments.all:
        print(word("round", number=Progress().new_round()))
    status = PASS
    for kata in katas:
        try:
            print(_put_back(kata))
        except KataFault as fault:
            print(f"grader: {kata.stem}: the kata is broken: {fault}", file=sys.stderr)
            status = FAULT
    return status


def _put_back(kata: Kata) -> str:
    """Put the stub back, keep what somebody wrote; what was done, in words."""
    path, text = ROOT / "problems" / f"{kata.stem}.py", stub(kata)
    found = path.read_bytes() if path.is_file() else b""
    if found == text.encode():
        return word("stub-already", kata=kata.stem)
    kept = Progress().back_up(path) if found and not is_untouched(found, text) else None
    path.write_text(text, encoding="utf-8", newline="\n")
    Progress().fresh(kata.stem)
    return word("stub-kept" if kept else "stub-back", kata=kata.stem, file=kept.relative_to(ROOT) if kept else None)


def _compare(arguments: argparse.Namespace) -> int:
    kata: Kata = arguments.kata
    status = PASS if arguments.reveal else verdict(grade([kata.stem], ROOT / "problems"), named=True)
    if status != PASS:
        print(word("not-yet", kata=kata.stem))
        return status
    if arguments.reveal:
        Progress().reveal(kata.stem)
    from grading.reports.compare import side_by_side

    path = ROOT / "problems" / f"{kata.stem}.py"
    yours = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    show(side_by_side(yours, kata.reference, width()))
    return PASS
