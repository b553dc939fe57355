"""The verb `interview`: a bare stub, a clock, no hints and no causes; a card and five questions at the end."""

from __future__ import annotations

import argparse
import random
import sys
import time

from grading.catalog import ROOT, Kata
from grading.console import PASS, USAGE, Verbs, kata_named, say, verdict, width
from grading.practice.interview import onsite
from grading.practice.interview.asking import ask, is_terminal, tell_answers, tell_questions
from grading.practice.interview.choice import interviewed
from grading.practice.interview.recall import drawn
from grading.practice.interview.rounds import ROUNDS, RoundSpace
from grading.practice.interview.running import Grade, graded, rows, run
from grading.practice.interview.workspace import CARD, Work, Workspace
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import INTERVIEW
from grading.practice.progress.times import moment
from grading.stubs import stub
from grading.texts import Texts, word

ACTIONS = {
    "start": "begin, and leave",
    "run": "grade what is there",
    "next": "the next part of a round",
    "finish": "grade once more, and the card",
    "drop": "give it up",
}
GO_ON = ("run", "next", "finish", "drop")
QUESTIONS = 5  # after an interview


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    does = "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    interview = verbs.add_parser("interview", help="a bare stub, a clock, no hints", epilog=f"In steps: {does}.")
    interview.add_argument("words", nargs="*", metavar="[start|run|next|finish|drop] [KATA]")
    interview.add_argument("--minutes", type=_minutes, help="instead of the kata's own; of a round, 30, 45 or 60")
    interview.add_argument("--round", choices=[onsite.ONSITE], help="explain, write, extend, debug: a whole interview")
    interview.set_defaults(run=_interview)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: more than 0 and at most {24 * 60} minutes")
    return minutes


def _interview(arguments: argparse.Namespace) -> int:
    words = list(arguments.words)
    action = words.pop(0) if words and words[0] in ACTIONS else ""
    space = RoundSpace()
    if action in GO_ON and (space.round() or action == "next"):
        return onsite.go_on(space, action, words)
    try:
        katas = [kata_named(word) for word in words]
    except argparse.ArgumentTypeError as error:
        return _refused(str(error))
    if len(katas) > 1 or (katas and action in GO_ON):
        return _refused("one interview at a time, about one kata; run, finish and drop go on with it")
    if action in GO_ON:
        return _go_on(Workspace(INTERVIEW), action)
    live, kata = not action and is_terminal(), katas[0] if katas else None
    if arguments.round and arguments.minutes not in (None, *ROUNDS):
        return _refused(f"a round takes {', '.join(map(str, ROUNDS))} minutes")
    return _start(kata, arguments.minutes, bool(arguments.round), live)


def _refused(why: str) -> int:
    print(f"grader: {why}", file=sys.stderr)
    return USAGE


def _start(kata: Kata | None, minutes: float | None, whole_round: bool, live: bool) -> int:
    """Begin an interview or a round, or go on with the one under way: none is ended by another."""
    space, workspace = RoundSpace(), Workspace(INTERVIEW)
    round, work = space.round(), workspace.under_way()
    under_way = round or work
    if under_way:
        title = Texts().title(under_way.kata)
        if not live or whole_round != bool(round) or (kata and kata.stem != under_way.stem):
            return _refused(word("interview-under-way", title=title, when=moment(under_way.began)))
        say(word("interview-goes-on", title=title))
    if whole_round:
        return onsite.hold(space) if round else onsite.start(space, kata, int(minutes or onsite.LENGTH), live)
    kata = kata or interviewed(Progress(), random.Random())
    work = work or _begin(workspace, kata, minutes or kata.minutes, live)
    if not live:
        return PASS
    from grading.practice.interview.clock import sit

    return sit(workspace, work, run, _finish)


def _begin(workspace: Workspace, kata: Kata, minutes: float, live: bool) -> Work:
    work = Work(kata.stem, time.time(), float(minutes), stub(kata, steps=False))
    workspace.begin(work)
    level = word(kata.difficulty)
    say(word("interview-start", title=Texts().title(kata), difficulty=level, minutes=float(minutes)))
    say(word("interview-file", file=workspace.file(kata.stem).relative_to(ROOT)))
    if not live:
        say(word("interview-steps"))
    return work


def _go_on(workspace: Workspace, action: str) -> int:
    work = workspace.under_way()
    if not work:
        return _refused("no interview is under way: python grader.py interview start KATA")
    if action == "drop":
        workspace.end(work.entry(INTERVIEW, time.time()))
        say(word("interview-dropped", title=Texts().title(work.kata)))
        return PASS
    return (run if action == "run" else _finish)(workspace, work, graded)


def _finish(workspace: Workspace, work: Work, grade: Grade) -> int:
    """Grade once more, show the card, ask."""
    ended = time.time()
    report = grade(workspace, work)
    if not work.green:
        work.ran(report, ended)
    work.stands(report)
    workspace.end(work.entry(INTERVIEW, ended))
    print("\n" + card(work, ended))
    _ask(work.kata)
    return verdict(report, named=True)


def card(work: Work, ended: float) -> str:
    """What the interview came to."""
    from grading.reports.columns import labelled

    head = word("interview-card", title=Texts().title(work.kata))
    labels = ((word(f"card-{key}"), text) for key, text in rows(work, ended))
    return f"{head}\n" + labelled(labels, CARD, width())


def _ask(kata: Kata) -> None:
    """Five questions. On a terminal each answer waits and is rated; elsewhere the answers come after the questions."""
    asked = drawn(kata, Progress().answers(), time.time(), QUESTIONS)
    if not asked:
        return
    print("\n" + word("questions"))
    if is_terminal():
        ask(asked)
    else:
        tell_questions(asked)
        tell_answers(asked)
