"""The verb `plan`: what to do on each day up to the interview."""

from __future__ import annotations

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

from grading.console import PASS, USAGE, Verbs, say, width
from grading.practice.plan.known import Known, known
from grading.practice.plan.schedule import Plan, plan
from grading.practice.plan.steps import name_of, steps
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import Goal
from grading.texts import word

MINUTES = 60.0  # a day, where nothing is said
LONGEST = 366  # days
COLUMN = 21  # of the table: a day, and its minutes


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    planning = verbs.add_parser("plan", help="what to do on each day up to the interview")
    when = planning.add_mutually_exclusive_group()
    when.add_argument("day", nargs="?", metavar="DATE", type=_day, help="the day of the interview: 2026-12-13")
    when.add_argument("--days", type=_days, metavar="N", help="so many days from today instead")
    when.add_argument("--drop", action="store_true", help="have no plan")
    planning.add_argument("--minutes", type=_minutes, metavar="M", help=f"how many a day ({MINUTES:g})")
    planning.add_argument("--ics", type=Path, metavar="FILE", help="write it as a calendar, too")
    planning.set_defaults(run=_plan)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date: write it as 2026-12-13") from None
    if not 1 <= (day - date.today()).days <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text} has to be later than today, and within a year")
    return day


def _days(text: str) -> date:
    if not (text.isdecimal() and 1 <= int(text) <= LONGEST):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {LONGEST}")
    return date.today() + timedelta(days=int(text))


def _minutes(text: str) -> float:
    if not (text.isdecimal() and 5 <= int(text) <= 16 * 60):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes from 5 to {16 * 60}")
    return float(text)


def _plan(arguments: argparse.Namespace) -> int:
    progress = Progress()
    if arguments.drop:
        progress.set_goal(None)
        say(word("plan-dropped"))
        return PASS
    before, day = progress.goal(), arguments.day or arguments.days
    if not (day or before):
        print("grader: until which day? python grader.py plan 2026-12-13, or: plan --days 14", file=sys.stderr)
        return USAGE
    if day or arguments.minutes:
        minutes = arguments.minutes or (before.minutes if before else MINUTES)
        progress.set_goal(Goal(day.isoformat() if day else before.day, minutes))  # type: ignore[union-attr]
    now = known(progress)
    made = current(progress, now)
    if made is None:
        say(word("plan-over"))
        return PASS
    _show(made, progress.goal() or Goal("", 0), now)
    if arguments.ics and (fault := _write(made, progress.goal() or Goal("", 0), arguments.ics)):
        print(f"grader: {fault}", file=sys.stderr)
        return USAGE
    return PASS


def _write(made: Plan, goal: Goal, path: Path) -> str:
    """Write the calendar; why it cannot be written, or nothing."""
    from grading.practice.plan.calendar import calendar

    try:
        path.write_text(calendar(made, goal), encoding="utf-8", newline="")
    except OSError as error:
        return f"the calendar cannot be written: {error}"
    say(word("plan-written", file=path))
    return ""


def current(progress: Progress, now: Known) -> Plan | None:
    """Today's plan; None where there is no goal, or its day has come."""
    goal = progress.goal()
    if not goal or date.fromisoformat(goal.day) <= now.today:
        return None
    return plan(now, date.fromisoformat(goal.day), goal.minutes)


def _show(made: Plan, goal: Goal, now: Known) -> None:
    from grading.reports.columns import flush, labelled, padded

    say(word("plan-head", day=goal.day, days=len(made.days), minutes=goal.minutes))
    rows = []
    for day in made.days:
        name = word("plan-today") if day.day == now.today else name_of(day.day)
        rows.append((padded(name, 11) + flush(word("plan-minutes", minutes=day.minutes), 8), steps(day)))
    rows.append((name_of(date.fromisoformat(goal.day)), word("plan-interview")))
    print("\n" + labelled(rows, COLUMN, width()) + "\n")
    if made.left_out:
        say(word("plan-left-out", katas=word("list-comma").join(made.left_out)))
    say(word("plan-how"))
