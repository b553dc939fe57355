"""An interview on a terminal: the clock runs, r grades, f finishes; at the end of the time it finishes by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from grading.console import FAIL, width
from grading.practice.interview.running import Grade, examined
from grading.practice.interview.workspace import Work, Workspace
from grading.practice.progress.times import length
from grading.records import Report
from grading.texts import word

Step = Callable[[Workspace, Work, Grade], int]


def sit(workspace: Workspace, work: Work, run: Step, finish: Step) -> int:
    """The exit status of the interview. Ctrl-C or q leaves it under way: `interview finish` ends it later."""
    from grading.practice.watch.keys import Keys
    from grading.practice.watch.stoppable_examiner import StoppableExaminer

    examiner = StoppableExaminer()  # forks, so before the thread of the keys

    def grade(workspace: Workspace, work: Work) -> Report:
        return examined(examiner, workspace, work)

    pressed: SimpleQueue[str] = SimpleQueue()
    try:
        with Keys(pressed.put):
            over = _sit(workspace, work, run, grade, pressed)
        return finish(workspace, work, grade) if over else FAIL
    finally:
        examiner.close()


def _sit(workspace: Workspace, work: Work, run: Step, grade: Grade, pressed: SimpleQueue[str]) -> bool:
    """Until it is over; False where it is left under way."""
    end = work.began + 60 * work.minutes
    while (left := end - time.time()) > 0:
        sys.stdout.write("\r" + line(left))
        sys.stdout.flush()
        try:
            key = pressed.get(timeout=min(1.0, left))
        except Empty:
            continue
        if key in ("q", "f", "r"):
            print()
        if key == "r":
            run(workspace, work, grade)
        elif key in ("q", "f"):
            return key == "f"
    print("\n" + word("clock-end"))
    return True


def line(left: float) -> str:
    """The time that is left, and the keys: never wider than the screen, where it could not be written over."""
    from grading.reports.columns import fit

    return fit(word("clock", time=length(left)), width() - 1)
