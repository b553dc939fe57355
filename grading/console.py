"""What the verbs of the command line share: arguments, a grade, exit statuses, output."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grading.catalog import Catalog, Kata

if TYPE_CHECKING:
    from grading.records import Report

PASS, FAIL, USAGE, FAULT = 0, 1, 2, 3

Verbs = Any  # argparse's subparsers, whose class has no public name


def kata_named(stem: str) -> Kata:
    stem = Path(stem).stem  # problems/gqa.py is gqa
    try:
        return Catalog()[stem]
    except KeyError:
        raise argparse.ArgumentTypeError(f"no kata {stem!r}: choose from {', '.join(Catalog().stems)}") from None


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
        return examiner.grade(stems or Catalog().stems, problems, seed, asked=bool(stems), only=only)
    finally:
        examiner.close()


def verdict(report: Report, named: bool) -> int:
    """The exit status: katas that were not started count only where they were asked for by name."""
    counted = [result for result in report.katas if named or result.outcome != "not started"]
    return PASS if all(result.outcome == "passed" for result in counted) else FAIL


def width() -> int:
    return max(40, min(shutil.get_terminal_size((100, 24)).columns, 120))


def show(text: object) -> None:
    """Print with colours on a terminal, plainly elsewhere and where NO_COLOR is set."""
    from rich.console import Console

    Console(width=width(), highlight=False, soft_wrap=True).print(text, end="")
