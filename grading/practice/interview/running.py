"""What interviews, rounds and hunts have in common: a grade without causes, what is said of it, and rows of a card."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from grading.console import say, say_faults, verdict
from grading.practice.interview import bugs
from grading.practice.interview.workspace import Work, Workspace
from grading.practice.progress.times import length
from grading.records import KataResult, Report
from grading.texts import Texts, word

if TYPE_CHECKING:
    from grading.examination.examiner import Examiner

TITLES = 3  # of missed edge cases

Grade = Callable[[Workspace, Work], Report]


def graded(workspace: Workspace, work: Work) -> Report:
    """The report on the file as it is."""
    from grading.examination.examiner import Examiner

    examiner = Examiner()
    try:
        report = examined(examiner, workspace, work)
    finally:
        examiner.close()
    say_faults(report)
    return report


def examined(examiner: Examiner, workspace: Workspace, work: Work) -> Report:
    """The same by an examiner that there is: the checks of the kata or of the second part, or which bugs are found."""
    if work.hunt is None:
        return examiner.grade([work.stem], workspace.folder)
    from grading.examination.hunting import hunt_report

    return hunt_report(work.hunt, work.planted, workspace.file(work.stem), examiner.host)


def run(workspace: Workspace, work: Work, grade: Grade) -> int:
    """A grade, with what an interviewer would show: how many checks pass, or bugs are found, and what raised."""
    report = grade(workspace, work)
    work.ran(report, time.time())
    workspace.note(work)
    left = work.began + 60 * work.minutes - time.time()
    clock = word("clock-left" if left >= 0 else "clock-over", time=length(abs(left)))
    say(word("run-line", clock=clock, result=shown(work, Texts().result(report.katas[0]))), "  ")
    return verdict(report, named=True)


def shown(work: Work, result: KataResult) -> str:
    """A line about a result."""
    if result.outcome == "broken":
        return word("run-broken", message=result.message, where=result.where)
    if work.planted:
        return bugs.found(result)
    parts = [word("run-checks", passed=result.passed, expected=result.expected)]
    failed = result.first_failure
    if failed and failed.kind == "raised":
        parts.append(word("run-raised", message=failed.message, where=failed.where))
    if failed:
        parts.append(word("run-first", title=failed.title))
    return word("semicolon").join(parts)


def rows(work: Work, ended: float) -> list[tuple[str, str]]:
    """What an interviewer would note of a file that was written or mended, as labels and texts."""
    taken, limit = (work.green or ended) - work.began, 60 * work.minutes
    spent = {"part": length(taken), "whole": length(limit)}
    late = taken > limit
    first = word("card-after", time=length(work.first_run - work.began)) if work.first_run else word("card-never")
    lines = [
        ("time", word("card-over", over=length(taken - limit), **spent) if late else word("card-of", **spent)),
        ("first", first),
        ("green", str(work.runs) if work.green else word("card-red", runs=work.runs)),
    ]
    return lines + (bugs.rows(work) if work.planted else _checked(work))


def _checked(work: Work) -> list[tuple[str, str]]:
    """How many checks pass, which mistakes were named, and what was missed at first."""
    return [
        ("checks", word("card-of", part=work.passed, whole=work.expected)),
        ("causes", Texts().causes(work.causes, work.explains) or word("card-none")),
        ("missed", titles(work.missed) or (word("card-nothing") if work.green else "-")),
    ]


def titles(missed: list[str]) -> str:
    """The first few rules, and how many more there are."""
    texts = Texts()
    shown = [texts.rule(title) for title in missed[:TITLES]]
    if len(missed) > TITLES:
        shown.append(word("card-more", count=len(missed) - TITLES))
    return word("semicolon").join(shown)
