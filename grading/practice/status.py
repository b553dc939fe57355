"""The verb `status`: how far each kata is, this round and before."""

from __future__ import annotations

import argparse
import time

from grading.catalog import Catalog
from grading.console import PASS, Verbs
from grading.practice.progress import Progress
from grading.practice.state import Record, form

NAMED = 2  # mistakes that fit on a line


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    verbs.add_parser("status", help="attempts, times, hints and mistakes so far").set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    progress, katas = Progress(), Catalog().katas
    rounds = progress.rounds()
    records = [progress.kata(kata.stem) for kata in katas]
    print(f"Round {len(rounds) + 1}: {sum(bool(record.passes) for record in records)} of {len(katas)} katas passed\n")
    print(f"{'':<16}{'attempts':>8}  {'first pass':<10}  {'best':>7}  {'hints':>5}  mistakes named")
    for kata, record in zip(katas, records, strict=True):
        print(_line(f"{kata.number} {kata.stem}", record))
    for number, ended in enumerate(rounds, start=1):
        passed = [stem for stem, entry in ended["katas"].items() if form(Record, entry).passes]
        print(f"\nRound {number}, until {day(float(ended.get('ended', 0)))}: passed {', '.join(passed) or 'none'}")
    return PASS


def _line(name: str, record: Record) -> str:
    often = sorted(record.causes, key=lambda cause: -record.causes[cause])
    counted = [f"{cause} ({record.causes[cause]})" if record.causes[cause] > 1 else cause for cause in often[:NAMED]]
    more = [f"{len(often) - NAMED} more"] if len(often) > NAMED else []
    first = day(record.first_pass) if record.passes else "-"
    best = length(record.best_seconds) if record.best_seconds else "-"
    row = f"{name:<16}{record.attempts:>8}  {first:<10}  {best:>7}  {record.hints_used:>5}  "
    return (row + ", ".join(counted + more)).rstrip()


def day(at: float) -> str:
    """That moment's date, here."""
    return time.strftime("%Y-%m-%d", time.localtime(at))


def length(seconds: float) -> str:
    """A time in minutes and seconds: 12:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
