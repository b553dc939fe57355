"""Times for people: a date, a length, how long ago, and how far ahead."""

from __future__ import annotations

import time

from grading.texts import word

DAY = 86400.0


def day(at: float) -> str:
    """That moment's date, here."""
    return time.strftime("%Y-%m-%d", time.localtime(at))


def moment(at: float) -> str:
    """That moment's date and time of day, here."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def length(seconds: float) -> str:
    """A time in minutes and seconds: 12:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def ago(seconds: float) -> str:
    """Today, yesterday, or some days ago."""
    days = int(seconds // DAY)
    return word("today" if days < 1 else "yesterday") if days < 2 else word("days-ago", count=days)


def ahead(seconds: float) -> str:
    """Tomorrow, or in some days."""
    days = -int(-seconds // DAY)
    return word("tomorrow") if days <= 1 else word("in-days", count=days)
