"""What to do on each day up to the interview, from what is known of the learner.

It is made anew whenever it is asked for. So a day that was missed moves what was in it, and what goes better or worse
than expected changes what comes.

A day is filled in this order, as far as its minutes go:

1. questions: those that are due and a share of the new ones; a quarter of the time is kept for them;
2. an interview, every third day once two katas are written; near the end a whole round instead;
3. in the last days, katas that were not seen in them yet, those of the first track before others, so that each is seen
   once more shortly before;
4. katas that fsrs wants again, in at most half of the time as long as katas of the first track are left to write;
5. the next kata that was never written, in the order of the catalog; none on the last two days, unless less than half
   of the first track is written;
6. every third day a drill, about the kata with most mistakes.

What does not fit waits for the next day, where it comes first, and then it may be longer than the day. Of what is
planned it is assumed that it goes well: when it does not, the plan of the next day knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from grading.catalog import TRACKS, Kata
from grading.practice.interview.rounds import ROUNDS
from grading.practice.plan.known import MINUTES_A_QUESTION, Known
from grading.practice.progress.review import card, scheduler
from grading.practice.progress.state import DRILL, GOOD, INTERVIEW
from grading.practice.progress.times import DAY

if TYPE_CHECKING:
    from fsrs import Card

WRITE, AGAIN, ALONE, ROUND, MEND, ASK = "write", "again", "interview", "round", "drill", "questions"  # kinds of steps
QUESTIONS_SHARE, AGAIN_SHARE = 0.25, 0.5
EVERY = 3  # days between two interviews, and between two drills
NOTHING_NEW = 2  # days before the interview: without a new kata
LAST_DAYS = 4  # in which all is seen once more, and nothing keeps from what is to be written
ROUNDS_FROM = 5  # days before the interview
AFTER_INTERVIEW = 10.0  # minutes for its questions
DRILL_MINUTES = 10.0
MOST_QUESTIONS = 30  # a day
FIRST_GAP, GROWTH = 2, 5  # days until a question comes again, and how much longer each time: about what fsrs does


@dataclass(frozen=True)
class Step:
    """Something to do: about a kata, or `count` questions."""

    kind: str
    minutes: float
    kata: str = ""
    count: int = 0


@dataclass
class Day:
    """What to do on a day; `left` are the minutes that are left, `fresh` says that nothing was done on it yet."""

    day: date
    left: float
    fresh: bool
    steps: list[Step] = field(default_factory=list)

    @property
    def minutes(self) -> float:
        return sum(step.minutes for step in self.steps)

    def take(self, step: Step, room: float | None = None, alone: bool = True) -> bool:
        """Put it into the day if it fits into the room; with `alone`, also as the first of a day that is too short."""
        fits = step.minutes <= (self.left if room is None else min(room, self.left))
        if not fits and not (alone and self.fresh and not self.steps):
            return False
        self.steps.append(step)
        self.left -= step.minutes
        return True


@dataclass(frozen=True)
class Plan:
    """The days, today first, and the katas for which there is no time."""

    days: tuple[Day, ...]
    left_out: tuple[str, ...]


def plan(known: Known, until: date, minutes: float) -> Plan:
    """The days from today to the day before the interview; none where that is today or was before."""
    return _Planner(known, until, minutes).plan()


class _Planner:
    """Goes through the days and keeps what will be known on each of them."""

    def __init__(self, known: Known, until: date, minutes: float) -> None:
        self.known, self.until, self.minutes = known, until, minutes
        self.katas = {kata.stem: kata for kata in known.katas}
        self.cards: dict[str, Card] = {}
        self.seen: dict[str, date] = {}
        for stem in self.katas:
            if reviews := known.reviews(stem):
                self.cards[stem] = card([(each.at, each.rating) for each in reviews])
                self.seen[stem] = date.fromtimestamp(reviews[-1].at)
        self.written = {kata.stem for kata in known.katas if known.passes(kata.stem)}
        self.interviews = {stem: known.times(INTERVIEW, stem) for stem in self.katas}
        self.drills = {stem: known.times(DRILL, stem) for stem in self.katas}
        self.last = {kind: max(known.days_of(kind), default=date.min) for kind in (INTERVIEW, DRILL)}
        # when each question is due, and how many days it waited for that
        self.waiting = sorted((date.fromtimestamp(each.due), int((each.due - each.at) / DAY)) for each in known.answers)
        self.new_questions = known.questions - len(known.answers)
        self.schedule = scheduler()
        self.days = (until - known.today).days
        self.last_days = until - timedelta(days=LAST_DAYS)

    def plan(self) -> Plan:
        made = tuple(self._day(self.known.today + timedelta(days=number)) for number in range(max(self.days, 0)))
        left_out = tuple(stem for stem in self.katas if stem not in self.written)
        return Plan(made, left_out)

    def _day(self, today: date) -> Day:
        is_today = today == self.known.today
        spent = self.known.spent if is_today else 0.0
        day, left = Day(today, max(0.0, self.minutes - spent), not spent), max(0.0, self.minutes - spent)
        if not left:
            return day
        due, new = self._questions(today, self.known.answered_today if is_today else 0)
        kept = MINUTES_A_QUESTION * min(due + new, int(QUESTIONS_SHARE * left / MINUTES_A_QUESTION))
        day.left -= kept
        for stem in self._interviewed(today):
            self._interview(day, stem)
        self._refresh(day)
        self._again(day)
        self._write(day)
        self._drill(day)
        day.left += kept
        self._ask(day, due, new)
        return day

    def _minutes(self, stem: str) -> float:
        return self.known.minutes(self.katas[stem], again=stem in self.written)

    def _went_well(self, stem: str, today: date) -> None:
        from fsrs import Card, Rating

        noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
        before = self.cards.get(stem) or Card(card_id=1)
        self.cards[stem], _ = self.schedule.review_card(before, Rating(GOOD), noon)
        self.seen[stem] = today

    # ------------------------------------------------------------------------------------- what may be in a day

    def _questions(self, today: date, answered: int) -> tuple[int, int]:
        """How many are due, and how many new ones it takes a day to see all of them in time."""
        due = sum(at <= today for at, _ in self.waiting)
        return due, max(0, -(-self.new_questions // (self.until - today).days) - answered)

    def _ask(self, day: Day, due: int, new: int) -> None:
        """As many as there is time for; they are answered well, and come again later each time."""
        count = min(due + new, int(max(day.left, 0.0) / MINUTES_A_QUESTION), MOST_QUESTIONS)
        if not count or not day.take(Step(ASK, count * MINUTES_A_QUESTION, count=count)):
            return
        again, left = self.waiting[: min(count, due)], self.waiting[min(count, due) :]
        fresh = count - len(again)
        self.new_questions -= fresh
        gaps = [max(FIRST_GAP, GROWTH * gap) for _, gap in again] + [FIRST_GAP] * fresh
        self.waiting = sorted([*left, *((day.day + timedelta(days=gap), gap) for gap in gaps)])

    def _interviewed(self, today: date) -> list[str]:
        """The kata of today's interview, if there is to be one: the one with fewest, not seen for longest."""
        ready = [stem for stem in self.katas if stem in self.written and self.seen.get(stem, today) < today]
        if today >= self.last_days and self._hurried(today):
            return []
        if len(self.written) < 2 or (today - self.last[INTERVIEW]).days < EVERY:
            return []
        return sorted(ready, key=lambda stem: (self.interviews[stem], self.seen[stem]))[:1]

    def _interview(self, day: Day, stem: str) -> None:
        """An interview about that kata; near the end a whole round, as long a one as there is time for."""
        rounds = [minutes for minutes in ROUNDS if minutes <= day.left]
        if (self.until - day.day).days <= ROUNDS_FROM and rounds:
            step = Step(ROUND, max(rounds))
        else:
            step = Step(ALONE, self.katas[stem].minutes + AFTER_INTERVIEW, stem)
        if day.take(step):
            self.last[INTERVIEW] = day.day
            if step.kind == ALONE:
                self.interviews[stem] += 1
                self._went_well(stem, day.day)

    def _again(self, day: Day) -> None:
        """What is due, not at the cost of what has to be written."""
        hurried = self._hurried(day.day)
        room = AGAIN_SHARE * self.minutes if hurried else day.left
        for stem in self._due(day.day):
            if day.take(Step(AGAIN, self._minutes(stem), stem), room, alone=not hurried):
                room -= day.steps[-1].minutes
                self._went_well(stem, day.day)

    def _due(self, today: date) -> list[str]:
        """The katas that fsrs wants again by the end of that day, the longest overdue first."""
        due = {stem: each.due.astimezone().date() for stem, each in self.cards.items()}
        waiting = [stem for stem in due if due[stem] <= today and self.seen[stem] < today]
        return sorted(waiting, key=lambda stem: due[stem])

    def _new(self, today: date) -> list[str]:
        """The katas that were never written, as far as those that they come after were."""
        first = [stem for stem, kata in self.katas.items() if kata.track == TRACKS[0]]
        enough = 2 * len(self.written.intersection(first)) >= len(first)
        return [] if enough and (self.until - today).days <= NOTHING_NEW else list(self._open())

    def _hurried(self, today: date) -> bool:
        """Whether katas of the first track are left to write."""
        return any(self.katas[stem].track == TRACKS[0] for stem in self._new(today))

    def _open(self) -> Iterator[str]:
        for stem, kata in self.katas.items():
            if stem not in self.written and self._is_ready(kata):
                yield stem

    def _is_ready(self, kata: Kata) -> bool:
        return all(stem in self.written or stem not in self.katas for stem in kata.after)

    def _write(self, day: Day) -> None:
        """New katas, one after the other, as long as the first of them fits."""
        while waiting := self._new(day.day):
            if not day.take(Step(WRITE, self._minutes(waiting[0]), waiting[0])):
                return
            self.written.add(waiting[0])
            self._went_well(waiting[0], day.day)

    def _refresh(self, day: Day) -> None:
        """In the last days, the katas that were not seen in them yet."""
        if day.day < self.last_days or self._hurried(day.day):
            return
        waiting = [stem for stem in self.written if self.seen.get(stem, date.min) < self.last_days]
        order = {stem: (TRACKS.index(kata.track), self.seen.get(stem, date.min)) for stem, kata in self.katas.items()}
        for stem in sorted(waiting, key=lambda stem: order[stem]):
            if day.take(Step(AGAIN, self._minutes(stem), stem)):
                self._went_well(stem, day.day)

    def _drill(self, day: Day) -> None:
        """About the kata with most mistakes that was not seen today."""
        others = [stem for stem in self.katas if stem in self.written and self.seen.get(stem) != day.day]
        if not others or (day.day - self.last[DRILL]).days < EVERY:
            return
        stem = max(others, key=lambda stem: (self.known.mistakes(stem) / (1 + self.drills[stem]), -self.drills[stem]))
        if day.take(Step(MEND, DRILL_MINUTES, stem), alone=False):
            self.last[DRILL] = day.day
            self.drills[stem] += 1
