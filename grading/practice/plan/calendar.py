"""A plan as a calendar (iCalendar, RFC 5545): an event for a whole day on each day, and one for the interview."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from grading.practice.plan.schedule import Plan
from grading.practice.plan.steps import command, label, steps
from grading.practice.progress.state import Goal
from grading.texts import word

OCTETS = 74  # of a line; a longer one goes on in the next, behind a space


def calendar(made: Plan, goal: Goal) -> str:
    """The text of the file. An event keeps its name when the plan is written again, so that a calendar replaces it."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//attention-katas//plan//EN", "CALSCALE:GREGORIAN"]
    for day in made.days:
        if day.steps:
            told = "\n".join(f"{label(step)}: {command(step)}" for step in day.steps)
            lines += _event(day.day, f"{word('page-title')}: {steps(day)}", told)
    lines += _event(date.fromisoformat(goal.day), word("plan-interview"), "")
    return "".join(f"{part}\r\n" for line in [*lines, "END:VCALENDAR"] for part in _folded(line))


def _event(day: date, title: str, told: str) -> list[str]:
    stamp = datetime.now(UTC)
    return [
        "BEGIN:VEVENT",
        f"UID:{day.isoformat()}@attention-katas",
        f"DTSTAMP:{stamp:%Y%m%dT%H%M%SZ}",
        f"DTSTART;VALUE=DATE:{day:%Y%m%d}",
        f"DTEND;VALUE=DATE:{day + timedelta(days=1):%Y%m%d}",
        f"SUMMARY:{_escaped(title)}",
        *([f"DESCRIPTION:{_escaped(told)}"] if told else []),
        "TRANSP:TRANSPARENT",
        "END:VEVENT",
    ]


def _escaped(text: str) -> str:
    for character in ("\\", ";", ","):
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", "\\n")


def _folded(line: str) -> Iterator[str]:
    """The line in pieces that are short enough, none of which ends within a character."""
    piece = ""
    for character in line:
        if len((piece + character).encode()) > OCTETS:
            yield piece
            piece = " "
        piece += character
    yield piece
