"""An interview on a terminal: the clock runs, r grades, f finishes; at the end of the time it finishes by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from grading.console import FAIL
from grading.examination.examiner import Examiner
from grading.practice.interview.workspace import Work, Workspace
from grading.practice.progress.times import length
from grading.records import Report
from grading.texts import word

Grade = Callable[[Workspace, Work], Report]
Step = Callable[[Workspace, Work, Grade], int]
GradeWith = Callable[[Examiner, Workspace, Work], Report]


def by_its_kata(examiner: Examiner, workspace: Workspace, work: Work) -> Report:
    """The report of the kata that the work is about."""
    return examiner.grade([work.stem], workspace.folder)


def sit(workspace: Workspace, work: Work, run: Step, finish: Step, grade_with: GradeWith = by_its_kata) -> int:
    """The exit status of the interview. Ctrl-C or q leaves it under way: `interview finish` ends it later."""
    from grading.practice.watch.keys import Keys
    from grading.practice.watch.stoppable_examiner import StoppableExaminer

    examiner = StoppableExaminer()  # forks, so before the thread of the keys

    def grade(workspace: Workspace, work: Work) -> Report:
        return grade_with(examiner, workspace, work)

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
        sys.stdout.write("\r" + word("clock", time=length(left)))
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
