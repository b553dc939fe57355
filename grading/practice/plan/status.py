"""The verb `status`: how far each kata is, this round and before."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grading.catalog import Catalog
from grading.console import PASS, USAGE, Verbs, say, width
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import CELL, DRILL, INTERVIEW, Record, form
from grading.practice.progress.times import day, length
from grading.texts import Texts, word

ELSEWHERE = {CELL: "status-cells", INTERVIEW: "status-interviews", DRILL: "status-drills"}
NARROW = 60  # columns
NAMED = 3  # mistakes that are told of a kata


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    status = verbs.add_parser("status", help="attempts, times, hints and mistakes so far")
    status.add_argument("--html", type=Path, metavar="FILE", help="write it as a page, with the plan and the history")
    status.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    progress, katas = Progress(), Catalog().katas
    if arguments.html:
        return _write_page(progress, arguments.html)
    rounds = progress.rounds()
    records = [progress.kata(kata.stem) for kata in katas]
    passed = [kata for kata, record in zip(katas, records, strict=True) if record.passes]
    print(word("status-round", number=len(rounds) + 1, tracks=Texts().passed(passed)) + "\n")
    print(_row("", *(word(f"status-{key}") for key in ("attempts", "first", "best", "hints"))))
    for kata, record in zip(katas, records, strict=True):
        print(_line(f"{kata.number} {kata.stem}", record))
        for mistake in _mistakes(record):
            say(" " * 4 + mistake, " " * 4)
    _elsewhere(dict(zip((kata.stem for kata in katas), records, strict=True)))
    for number, ended in enumerate(rounds, start=1):
        stems = [stem for stem, entry in ended["katas"].items() if form(Record, entry).passes]
        names = word("list-comma").join(stems) or word("status-none")
        print("\n" + word("status-ended", number=number, day=day(float(ended.get("ended", 0))), katas=names))
    return PASS


def _write_page(progress: Progress, path: Path) -> int:
    from grading.practice.plan.page import page

    try:
        path.write_text(page(progress), encoding="utf-8", newline="\n")
    except OSError as error:
        print(f"grader: the page cannot be written: {error}", file=sys.stderr)
        return USAGE
    say(word("progress-file", file=path))
    return PASS


def _elsewhere(records: dict[str, Record]) -> None:
    """How many of the attempts were made in a cell, in an interview, in a drill."""
    told = []
    for kind, key in ELSEWHERE.items():
        counts = [f"{stem} ({each.elsewhere[kind]})" for stem, each in records.items() if each.elsewhere.get(kind)]
        told += [word(key, katas=word("list-comma").join(counts))] if counts else []
    if told:
        print()
        say("\n".join(told))


def _line(name: str, record: Record) -> str:
    first = day(record.first_pass) if record.passes else "-"
    best = length(record.best_seconds) if record.best_seconds else "-"
    return _row(name, str(record.attempts), first, best, str(record.hints_used)).rstrip()


def _mistakes(record: Record) -> list[str]:
    """Those that were named, the most frequent first, in a sentence each."""
    often, texts = sorted(record.causes, key=lambda cause: -record.causes[cause]), Texts()
    named = [
        texts.cause(name, record.sentences.get(name, ""), record.explains.get(name, 0), record.causes[name])
        for name in often[:NAMED]
    ]
    return named + ([word("status-more", count=len(often) - NAMED)] if len(often) > NAMED else [])


def _row(name: str, attempts: str, first: str, best: str, hints: str) -> str:
    """On a narrow screen without the day of the first pass."""
    from grading.reports.columns import flush, padded

    day = [padded(first, 10)] if width() >= NARROW else []
    return padded(name, 16) + "  ".join((flush(attempts, 8), *day, flush(best, 7), flush(hints, 5)))
