"""GitHub's workflow commands that put a failure beside the learner's own line."""

from __future__ import annotations

import re

from grading.records import CheckResult, KataResult, Report
from grading.reports.terminal import cause_text, clean, why_broken
from grading.texts import ENGLISH, Texts

MOST = 10  # GitHub shows no more errors of a step
LONGEST = 1000
A_KATA = 3


def commands(report: Report) -> list[str]:
    """One `::error` a failing check, the first of each kata before any second one."""
    ranked = [
        (rank, number, file, line, title, message)
        for number, result in enumerate(report.katas)
        for rank, (file, line, title, message) in enumerate(_failures(result))
    ]
    return [error(*failure[2:]) for failure in sorted(ranked, key=lambda failure: failure[:2])[:MOST]]


def error(file: str, line: int, title: str, message: str) -> str:
    """One command; nothing in its parts can end it or begin another."""
    place = f"line={line}," if line else ""
    return f"::error file={_property(file)},{place}title={_property(clean(title))}::{_data(message[:LONGEST])}"


def line_of(where: str) -> int:
    """31 of problems/gqa.py:31; 0 where there is no line."""
    found = re.search(r":(\d+)$", where)
    return int(found[1]) if found else 0


def _failures(result: KataResult) -> list[tuple[str, int, str, str]]:
    file = f"problems/{result.kata}.py"
    if result.outcome == "broken":
        return [(file, line_of(result.where), f"{result.kata}: {why_broken(result, Texts(ENGLISH))}", result.message)]
    if result.outcome != "failed":
        return []
    found = []
    for check in _noted(result):
        parts = (check.message, check.call and f"call: {check.call}", check.wanted and f"wanted: {check.wanted}")
        lines = [*filter(None, parts), *([f"got: {check.got}"] if check.got else [])]
        if causes := result.explaining(check):
            text = cause_text(causes, Texts(ENGLISH), len(result.wrong))
            lines.append(f"cause: exactly what you get when {text}")
        found.append((file, line_of(check.where), f"{result.kata}: {check.title}", "\n".join(lines)))
    return found or [(file, 0, result.kata, f"{len(result.checks)} of {result.expected} checks ran")]


def _noted(result: KataResult) -> list[CheckResult]:
    """The check that is shown, and one for each other cause; where no cause is known, the first tests."""
    shown = [check for check in (result.first_failure,) if check]
    for cause in result.causes:
        if not any(cause in result.explaining(check) for check in shown):
            shown += [check for check in result.failures if check.name in cause.explains][:1]
    if not result.causes:
        tests = {check.name.split("[")[0]: check for check in reversed(result.failures)}
        shown = list(tests.values())[::-1]
    return shown[:A_KATA]


def _data(text: str) -> str:
    """Escaped as GitHub's own toolkit does it: % first, then what ends a line."""
    lines = "\n".join(clean(line) for line in text.splitlines())
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
