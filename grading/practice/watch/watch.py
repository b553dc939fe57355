"""The verb `watch`: each save gets its verdict on the screen."""

from __future__ import annotations

import argparse
import sys

from grading.catalog import ROOT
from grading.console import PASS, USAGE, Verbs, kata_named


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    watch = verbs.add_parser("watch", help="grade at each save, on a screen with single keys")
    watch.add_argument("kata", nargs="?", metavar="KATA", type=kata_named)
    watch.set_defaults(run=_watch)


def _watch(arguments: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _refused("watch needs a terminal; without one: python grader.py check")
    from grading.practice.watch.keys import Keys
    from grading.practice.watch.stoppable_examiner import StoppableExaminer

    examiner = StoppableExaminer()  # forks, so before the threads
    try:
        from grading.practice.watch.loop import Loop
        from grading.practice.watch.saved_files import SavedFiles
        from grading.practice.watch.screen import console

        loop = Loop(examiner, console(), ROOT / "problems", arguments.kata)
        saved = SavedFiles(loop.folder, loop.saved, loop.polls)
        with loop.console.screen(), Keys(loop.pressed):
            loop.heed_resizes()
            saved.start()
            loop.run()
        saved.stop()
    finally:
        examiner.close()
    return PASS


def _refused(why: str) -> int:
    print(f"grader: {why}", file=sys.stderr)
    return USAGE
