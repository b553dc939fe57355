"""What a plan has on a day, in words, and what to type for it."""

from __future__ import annotations

from datetime import date

from grading.practice.plan.schedule import AGAIN, ALONE, ASK, MEND, ROUND, WRITE, Day, Step
from grading.texts import grader, word

COMMANDS = {
    WRITE: "problems/{kata}.py",
    AGAIN: "{grader} reset {kata}",
    ALONE: "python grader.py interview {kata}",
    ROUND: "python grader.py interview --round onsite --minutes {minutes:g}",
    MEND: "python grader.py drill {kata}",
    ASK: "{grader} questions --count {count}",
}


def name_of(day: date) -> str:
    """The day as a row has it: Mon 11-30."""
    return f"{word('weekdays').split()[day.weekday()]} {day:%m-%d}"


def steps(day: Day) -> str:
    """What is to be done on it, in a row."""
    return word("list-comma").join(map(label, day.steps)) or word("plan-nothing")


def label(step: Step) -> str:
    """A step in words, with its minutes."""
    return word(f"step-{step.kind}", kata=step.kata, count=step.count, minutes=step.minutes)


def command(step: Step) -> str:
    """What to type for it, or the file to edit."""
    return COMMANDS[step.kind].format(kata=step.kata, count=step.count, minutes=step.minutes, grader=grader())
