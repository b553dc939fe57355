"""The verbs of the command line. What needs PyTorch imports it when it gets there: list, hint and --help do not."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from grading.catalog import ROOT, Catalog, Kata, KataFault
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
from grading.practice.progress.progress import Progress
from grading.stubs import is_untouched, stub
from grading.texts import Texts, word

if TYPE_CHECKING:
    from grading.records import Report

# a full or read-only disk, rights, and limits on processes, memory and open files
SURROUNDINGS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
)

# verbs with a file of their own, which has register(verbs): only that of the verb that is asked for is imported
VERBS = {
    "doctor": "grading.doctor",
    "ci": "grading.classroom.ci",
    "badge": "grading.classroom.readme_badge",
    "cohort": "grading.classroom.cohort",
    "status": "grading.practice.plan.status",
    "history": "grading.practice.progress.history",
    "read": "grading.practice.reading.read",
    "watch": "grading.practice.watch.watch",
    "plan": "grading.practice.plan.plan",
    "due": "grading.practice.plan.due",
    "interview": "grading.practice.interview.interview",
    "debug": "grading.practice.interview.hunt",
    "drill": "grading.practice.interview.drill",
    "questions": "grading.practice.interview.deck",
    "new": "grading.authoring.skeleton",
    "author": "grading.authoring.author",
}
HERE = ("check", "list", "hint", "reset", "compare")  # the verbs of this file


def main(argv: Sequence[str]) -> int:
    """Run a command line; the exit status: 0 all asked for pass, 1 something does not, 2 usage, 3 the engine failed."""
    try:
        words = _with_verb(list(argv))
        arguments = _parser(words[0]).parse_args(words)
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_output()
        return FAIL
    except KataFault as fault:
        print(f"grader: the kata is broken: {fault}", file=sys.stderr)
        return FAULT
    except Exception as error:
        if obstacle := _obstacle(error):
            print(f"grader: {obstacle}", file=sys.stderr)
            _drop_output()
            return FAULT
        traceback.print_exc()
        print(f"\ngrader: {REPORT_IT}", file=sys.stderr)
        return FAULT


def _obstacle(error: Exception) -> str:
    """What of the surroundings is in the way, nothing where it is the grader's own fault."""
    if isinstance(error, OSError) and error.errno in SURROUNDINGS:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    if isinstance(error, FileNotFoundError) and "usable temporary directory" in str(error):
        return "there is no folder for temporary files that can be written to"
    return ""


def _drop_output() -> None:
    """What could not be written is not tried again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_verb(argv: list[str]) -> list[str]:
    """Without a verb, grade: `python grader.py -v`. A kata's name alone is one too: `python grader.py mha`."""
    verbs = (*HERE, *VERBS)
    if argv[:1] in (["-h"], ["--help"]) or (argv and argv[0] in verbs):
        return argv
    if argv and (near := get_close_matches(argv[0], verbs, n=1)) and not _is_kata(argv[0]):
        _parser("").error(f"no verb {argv[0]!r}: did you mean {near[0]}?")
    return ["check", *argv]


def _is_kata(name: str) -> bool:
    try:
        Catalog().find(name)
    except ValueError:
        return False
    return True


def _parser(verb: str) -> argparse.ArgumentParser:
    """The parser, with the verbs of this file and the one that is asked for, or with all where it is none of them."""
    parser = argparse.ArgumentParser(prog="grader.py", description="Grade the attention katas.", epilog=_EPILOG)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_check(verbs)
    verbs.add_parser("list", help="list the katas").set_defaults(run=_list)
    hint = verbs.add_parser("hint", help="one hint more: direction, idea, line of thought")
    hint.add_argument("kata", metavar="KATA", type=kata_named)
    hint.add_argument("level", metavar="NUMBER", type=int, nargs="?", help="read one again")
    hint.set_defaults(run=_hint)
    reset = verbs.add_parser("reset", help="put the stub back; what was there is kept")
    reset.add_argument("katas", nargs="*", metavar="KATA", type=kata_named)
    reset.add_argument("--all", action="store_true", help="all katas")
    reset.set_defaults(run=_reset)
    compare = verbs.add_parser("compare", help="your solution against the reference, once it passes")
    compare.add_argument("kata", metavar="KATA", type=kata_named)
    compare.add_argument("--file", type=file_named, metavar="PATH", help="compare a file elsewhere")
    compare.add_argument("--reveal", action="store_true", help="show it before yours passes")
    compare.set_defaults(run=_compare)
    for name in () if verb in HERE else (verb,) if verb in VERBS else VERBS:
        import_module(VERBS[name]).register(verbs)
    return parser


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
        "--debug", type=kata_named, metavar="KATA", help="stop in a debugger, in the first check that fails"
    )
    check.add_argument("-k", dest="only", default="", metavar="WORD", help="run the checks with that in their title")
    check.add_argument("--require-sandbox", action="store_true", help="no grade without the kernel's fences")
    check.set_defaults(run=_check)


