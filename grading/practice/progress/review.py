"""The verb `due`: which katas to redo today, and why. Passes from a fresh stub are replayed through fsrs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from grading.catalog import Catalog, Kata
from grading.console import PASS, Verbs, width
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, EASY, HARD, Review
from grading.texts import Texts, word

DAY = 86400.0


@dataclass(frozen=True)
class Due:
    """A kata with at least one pass. `at` is when it is to be done again, in seconds since 1970."""

    kata: Kata
    at: float
    last: Review


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    verbs.add_parser("due", help="what to redo today, and why").set_defaults(run=_due)


def _due(arguments: argparse.Namespace) -> int:
    from grading.reports.columns import wrap

    now = time.time()
    plan = sorted(schedule(Progress()), key=lambda due: due.at)
    today = [due for due in plan if due.at <= now]
    for due in today:
        print("\n".join(wrap(reason(due, now), width(), "    ")))
    if today:
        print("\n" + word("due-reset", katas=" ".join(due.kata.stem for due in today)))
    elif plan:
        print(word("due-next", kata=plan[0].kata.stem, when=_ahead(plan[0].at - now)))
    else:
        print(word("due-nothing"))
    return PASS


def schedule(progress: Progress) -> list[Due]:
    """When each kata that was passed is due, in the catalogue's order."""
    found = []
    for kata in Catalog().katas:
        if reviews := progress.reviews(kata.stem):
            found.append(Due(kata, due_at(reviews), reviews[-1]))
    return found


def due_at(reviews: Sequence[Review]) -> float:
    """When fsrs wants it again. No learning steps of minutes: a kata takes longer than these."""
    from fsrs import Card, Rating, Scheduler

    scheduler = Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)
    card = Card(card_id=1)
    for review in sorted(reviews, key=lambda review: review.at):
        card, _ = scheduler.review_card(card, Rating(review.rating), datetime.fromtimestamp(review.at, UTC))
    return card.due.timestamp()


def reason(due: Due, now: float) -> str:
    """Why it is due: `gqa: 9 days ago, on the way: kv heads are tiled, 2 hints`."""
    last, parts = due.last, []
    if last.causes:
        parts.append(word("due-causes", causes=Texts().causes(last.causes, last.explains)))
    if last.rating == AGAIN:
        parts.append(word("due-reference"))
    if last.hints:
        parts.append(word("due-hints" if last.hints > 1 else "due-hint", count=last.hints))
    if last.rating == HARD and not last.hints:
        parts.append(word("due-slow", runs=last.runs, minutes=last.seconds / 60))
    if not parts:
        parts.append(word("due-easy" if last.rating == EASY else "due-well"))
    if last.cell:
        parts.insert(0, word("due-cell"))
    return word("due", kata=due.kata.stem, ago=_ago(now - last.at), reasons=word("comma").join(parts))


def _ago(seconds: float) -> str:
    days = int(seconds // DAY)
    return word("today" if days < 1 else "yesterday") if days < 2 else word("days-ago", count=days)


def _ahead(seconds: float) -> str:
    days = -int(-seconds // DAY)
    return word("tomorrow") if days <= 1 else word("in-days", count=days)
