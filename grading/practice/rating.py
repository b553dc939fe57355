"""How well a pass went, in fsrs's four grades. Nothing here imports fsrs: a grade may not wait for it."""

from __future__ import annotations

from grading.practice.state import Go, Review

AGAIN, HARD, GOOD, EASY = 1, 2, 3, 4
MANY_RUNS = 8


def rate(go: Go, minutes: int, now: float) -> Review:
    """The review that a pass is.

    Again where the reference was looked at, hard where it took hints, many runs or twice the kata's minutes, easy
    where it was right within two runs, without a named mistake and in half the minutes.
    """
    limit = minutes * 60.0
    if go.revealed:
        rating = AGAIN
    elif go.hints or go.runs > MANY_RUNS or go.seconds > 2 * limit:
        rating = HARD
    elif go.runs <= 2 and not go.causes and go.seconds <= limit / 2:
        rating = EASY
    else:
        rating = GOOD
    return Review(now, rating, round(go.seconds, 1), go.runs, go.hints, go.revealed, dict(go.causes))
