"""Which questions to ask, by how they were answered before: the schedule of katas, fsrs, for answers in words."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from grading.catalog import Kata
from grading.practice.interview.questions import LEVELS, Question, questions
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, GOOD, HARD, Answer

RATINGS = {"y": GOOD, "h": HARD, "n": AGAIN}  # the keys: knew it, half, not

Answers = Mapping[str, Sequence[Answer]]


def due(asked: Sequence[Question], answers: Answers, now: float) -> list[Question]:
    """Those that were answered before and are to be asked again, the longest overdue first."""
    waiting = [each for each in asked if answers.get(each.key) and answers[each.key][-1].due <= now]
    return sorted(waiting, key=lambda each: answers[each.key][-1].due)


def new(asked: Sequence[Question], answers: Answers) -> list[Question]:
    """Those that were never answered, the easy ones first."""
    fresh = [each for each in asked if not answers.get(each.key)]
    return sorted(fresh, key=lambda each: LEVELS.index(each.level))


def next_due(asked: Sequence[Question], answers: Answers) -> float:
    """When the next of those that were answered is to be asked again; 0 where there is none."""
    return min((answers[each.key][-1].due for each in asked if answers.get(each.key)), default=0.0)


def drawn(kata: Kata, answers: Answers, now: float, count: int, seed: int | None = None) -> list[Question]:
    """So many about a kata, drawn, in the order of its file: what is known and not due only where nothing else is."""
    asked, chance = questions(kata), random.Random(seed)
    open_ones = [*due(asked, answers, now), *new(asked, answers)]
    known = [each for each in asked if each not in open_ones]
    chosen = chance.sample(open_ones, min(count, len(open_ones)))
    chosen += chance.sample(known, min(count - len(chosen), len(known)))
    return sorted(chosen, key=asked.index)


def remember(progress: Progress, question: Question, rating: int, now: float) -> Answer:
    """The answer went so well; when to ask again comes from all that were given to this question."""
    from grading.practice.progress.review import card

    before = [(each.at, each.rating) for each in progress.answers().get(question.key, ())]
    answer = Answer(now, rating, card([*before, (now, rating)]).due.timestamp())
    progress.answered(question.key, answer)
    return answer
