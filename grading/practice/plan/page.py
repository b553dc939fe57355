"""A page of progress, without a script in it: the katas, mistakes over time, what is due, the plan, the history."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from grading.catalog import Catalog, Kata
from grading.practice.interview.questions import TOPICS, every
from grading.practice.plan.known import Known, known
from grading.practice.plan.plan import current
from grading.practice.plan.steps import command, label, name_of, steps
from grading.practice.progress.progress import Progress
from grading.practice.progress.review import due_at
from grading.practice.progress.state import AGAIN, HARD, INTERVIEW, Answer, Entry, Record
from grading.practice.progress.times import day, length, moment
from grading.reports.html import environment
from grading.texts import Texts, word

STAGES = ("new", "begun", "written", "repeated", "interviewed")  # of a kata, as its learner goes on
MISTAKES, WEEKS, LATEST = 12, 12, 25  # rows and columns that are shown, and entries of the history
SHADES = 4


@dataclass(frozen=True)
class KataRow:
    """A kata, and how far it is."""

    kata: Kata
    title: str
    stage: str
    attempts: int
    first: str
    best: str
    hints: int
    due: str
    is_due: bool


def page(progress: Progress, now: float | None = None) -> str:
    """The page as text: light and dark, for screens from a phone's on."""
    now = time.time() if now is None else now
    learner, texts = known(progress, now), Texts()
    rows = [_row(kata, progress.kata(kata.stem), learner, now) for kata in Catalog().katas]
    made = current(progress, learner)
    today = [(label(step), command(step)) for step in made.days[0].steps] if made else []
    weeks, mistakes = _mistakes(learner, texts)
    goal = progress.goal()
    values = {
        "rows": rows,
        "round": len(progress.rounds()) + 1,
        "passed": texts.passed([row.kata for row in rows if row.stage in STAGES[2:]]),
        "goal": goal if made else None,
        "days": [(name_of(each.day), each.minutes, steps(each)) for each in made.days] if made else [],
        "left_out": made.left_out if made else (),
        "today": today,
        "weeks": weeks,
        "mistakes": mistakes,
        "topics": _topics(progress.answers(), now),
        "entries": [_entry(each) for each in reversed(learner.entries[-LATEST:])],
        "stages": STAGES,
        "written": moment(now),
    }
    return environment().get_template("progress.html").render(texts=texts, **values)


def _row(kata: Kata, record: Record, learner: Known, now: float) -> KataRow:
    reviews = learner.reviews(kata.stem)
    at = due_at(reviews) if reviews else 0.0
    return KataRow(
        kata,
        Texts().title(kata),
        stage(learner.passes(kata.stem), bool(record.attempts)),
        record.attempts,
        day(record.first_pass) if record.first_pass else "",
        length(record.best_seconds) if record.best_seconds else "",
        record.hints_used,
        day(at) if at else "",
        0 < at <= now,
    )


def stage(passes: Sequence[Entry], begun: bool) -> str:
    """How far a kata is: never tried, tried, written once, written on two days, or written in an interview."""
    if any(entry.kind == INTERVIEW for entry in passes):
        return STAGES[4]
    days = {date.fromtimestamp(entry.at) for entry in passes}
    return STAGES[min(len(days), 2) + 1] if days else STAGES[int(begun)]


def _mistakes(learner: Known, texts: Texts) -> tuple[list[str], list[tuple[str, list[tuple[int, int]]]]]:
    """The weeks, and the mistakes named most often, each with a number and a shade for each week."""
    named = [(name, sentence, each.at) for each in learner.entries for name, sentence in each.causes.items()]
    if not named:
        return [], []
    weeks = _weeks(min(_monday(at) for _, _, at in named), _monday(learner.now))[-WEEKS:]
    often = Counter(name for name, _, _ in named)
    sentences = {name: sentence for name, sentence, _ in named}
    counts = Counter((name, _monday(at)) for name, _, at in named)
    rows = []
    for name, _ in often.most_common(MISTAKES):
        numbers = [counts[name, week] for week in weeks]
        rows.append((texts.cause(name, sentences[name], 0), [(number, min(number, SHADES)) for number in numbers]))
    return [f"{week:%m-%d}" for week in weeks], rows


def _monday(at: float) -> date:
    found = date.fromtimestamp(at)
    return found - timedelta(days=found.weekday())


def _weeks(first: date, last: date) -> list[date]:
    return [first + timedelta(weeks=number) for number in range((last - first).days // 7 + 1)]


def _topics(answers: dict[str, list[Answer]], now: float) -> list[tuple[str, dict[str, int], int]]:
    """For each topic how many questions were known at last, half, not, and were never asked; and how many are due."""
    found = []
    for topic in TOPICS:
        own = [answers.get(each.key, []) for each in every() if each.topic == topic]
        last = [given[-1].rating if given else 0 for given in own]
        kinds = {"new": last.count(0), "not": last.count(AGAIN), "half": last.count(HARD)}
        counts = {"knew": len(last) - sum(kinds.values()), "half": kinds["half"], "not": kinds["not"]}
        due = sum(bool(given) and given[-1].due <= now for given in own)
        found.append((topic, counts | {"new": kinds["new"]}, due))
    return found


def _entry(entry: Entry) -> dict[str, object]:
    found = word("hunt-found", found=entry.found, planted=entry.planted) if entry.planted else ""
    return {
        "at": moment(entry.at),
        "kata": entry.kata,
        "kind": word(f"kind-{entry.kind}"),
        "passed": entry.passed,
        "time": length(entry.seconds),
        "runs": entry.runs,
        "hints": entry.hints,
        "causes": found or Texts().causes(entry.causes, entry.explains),
    }
