"""The verb `due`: what to do today, and why. With a plan it is the plan's day, without one what fsrs wants again."""

from __future__ import annotations

import argparse
import time

from grading.console import PASS, Verbs, say
from grading.practice.interview.questions import every
from grading.practice.interview.recall import due as due_questions
from grading.practice.plan.known import known
from grading.practice.plan.plan import current
from grading.practice.plan.schedule import AGAIN, Plan
from grading.practice.plan.steps import command, label
from grading.practice.progress.progress import Progress
from grading.practice.progress.review import reason, schedule
from grading.practice.progress.times import ahead
from grading.texts import word


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    verbs.add_parser("due", help="what to do today, and why").set_defaults(run=_due)


def _due(arguments: argparse.Namespace) -> int:
    progress = Progress()
    made = current(progress, known(progress))
    if made:
        _planned(progress, made)
    else:
        _reviews(progress)
        _questions(progress)
    return PASS


def _planned(progress: Progress, made: Plan) -> None:
    """Today's steps, each with what to type, and the reason where something is to be done again."""
    now, today = time.time(), made.days[0]
    say(word("due-plan", days=len(made.days)))
    reasons = {due.kata.stem: reason(due, now) for due in schedule(progress)}
    for step in today.steps:
        say("- " + word("due-step", step=label(step), command=command(step)), "  ")
        if step.kind == AGAIN:
            say("  " + reasons[step.kata], "  ")
    if not today.steps:
        say(word("due-plan-done"))


def _reviews(progress: Progress) -> None:
    now = time.time()
    waiting = sorted(schedule(progress), key=lambda due: due.at)
    today = [due for due in waiting if due.at <= now]
    for due in today:
        say(reason(due, now), " " * 4)
    if today:
        print()
        say(word("due-reset", katas=" ".join(due.kata.stem for due in today)))
    elif waiting:
        say(word("due-next", kata=waiting[0].kata.stem, when=ahead(waiting[0].at - now)))
    else:
        say(word("due-nothing"))


def _questions(progress: Progress) -> None:
    if count := len(due_questions(every(), progress.answers(), time.time())):
        say(word("due-questions", count=count))
