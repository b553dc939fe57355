"""What is remembered between runs, in .kata/: the learner's progress, and what `reset` replaced."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from grading.catalog import ROOT, Catalog
from grading.practice.progress.state import (
    CELL,
    DRILL,
    FILE,
    Answer,
    Attempt,
    Entry,
    Goal,
    Record,
    digest,
    digest_of,
    form,
    plain,
    rate,
    work_of,
)
from grading.practice.progress.store import Store
from grading.records import KataResult, Report


class Progress(Store):
    """What is known of each kata, and what happens to it."""

    def kata(self, stem: str) -> Record:
        """What is known of that kata in this round."""
        return form(Record, self.read()["katas"].get(stem, {}))

    def history(self) -> list[Entry]:
        """The attempts that have ended, in all rounds, the oldest first."""
        entries = [form(Entry, each) for each in self.read()["history"]]
        return sorted(entries, key=lambda entry: entry.at)

    def reviews(self, stem: str) -> list[Entry]:
        """Those of that kata which the schedule goes by."""
        return [entry for entry in self.history() if entry.kata == stem and entry.rating]

    def answers(self) -> dict[str, list[Answer]]:
        """How the interview questions that were asked were answered, by the question's key."""
        return {key: [form(Answer, each) for each in given] for key, given in self.read()["answers"].items()}

    def goal(self) -> Goal | None:
        """What the plan is made for; None where there is none."""
        goal = self.read()["goal"]
        return form(Goal, goal) if goal else None

    def set_goal(self, goal: Goal | None) -> None:
        """Have another goal, or none."""
        with self.changing() as data:
            data["goal"] = plain(goal) if goal else None

    def rounds(self) -> list[dict[str, Any]]:
        """The rounds that were ended by `reset --all`, the oldest first."""
        return list(self.read()["rounds"])

    def passed(self, stem: str, path: Path) -> bool:
        """Whether that file passed when it was last graded, and has not been changed since."""
        record = self.kata(stem)
        return record.outcome == "passed" and record.digest == digest(path)

    def hints(self, stem: str) -> int:
        """How many hints of that kata were shown."""
        return self.kata(stem).hints

    def hints_read(self) -> frozenset[str]:
        """The katas all of whose hints were shown."""
        return frozenset(kata.stem for kata in Catalog().katas if self.hints(kata.stem) >= len(kata.hints))

    def set_hints(self, stem: str, level: int) -> None:
        """Remember how many were shown."""
        with self.changing() as data:
            record, attempt = _open(data, stem)
            new = max(0, level - record.hints)
            record.hints, record.hints_used = level, record.hints_used + new
            if attempt:
                attempt.hints += new
            _close(data, stem, record, attempt)

    def reveal(self, stem: str) -> None:
        """The reference was shown before the learner's own passed."""
        with self.changing() as data:
            record, attempt = _open(data, stem)
            if attempt:
                attempt.revealed = True
            _close(data, stem, record, attempt)

    def record(self, report: Report, now: float | None = None, cell: str | None = None) -> None:
        """Remember a grade of ROOT/problems, or of a notebook's cell, whose text `cell` is."""
        at = time.time() if now is None else now
        with self.changing() as data:
            for result in report.katas:
                if not (result.fault and result.outcome == "broken"):
                    _record(data, result, at) if cell is None else _record_cell(data, result, at, cell)

    def ended(self, entry: Entry) -> None:
        """An attempt in an interview or a drill has ended: it counts as those in problems/ do.

        To mend a drill is no pass of the kata, for the learner has not written it.
        """
        with self.changing() as data:
            record, attempt = _open(data, entry.kata)
            record.attempts += entry.runs
            record.elsewhere[entry.kind] = record.elsewhere.get(entry.kind, 0) + entry.runs
            _name(record, entry.causes, entry.explains)
            if entry.passed and entry.kind != DRILL:
                record.passes += 1
                record.first_pass = record.first_pass or entry.at
                record.best_seconds = min(record.best_seconds or entry.seconds, entry.seconds)
            data["history"].append(plain(entry))
            _close(data, entry.kata, record, attempt)

    def answered(self, key: str, answer: Answer) -> None:
        """An interview question was asked, and answered so well."""
        with self.changing() as data:
            data["answers"].setdefault(key, []).append(plain(answer))

    def fresh(self, stem: str, now: float | None = None) -> None:
        """The stub is back: the hints start again, and a new attempt begins."""
        now = time.time() if now is None else now
        with self.changing() as data:
            record, _ = _open(data, stem)
            record.hints, record.outcome, record.digest, record.cell_outcome, record.cell_digest = 0, "", "", "", ""
            _close(data, stem, record, Attempt(began=now, last=now))

    def new_round(self, now: float | None = None) -> int:
        """End the round, keep what it was, begin the next; its number. A round in which nothing was done goes on."""
        with self.changing() as data:
            if any(form(Record, entry).attempts for entry in data["katas"].values()):
                data["rounds"].append({"ended": time.time() if now is None else now, "katas": data["katas"]})
                data["katas"] = {}
            return len(data["rounds"]) + 1

    def back_up(self, path: Path) -> Path | None:
        """A copy of that file, and where it is; None where there is nothing to keep."""
        if not path.is_file():
            return None
        target = self.folder / "backups" / f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1000:03}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        return target


