"""What the verbs of the command line share: arguments, a grade, exit statuses, output."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grading.catalog import Catalog, Kata
from grading.hunts import find

if TYPE_CHECKING:
    from grading.records import Report

REPORT_IT = "this is a fault of the grader, not of your code. Please report it with the lines above."
PASS, FAIL, USAGE, FAULT = 0, 1, 2, 3

Verbs = Any  # argparse's subparsers, whose class has no public name


def kata_named(name: str) -> Kata:
    try:
        return Catalog().find(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def named(name: str) -> Kata:
    """A kata or a hunt."""
    try:
        return find(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def file_named(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no file {text!r}")
    return path.resolve()


def folder_named(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"no folder {text!r}")
    return path.resolve()


def grade(stems: Sequence[str], problems: Path, seed: int | None = None, only: str = "") -> Report:
    """The report on those katas, or on all of them where none is named."""
    from grading.examination.examiner import Examiner

    examiner = Examiner()
    try:
        report = examiner.grade(stems or Catalog().stems, problems, seed, asked=bool(stems), only=only)
    finally:
        examiner.close()
    say_faults(report)
    return report


def say_faults(report: Report) -> None:
    """What the engine, or a kata's own file, failed at: nobody's verdict, and never passed over in silence."""
    from grading.reports.terminal import clean

    for result in report.katas:
        if result.fault:
            for line in result.fault.splitlines():
                print(f"| {clean(line)}", file=sys.stderr)  # marked, so that no line of it is a CI server's command
            print(f"grader: {result.kata}: {REPORT_IT}\n", file=sys.stderr)


def verdict(report: Report, named: bool) -> int:
    """The exit status: katas that were not started count only where they were asked for by name."""
    if any(result.fault for result in report.katas):
        return FAULT
    counted = [result for result in report.katas if named or result.outcome != "not started"]
    return PASS if all(result.outcome == "passed" for result in counted) else FAIL


def width() -> int:
    return max(40, min(shutil.get_terminal_size((100, 24)).columns, 120))


def say(text: str, indent: str = "") -> None:
    """Print with lines as long as the screen is wide; all but the first begin with `indent`."""
    from grading.reports.columns import wrap

    for line in text.split("\n"):
        print("\n".join(part.rstrip() for part in wrap(line, width(), indent)))


def show(text: object) -> None:
    """Print with colours on a terminal, plainly elsewhere and where NO_COLOR is set."""
    from rich.console import Console

    Console(width=width(), highlight=False, soft_wrap=True).print(text, end="")
