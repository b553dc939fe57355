"""How well a pass went, in fsrs's four grades. Nothing here imports fsrs: a grade may not wait for it."""

from __future__ import annotations

from grading.practice.progress.state import Attempt, Review

AGAIN, HARD, GOOD, EASY = 1, 2, 3, 4
MANY_RUNS = 8


def rate(attempt: Attempt, minutes: float, now: float) -> Review:
    """The review that a pass is.

    Again where the reference was looked at, hard where it took hints, many runs or twice the kata's minutes, easy
    where it was right within two runs, without a named mistake and in half the minutes.
    """
    limit = minutes * 60.0
    if attempt.revealed:
        rating = AGAIN
    elif attempt.hints or attempt.runs > MANY_RUNS or attempt.seconds > 2 * limit:
        rating = HARD
    elif attempt.runs <= 2 and not attempt.causes and attempt.seconds <= limit / 2:
        rating = EASY
    else:
        rating = GOOD
    return Review(
        now,
        rating,
        round(attempt.seconds, 1),
        attempt.runs,
        attempt.hints,
        attempt.revealed,
        dict(attempt.causes),
        dict(attempt.explains),
    )