def _record_cell(data: dict[str, Any], result: KataResult, now: float, cell: str) -> None:
    """As for a file; but a stub is in each notebook, and to run it on the way through begins no attempt."""
    record, attempt = _open(data, result.kata)
    mark = digest_of(cell.encode("utf-8", "surrogatepass"))
    if result.outcome == "not started" or (mark, result.outcome) == (record.cell_digest, record.cell_outcome):
        return
    record.cell_digest, record.cell_outcome = mark, result.outcome
    record.elsewhere[CELL] = record.elsewhere.get(CELL, 0) + 1
    attempt = _grade(data, record, attempt, result, now, CELL)
    _close(data, result.kata, record, attempt)


def _record(data: dict[str, Any], result: KataResult, now: float) -> None:
    record, attempt = _open(data, result.kata)
    mark = digest(ROOT / result.file)
    if (mark, result.outcome) == (record.digest, record.outcome):
        return
    record.digest, record.outcome = mark, result.outcome
    if result.outcome == "not started":
        if not mark:
            return
        attempt = attempt or Attempt()
        attempt.tick(now)
    else:
        attempt = _grade(data, record, attempt, result, now, FILE)
    _close(data, result.kata, record, attempt)


def _grade(
    data: dict[str, Any], record: Record, attempt: Attempt | None, result: KataResult, now: float, kind: str
) -> Attempt | None:
    """One grade more. A pass from a fresh stub is a review; mending what passed before is not."""
    record.attempts += 1
    sentences = {cause.name: cause.sentence for cause in result.causes}
    explains = {cause.name: len(cause.explains) for cause in result.causes}
    _name(record, sentences, explains)
    if attempt:
        attempt.tick(now)
        attempt.runs += 1
        attempt.causes |= sentences
        attempt.explains |= explains
    if result.outcome != "passed":
        return attempt
    record.passes += 1
    record.first_pass = record.first_pass or now
    if attempt:
        record.best_seconds = min(record.best_seconds or attempt.seconds, attempt.seconds)
        rating = rate(attempt, Catalog()[result.kata].minutes)
        data["history"].append(plain(Entry(result.kata, now, kind, rating=rating, **work_of(attempt))))
    return None


def _name(record: Record, sentences: dict[str, str], explains: dict[str, int]) -> None:
    """These mistakes were named once more."""
    for name in sentences:
        record.causes[name] = record.causes.get(name, 0) + 1
    record.sentences |= sentences
    record.explains |= explains


def _open(data: dict[str, Any], stem: str) -> tuple[Record, Attempt | None]:
    record = form(Record, data["katas"].get(stem, {}))
    attempt = form(Attempt, record.attempt) if record.attempt else None
    return record, attempt if attempt or record.passes or record.outcome else Attempt()


def _close(data: dict[str, Any], stem: str, record: Record, attempt: Attempt | None) -> None:
    record.attempt = plain(attempt) if attempt else None
    data["katas"][stem] = plain(record)
