"""The verb `debug`: a program with bugs planted in it, a clock, and how many were found; then its second part."""

from __future__ import annotations

import argparse
import random
import sys
import time

from grading.catalog import ROOT, Kata
from grading.console import PASS, USAGE, Verbs, say, verdict, width
from grading.hunts import hunts
from grading.practice.interview import bugs
from grading.practice.interview.asking import ask, is_terminal, tell_answers, tell_questions
from grading.practice.interview.clock import sit
from grading.practice.interview.drill import bare
from grading.practice.interview.recall import drawn
from grading.practice.interview.running import Grade, graded, rows, run
from grading.practice.interview.workspace import CARD, Work, Workspace
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import DRILL, INTERVIEW
from grading.practice.progress.times import moment
from grading.texts import Texts, word

ACTIONS = {
    "start": "begin, and leave",
    "check": "how many were found",
    "finish": "check once more, and the card",
    "drop": "give it up",
}
QUESTIONS = 8  # at the end


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    does = "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    debug = verbs.add_parser("debug", help="find the bugs in a small model, against the clock", epilog=f"{does}.")
    debug.add_argument("action", nargs="?", choices=ACTIONS, help="without one, on a terminal, with its clock")
    debug.add_argument("--seed", type=int, help="plant the same bugs again")
    debug.add_argument(
        "--part", type=int, choices=[1, 2], default=1, help="2: extend the program, in which all is right"
    )
    debug.set_defaults(run=_debug)


def _debug(arguments: argparse.Namespace) -> int:
    space, live = Workspace("debug"), not arguments.action and is_terminal()
    work = space.under_way()
    if arguments.action in ("check", "finish", "drop"):
        if work is None:
            return _refused("nothing is to be debugged yet: python grader.py debug start")
        if arguments.action == "drop":
            space.end(work.entry(_kind(work), time.time()))
            say(word("interview-dropped", title=Texts().title(work.kata)))
            return PASS
        return (run if arguments.action == "check" else _finish)(space, work, graded)
    if work and not live:
        return _refused(word("hunt-under-way", title=Texts().title(work.kata), when=moment(work.began)))
    if work:
        say(word("hunt-goes-on", title=Texts().title(work.kata)))
    work = work or _begin(space, arguments.seed, arguments.part, live)
    return sit(space, work, run, _finish) if live else PASS


def _refused(why: str) -> int:
    print(f"grader: {why}", file=sys.stderr)
    return USAGE


def _begin(space: Workspace, seed: int | None, part: int, live: bool) -> Work:
    """Put the program in place, with bugs or with what is to be added to it, and start the clock."""
    chance = random.Random(seed)
    hunt = chance.choice(hunts())
    hunt.check()
    hunt.second.check()
    if part == 1:
        work = bugs.given(hunt, hunt.planted, float(hunt.minutes), chance, time.time())
    else:
        text = f'"""{hunt.second.contract}"""\n\n{bare(hunt.reference)}'
        work = Work(hunt.stem, time.time(), float(hunt.second_minutes), text)
    space.begin(work)
    file = space.file(hunt.stem).relative_to(ROOT)
    start = "hunt-start" if part == 1 else "hunt-second-start"
    say(word(start, title=Texts().title(hunt), minutes=work.minutes, count=len(work.planted), file=file))
    if not live:
        say(word("hunt-steps"))
    return work


def _kind(work: Work) -> str:
    """Where it belongs in the history: to mend is a drill, to extend is not."""
    return DRILL if work.planted else INTERVIEW


def _finish(space: Workspace, work: Work, grade: Grade) -> int:
    """Check once more, show the card, ask."""
    ended = time.time()
    report = grade(space, work)
    if not work.green:
        work.ran(report, ended)
    work.stands(report)
    space.end(work.entry(_kind(work), ended))
    print("\n" + card(work, ended))
    if work.planted:
        say("\n" + word("hunt-then"))
        _ask(work.kata)
    return verdict(report, named=True)


def card(work: Work, ended: float) -> str:
    """What it came to: now it is said which bugs were not found."""
    from grading.reports.columns import labelled

    head = word("hunt-card" if work.planted else "hunt-second-card", title=Texts().title(work.kata))
    lines = ((word(f"card-{key}"), text) for key, text in rows(work, ended))
    return f"{head}\n" + labelled(lines, CARD, width())


def _ask(hunt: Kata) -> None:
    """Questions about finding bugs: on a terminal each waits for an answer."""
    asked = drawn(hunt, Progress().answers(), time.time(), QUESTIONS)
    if not asked:
        return
    print("\n" + word("questions"))
    if is_terminal():
        ask(asked)
    else:
        tell_questions(asked)
        tell_answers(asked)
