"""GitHub's workflow commands that put a failure beside the learner's own line."""

from __future__ import annotations

import re

from grading.records import KataResult, Report
from grading.reports.terminal import cause_text, clean, why_broken
from grading.texts import ENGLISH, Texts

MOST = 10  # GitHub shows no more errors of a step
LONGEST = 1000


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
    failed = [check for check in result.checks if check.outcome == "failed"]
    causes = f"\ncause: exactly what you get when {cause_text(result.causes)}" if result.causes else ""
    found = []
    for check in failed:
        parts = (check.message, check.call and f"call: {check.call}", check.wanted and f"wanted: {check.wanted}")
        lines = [*filter(None, parts), *([f"got: {check.got}"] if check.got else [])]
        text = "\n".join(lines) + (causes if check is failed[0] else "")
        found.append((file, line_of(check.where), f"{result.kata}: {check.title}", text))
    return found or [(file, 0, result.kata, f"{len(result.checks)} of {result.expected} checks ran")]


def _data(text: str) -> str:
    """Escaped as GitHub's own toolkit does it: % first, then what ends a line."""
    lines = "\n".join(clean(line) for line in text.splitlines())
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
