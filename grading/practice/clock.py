"""An interview on a terminal: the clock runs, r grades, f finishes; at the end of the time it finishes by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from grading.console import FAIL
from grading.practice.scratch import Scratch, Work
from grading.practice.status import length
from grading.records import Report
from grading.texts import word

Grade = Callable[[Scratch, Work], Report]
Step = Callable[[Scratch, Work, Grade], int]


def sit(scratch: Scratch, work: Work, run: Step, finish: Step) -> int:
    """The exit status of the interview. Ctrl-C or q leaves it under way: `interview finish` ends it later."""
    from grading.practice.keys import Keys
    from grading.practice.warm import Warm

    warm = Warm()  # forks, so before the thread of the keys

    def grade(scratch: Scratch, work: Work) -> Report:
        return warm.grade([work.stem], scratch.folder)

    pressed: SimpleQueue[str] = SimpleQueue()
    try:
        with Keys(pressed.put):
            over = _sit(scratch, work, run, grade, pressed)
        return finish(scratch, work, grade) if over else FAIL
    finally:
        warm.close()


def _sit(scratch: Scratch, work: Work, run: Step, grade: Grade, pressed: SimpleQueue[str]) -> bool:
    """Until it is over; False where it is left under way."""
    end = work.began + 60 * work.minutes
    while (left := end - time.time()) > 0:
        sys.stdout.write("\r" + word("clock", time=length(left)))
        sys.stdout.flush()
        try:
            key = pressed.get(timeout=min(1.0, left))
        except Empty:
            continue
        if key in ("q", "f", "r"):
            print()
        if key == "r":
            run(scratch, work, grade)
        elif key in ("q", "f"):
            return key == "f"
    print("\n" + word("clock-end"))
    return True
