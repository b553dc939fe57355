"""What is remembered between runs, in .kata/: the learner's progress, and what `reset` replaced."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from grading.catalog import ROOT, Catalog
from grading.practice.progress.state import Attempt, Record, Review, digest, digest_of, form, plain, rate
from grading.practice.progress.store import Store
from grading.records import KataResult, Report


class Progress(Store):
    """What is known of each kata, and what happens to it."""

    def kata(self, stem: str) -> Record:
        """What is known of that kata in this round."""
        return form(Record, self.read()["katas"].get(stem, {}))

    def reviews(self, stem: str) -> list[Review]:
        """Its passes from a fresh stub, in all rounds."""
        return [form(Review, each) for each in self.read()["reviews"].get(stem, [])]

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
        data, record, attempt = self._open(stem)
        new = max(0, level - record.hints)
        record.hints, record.hints_used = level, record.hints_used + new
        if attempt:
            attempt.hints += new
        self._close(data, stem, record, attempt)

    def reveal(self, stem: str) -> None:
        """The reference was shown before the learner's own passed."""
        data, record, attempt = self._open(stem)
        if attempt:
            attempt.revealed = True
        self._close(data, stem, record, attempt)

    def record(self, report: Report, now: float | None = None, cell: str | None = None) -> None:
        """Remember a grade of ROOT/problems, or of a notebook's cell, whose text `cell` is."""
        for result in report.katas:
            if not (result.fault and result.outcome == "broken"):
                at = time.time() if now is None else now
                self._record(result, at) if cell is None else self._record_cell(result, at, cell)

    def _record_cell(self, result: KataResult, now: float, cell: str) -> None:
        """As for a file; but a stub is in each notebook, and to run it on the way through begins no attempt."""
        data, record, attempt = self._open(result.kata)
        mark = digest_of(cell.encode("utf-8", "surrogatepass"))
        if result.outcome == "not started" or (mark, result.outcome) == (record.cell_digest, record.cell_outcome):
            return
        record.cell_digest, record.cell_outcome = mark, result.outcome
        record.cells += 1
        attempt = self._grade(data, record, attempt, result, now, cell=True)
        self._close(data, result.kata, record, attempt)

    def _record(self, result: KataResult, now: float) -> None:
        data, record, attempt = self._open(result.kata)
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
            attempt = self._grade(data, record, attempt, result, now)
        self._close(data, result.kata, record, attempt)

    def _grade(
        self,
        data: dict[str, Any],
        record: Record,
        attempt: Attempt | None,
        result: KataResult,
        now: float,
        cell: bool = False,
    ) -> Attempt | None:
        """One attempt more. A pass from a fresh stub is a review; mending what passed before is not."""
        record.attempts += 1
        for cause in result.causes:
            record.causes[cause.name] = record.causes.get(cause.name, 0) + 1
        sentences = {cause.name: cause.sentence for cause in result.causes}
        explains = {cause.name: len(cause.explains) for cause in result.causes}
        record.sentences |= sentences
        record.explains |= explains
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
            review = replace(rate(attempt, Catalog()[result.kata].minutes, now), cell=cell)
            data["reviews"].setdefault(result.kata, []).append(plain(review))
        return None

    def fresh(self, stem: str, now: float | None = None) -> None:
        """The stub is back: the hints start again, and a new go begins."""
        data, record, _ = self._open(stem)
        now = time.time() if now is None else now
        record.hints, record.outcome, record.digest, record.cell_outcome, record.cell_digest = 0, "", "", "", ""
        self._close(data, stem, record, Attempt(began=now, last=now))

    def new_round(self, now: float | None = None) -> int:
        """End the round, keep what it was, begin the next; its number. A round in which nothing was done goes on."""
        data = self.read()
        if any(form(Record, entry).attempts for entry in data["katas"].values()):
            data["rounds"].append({"ended": time.time() if now is None else now, "katas": data["katas"]})
            data["katas"] = {}
            self.write(data)
        return len(data["rounds"]) + 1

    def back_up(self, path: Path) -> Path | None:
        """A copy of that file, and where it is; None where there is nothing to keep."""
        if not path.is_file():
            return None
        target = self.folder / "backups" / f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1000:03}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        return target

    def _open(self, stem: str) -> tuple[dict[str, Any], Record, Attempt | None]:
        data = self.read()
        record = form(Record, data["katas"].get(stem, {}))
        attempt = form(Attempt, record.attempt) if record.attempt else None
        return data, record, attempt if attempt or record.passes or record.outcome else Attempt()

    def _close(self, data: dict[str, Any], stem: str, record: Record, attempt: Attempt | None) -> None:
        record.attempt = plain(attempt) if attempt else None
        data["katas"][stem] = plain(record)
        self.write(data)
