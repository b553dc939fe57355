"""When each kata is to be done again, and why: the reviews in the history are replayed through fsrs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from grading.catalog import Catalog, Kata
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, CELL, DRILL, EASY, FILE, HARD, INTERVIEW, Entry
from grading.practice.progress.times import ago
from grading.texts import Texts, word

if TYPE_CHECKING:
    from fsrs import Card, Scheduler

WHERE = {CELL: "due-cell", INTERVIEW: "due-interview", DRILL: "due-drill"}


@dataclass(frozen=True)
class Due:
    """A kata with at least one review. `at` is when it is to be done again, in seconds since 1970."""

    kata: Kata
    at: float
    last: Entry


def schedule(progress: Progress) -> list[Due]:
    """When each kata that was passed is due, in the catalogue's order."""
    found = []
    for kata in Catalog().katas:
        if reviews := progress.reviews(kata.stem):
            found.append(Due(kata, due_at(reviews), reviews[-1]))
    return found


def scheduler() -> Scheduler:
    """fsrs, without its learning steps of minutes: a kata, and an answer too, takes longer than these."""
    from fsrs import Scheduler

    return Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)


def card(ratings: Sequence[tuple[float, int]]) -> Card:
    """What fsrs knows after these reviews, each with its time."""
    from fsrs import Card, Rating

    schedule, card = scheduler(), Card(card_id=1)
    for at, rating in sorted(ratings):
        card, _ = schedule.review_card(card, Rating(rating), datetime.fromtimestamp(at, UTC))
    return card


def due_at(reviews: Sequence[Entry]) -> float:
    """When fsrs wants it again."""
    return card([(review.at, review.rating) for review in reviews]).due.timestamp()


def reason(due: Due, now: float) -> str:
    """Why it is due: `gqa: 9 days ago, on the way: kv heads are tiled, 2 hints`."""
    last, parts = due.last, []
    if last.causes:
        parts.append(word("due-causes", causes=Texts().causes(last.causes, last.explains)))
    if not last.passed:
        parts.append(word("due-not-finished"))
    elif last.rating == AGAIN:
        parts.append(word("due-reference"))
    if last.hints:
        parts.append(word("due-hints" if last.hints > 1 else "due-hint", count=last.hints))
    if last.rating == HARD and not last.hints:
        parts.append(word("due-slow", runs=last.runs, minutes=last.seconds / 60))
    if not parts:
        parts.append(word("due-easy" if last.rating == EASY else "due-well"))
    if last.kind != FILE:
        parts.insert(0, word(WHERE[last.kind]))
    return word("due", kata=due.kata.stem, ago=ago(now - last.at), reasons=word("comma").join(parts))
