"""What `watch` does: saves, keys and signals come in, verdicts go to the screen."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from rich.console import Console

from grading.catalog import Catalog, Kata
from grading.practice.progress.progress import Progress
from grading.practice.watch.screen import State, draw
from grading.practice.watch.stoppable_examiner import StoppableExaminer
from grading.records import Report
from grading.stubs import stub
from grading.texts import word


class Event(NamedTuple):
    """`what` happened: "key", "save", "draw" or "polling"; the key, or the name of the file."""

    what: str
    value: str = ""


class Loop:
    """Events come in from the threads of the keys and the saves; grades run here, in the main thread, one at a time.

    A save in the middle of a grade cuts that short: its verdict is dropped, and the next grade reads the new text.
    """

    def __init__(self, examiner: StoppableExaminer, console: Console, folder: Path, kata: Kata | None) -> None:
        self.examiner = examiner
        self.folder = folder
        self.console = console
        self.progress = Progress()
        self.events: SimpleQueue[Event] = SimpleQueue()  # signal handlers may put into this kind
        self.ended = False
        passed = {stem for stem in Catalog().stems if self.progress.passed(stem, folder / f"{stem}.py")}
        self.state = State(kata or next(self._others(None, passed)), passed=passed)

    # -------------------------------------------------------------------------- called from threads and signals

    def saved(self, names: set[str]) -> None:
        for name in names:
            self.events.put(Event("save", name.removesuffix(".py")))
        self.examiner.stop()

    def pressed(self, key: str) -> None:
        self.events.put(Event("key", key))
        if key == "q":
            self.examiner.stop()

    def polls(self) -> None:
        self.events.put(Event("polling"))

    def heed_resizes(self) -> None:
        if hasattr(signal, "SIGWINCH"):  # not on Windows: there the next event draws it in its new size
            signal.signal(signal.SIGWINCH, lambda *_: self.events.put(Event("draw")))

    # ------------------------------------------------------------------------------------------ the main thread

    def run(self) -> None:
        """Until q."""
        self.grade()
        while not self.ended:
            due = False
            for event in self._waiting():
                due = self._handle(event) or due
            if due and not self.ended:
                self.grade()
            self.draw()

    def _waiting(self) -> list[Event]:
        """The next event, and what came with it: several saves make one grade."""
        events = [self.events.get()]
        while True:
            try:
                events.append(self.events.get_nowait())
            except Empty:
                return events

    def _handle(self, event: Event) -> bool:
        """Take an event in; whether a grade is due."""
        if event.what == "polling":
            self.state.polling = True
        if event.what == "key":
            return self._key(event.value)
        if event.what == "save" and event.value in Catalog().stems:
            self._turn_to(Catalog()[event.value])
            return True
        return False

    def _key(self, key: str) -> bool:
        state = self.state
        if state.asking:
            state.asking = ""
            if key == "y":
                self._reset()
            return key == "y"
        if key == "q":
            self.ended = True
        elif key == " ":
            state.page += 1
        elif key == "l":
            state.view, state.page = ("verdict" if state.view == "list" else "list"), 0
        elif key == "h":
            self._hint()
        elif key == "x":
            state.asking = word("put-back", file=f"problems/{state.kata.stem}.py")
        elif key == "o" and state.done:
            state.view, state.page = ("verdict" if state.view == "compare" else "compare"), 0
        elif key == "c":
            self._check_all()
        elif key == "n":
            self._turn_to(next(self._others(state.kata, state.passed)))
        return key in ("n", "r")

    def _turn_to(self, kata: Kata) -> None:
        if kata != self.state.kata:
            self.state.report = None
        self.state.kata, self.state.view, self.state.page, self.state.asking = kata, "verdict", 0, ""

    def _others(self, kata: Kata | None, passed: set[str]) -> Iterator[Kata]:
        """The katas after that one, round and round, those that do not pass first."""
        katas = Catalog().katas
        start = katas.index(kata) + 1 if kata else 0
        order = [*katas[start:], *katas[:start]]
        return iter([each for each in order if each.stem not in passed and each != kata] or order)

    def _hint(self) -> None:
        state = self.state
        if not state.kata.hints:
            return
        state.hint = min(self.progress.hints(state.kata.stem) + 1, len(state.kata.hints))
        self.progress.set_hints(state.kata.stem, state.hint)
        state.view, state.page = "hint", 0

    def _reset(self) -> None:
        path = self.folder / f"{self.state.kata.stem}.py"
        self.progress.back_up(path)
        path.write_text(stub(self.state.kata), encoding="utf-8", newline="\n")
        self.progress.fresh(self.state.kata.stem)
        self._turn_to(self.state.kata)

    def _check_all(self) -> None:
        report = self._graded(list(Catalog().stems))
        if report:
            self.state.whole, self.state.view, self.state.page = report, "all", 0
            self.draw()
            self.progress.record(report)

    def grade(self) -> None:
        """Grade the current kata; the verdict comes to the screen before anything else is done."""
        report = self._graded([self.state.kata.stem])
        if report:
            self.state.report = report
            self.state.view = "verdict" if self.state.view == "all" else self.state.view
            self.draw()
            self.progress.record(report)
            self.examiner.tidy()

    def _graded(self, stems: list[str]) -> Report | None:
        self.state.busy = True
        self.draw()
        try:
            report = self.examiner.grade_unless_stopped(stems, self.folder)
        finally:
            self.state.busy = False
        for result in report.katas if report else ():
            (self.state.passed.add if result.outcome == "passed" else self.state.passed.discard)(result.kata)
        return report

    def draw(self) -> None:
        draw(self.console, self.state)
