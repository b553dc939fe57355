"""What a plan rests on: what is known of the learner at one moment, taken from what is remembered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median

from grading.catalog import Catalog, Kata
from grading.practice.interview.questions import every
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import DRILL, Answer, Entry

MINUTES_A_QUESTION = 1.5
AGAIN = 0.7  # how long a kata takes again, beside the first time
SLOWEST, QUICKEST = 3.0, 0.4  # paces that are believed


@dataclass(frozen=True)
class Known:
    """`entries` are the history, `answers` the last answer to each question that was ever asked, `now` the moment."""

    katas: tuple[Kata, ...]
    entries: tuple[Entry, ...]
    answers: tuple[Answer, ...]
    questions: int
    now: float

    @property
    def today(self) -> date:
        return date.fromtimestamp(self.now)

    def passes(self, stem: str = "") -> list[Entry]:
        """When that kata, or any, was written and passed."""
        return [each for each in self.entries if each.passed and each.kind != DRILL and stem in ("", each.kata)]

    def reviews(self, stem: str) -> list[Entry]:
        """What the schedule of that kata goes by."""
        return [each for each in self.entries if each.kata == stem and each.rating]

    def days_of(self, kind: str) -> list[date]:
        """The days with an interview, or a drill, the first to the last."""
        return [date.fromtimestamp(each.at) for each in self.entries if each.kind == kind]

    def times(self, kind: str, stem: str) -> int:
        """How many interviews, or drills, there were about that kata."""
        return sum(each.kind == kind and each.kata == stem for each in self.entries)

    def mistakes(self, stem: str) -> int:
        """How many mistakes were named on the way to passes of that kata."""
        return sum(len(each.causes) for each in self.entries if each.kata == stem)

    @property
    def pace(self) -> float:
        """How long this learner takes, beside the minutes of the katas: 1 where nothing is known."""
        minutes = {kata.stem: kata.minutes for kata in self.katas}
        shares = [
            each.seconds / 60 / minutes[each.kata] for each in self.passes() if each.kata in minutes and each.seconds
        ]
        return min(max(median(shares), QUICKEST), SLOWEST) if shares else 1.0

    def minutes(self, kata: Kata, again: bool) -> float:
        """How long that kata will take, in steps of five minutes: by the last time, or by the learner's pace."""
        last = [each.seconds / 60 for each in self.passes(kata.stem)[-1:] if each.seconds]
        expected = min(last[0], SLOWEST * kata.minutes) if last else kata.minutes * self.pace
        return max(5.0, 5.0 * round(expected * (AGAIN if again else 1.0) / 5))

    @property
    def spent(self) -> float:
        """Minutes of work today, as far as it has come to an end."""
        done = sum(each.seconds / 60 for each in self.entries if date.fromtimestamp(each.at) == self.today)
        return done + MINUTES_A_QUESTION * self.answered_today

    @property
    def answered_today(self) -> int:
        return sum(date.fromtimestamp(each.at) == self.today for each in self.answers)


def known(progress: Progress, now: float | None = None) -> Known:
    """What is known now."""
    asked = {each.key for each in every()}
    answers: Sequence[Answer] = [given[-1] for key, given in progress.answers().items() if given and key in asked]
    now = time.time() if now is None else now
    return Known(Catalog().sound, tuple(progress.history()), tuple(answers), len(asked), now)