_EPILOG = (
    "Without a verb: grade what was started. Exit status: 0 all pass, 1 not all, 2 usage, 3 a fault of the grader."
)


# --------------------------------------------------------------------------------------------------- verbs


def _check(arguments: argparse.Namespace) -> int:
    katas = [arguments.debug] if arguments.debug else arguments.katas
    stems = list(dict.fromkeys(kata.stem for kata in katas))
    if arguments.require_sandbox and (missing := _missing()):
        print(f"grader: no grade, for this system has no {' and no '.join(missing)}", file=sys.stderr)
        return FAULT
    if arguments.file and len(stems) != 1:
        print("grader: --file wants one kata: python grader.py check KATA --file PATH", file=sys.stderr)
        return USAGE
    where = arguments.file or arguments.problems
    if arguments.debug:
        from grading.practice.debug import debug

        report = debug(arguments.debug, where, arguments.seed, arguments.only)
    else:
        report = grade(stems, where, arguments.seed, arguments.only)
    if arguments.only and not report.katas:
        print(f"grader: no check has {arguments.only!r} in its name or title", file=sys.stderr)
        return USAGE
    if where == ROOT / "problems" and not arguments.debug and not arguments.only:
        Progress().record(report)
    if arguments.html and (fault := _write_page(report, arguments.html)):
        print(f"grader: {fault}", file=sys.stderr)
        return USAGE
    if arguments.json:
        print(json.dumps(report.as_dict(), indent=1))
    else:
        from grading.reports import terminal

        show(terminal.report(report, width(), arguments.verbose, Progress().hints_read()))
    return verdict(report, named=bool(stems))


def _missing() -> Sequence[str]:
    """The fences that this system lacks."""
    from grading import doctor

    return doctor.missing()


def _write_page(report: Report, path: Path) -> str:
    """Write the page; why it cannot be written, or nothing."""
    from grading.reports import html

    try:
        notebooks = Path(os.path.relpath(ROOT / "notebooks", path.resolve().parent)).as_posix()
        path.write_text(html.page(report, notebooks=notebooks), encoding="utf-8", newline="\n")
    except OSError as error:
        return f"the page cannot be written: {error}"
    return ""


def _list(arguments: argparse.Namespace) -> int:
    texts, katas = Texts(), Catalog().katas
    stems = max(len(kata.stem) for kata in katas)
    for track in Catalog().tracks:
        print(texts.word(f"track-{track}"))
        for kata in (each for each in katas if each.track == track):
            minutes = texts.word("list-minutes", minutes=kata.minutes)
            shown = kata.fault or f"{minutes}  {texts.title(kata)}"
            print(f"{kata.number or '-':>3} {kata.stem:<{stems}} {shown}")
    return PASS


def _hint(arguments: argparse.Namespace) -> int:
    from grading.reports.columns import wrap

    kata, progress, texts = arguments.kata, Progress(), Texts()
    hints, shown = texts.hints(kata), progress.hints(kata.stem)
    if not hints:
        print(texts.word("hint-none", title=texts.title(kata)))
        return PASS
    level = min(shown + 1, len(hints)) if arguments.level is None else arguments.level
    if not 1 <= level <= min(shown + 1, len(hints)):
        print(f"grader: of the {len(hints)} hints of {kata.stem}, {shown} were shown so far", file=sys.stderr)
        return USAGE
    if level > shown:
        progress.set_hints(kata.stem, level)
    print(texts.word("hint-title", title=texts.title(kata), level=level, count=len(hints)) + "\n")
    for line in hints[level - 1].splitlines():
        print("\n".join(wrap(line, width(), "   " if line[:1].isdigit() else "")))
    more = "hint-more" if level < len(hints) else "hint-last"
    print("\n" + "\n".join(wrap(texts.word(more, kata=kata.stem, next=level + 1), width())))
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
        if Progress().kata(kata.stem).cell_digest:  # it was written in a notebook, and is begun anew there
            Progress().fresh(kata.stem)
        return word("stub-already", kata=kata.stem)
    kept = Progress().back_up(path) if found and not is_untouched(found, text) else None
    path.write_text(text, encoding="utf-8", newline="\n")
    Progress().fresh(kata.stem)
    return word("stub-kept" if kept else "stub-back", kata=kata.stem, file=kept.relative_to(ROOT) if kept else None)


def _compare(arguments: argparse.Namespace) -> int:
    from grading.practice.interview.workspace import written

    kata: Kata = arguments.kata
    path = arguments.file or written(kata)
    status = PASS if arguments.reveal else verdict(grade([kata.stem], path), named=True)
    if status != PASS:
        print(word("not-yet", kata=kata.stem))
        return status
    if arguments.reveal:
        Progress().reveal(kata.stem)
    from grading.reports.compare import differences

    yours = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    show(differences(yours, kata.reference, width()))
    return PASS
