"""The verb `interview`: a bare stub, a clock, no hints and no causes; a card and five questions at the end."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable

from grading.catalog import ROOT, Catalog, Kata
from grading.console import PASS, USAGE, Verbs, grade, kata_named, verdict, width
from grading.practice.interview.workspace import CARD, Work, Workspace
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import INTERVIEW
from grading.practice.progress.times import length, moment
from grading.records import KataResult, Report
from grading.stubs import stub
from grading.texts import Texts, word

ACTIONS = {
    "start": "begin, and leave",
    "run": "grade what is there",
    "finish": "grade once more, and the card",
    "drop": "give it up",
}
QUESTIONS = 5  # after an interview
GO_ON = ("run", "finish", "drop")


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    does = "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    interview = verbs.add_parser("interview", help="a bare stub, a clock, no hints", epilog=f"In steps: {does}.")
    interview.add_argument("words", nargs="*", metavar="[start|run|finish|drop] [KATA]")
    interview.add_argument("--minutes", type=_minutes, help="instead of the kata's own")
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
    words, workspace = list(arguments.words), Workspace("interview")
    action = words.pop(0) if words and words[0] in ACTIONS else ""
    try:
        katas = [kata_named(word) for word in words]
    except argparse.ArgumentTypeError as error:
        return _refused(str(error))
    if len(katas) > 1 or (katas and action in GO_ON):
        return _refused("one interview at a time, about one kata; run, finish and drop go on with it")
    work = workspace.under_way()
    if action in GO_ON:
        return _go_on(workspace, work, action)
    live = not action and sys.stdin.isatty() and sys.stdout.isatty()
    if work:
        if not live or (katas and katas[0].stem != work.stem):
            return _refused(_in_the_way(work))
        print(word("interview-goes-on", title=Texts().title(work.kata)))
    else:
        kata = katas[0] if katas else random.choice(Catalog().sound)
        work = _start(workspace, kata, arguments.minutes or kata.minutes, live)
    if not live:
        return PASS
    from grading.practice.interview.clock import sit

    return sit(workspace, work, _run, _finish)


def _go_on(workspace: Workspace, work: Work | None, action: str) -> int:
    if not work:
        return _refused("no interview is under way: python grader.py interview start KATA")
    if action == "drop":
        workspace.end(work.entry(INTERVIEW, time.time()))
        print(word("interview-dropped", title=Texts().title(work.kata)))
        return PASS
    return (_run if action == "run" else _finish)(workspace, work, _graded)


def _in_the_way(work: Work) -> str:
    return word("interview-under-way", title=Texts().title(work.kata), when=moment(work.began))


def _refused(why: str) -> int:
    print(f"grader: {why}", file=sys.stderr)
    return USAGE


def _start(workspace: Workspace, kata: Kata, minutes: float, live: bool) -> Work:
    work = Work(kata.stem, time.time(), float(minutes), stub(kata, steps=False))
    workspace.begin(work)
    level = word(kata.difficulty)
    print(word("interview-start", title=Texts().title(kata), difficulty=level, minutes=float(minutes)))
    print(word("interview-file", file=workspace.file(kata.stem).relative_to(ROOT)))
    if not live:
        print(word("interview-steps"))
    return work


Grade = Callable[[Workspace, Work], Report]


def _graded(workspace: Workspace, work: Work) -> Report:
    return grade([work.stem], workspace.folder)


def _run(workspace: Workspace, work: Work, grade: Grade) -> int:
    """A grade, with what an interviewer would show: how many checks pass, and what raised."""
    report = grade(workspace, work)
    work.ran(report, time.time())
    workspace.note(work)
    left = work.began + 60 * work.minutes - time.time()
    clock = word("clock-left" if left >= 0 else "clock-over", time=length(abs(left)))
    print(word("run-line", clock=clock, result=_shown(Texts().result(report.katas[0]))))
    return verdict(report, named=True)


def _shown(result: KataResult) -> str:
    if result.outcome == "broken":
        return word("run-broken", message=result.message, where=result.where)
    parts = [word("run-checks", passed=result.passed, expected=result.expected)]
    failed = result.first_failure
    if failed and failed.kind == "raised":
        parts.append(word("run-raised", message=failed.message, where=failed.where))
    if failed:
        parts.append(word("run-first", title=failed.title))
    return word("semicolon").join(parts)


def _finish(workspace: Workspace, work: Work, grade: Grade) -> int:
    ended = time.time()
    report = grade(workspace, work)
    if not work.green:
        work.ran(report, ended)
    workspace.end(work.entry(INTERVIEW, ended))
    result = report.katas[0]
    print("\n" + card(work, result, ended))
    _ask(work.kata)
    return verdict(report, named=True)


def card(work: Work, result: KataResult, ended: float) -> str:
    """What the interview came to."""
    from grading.reports.columns import labelled

    taken, limit = (work.green or ended) - work.began, 60 * work.minutes
    spent = {"part": length(taken), "whole": length(limit)}
    late = taken > limit
    rows = [
        ("time", word("card-over", over=length(taken - limit), **spent) if late else word("card-of", **spent)),
        ("first", word("card-after", time=length(work.first_run - work.began))),
        ("green", str(work.runs) if work.green else word("card-red", runs=work.runs)),
        ("checks", word("card-of", part=result.passed, whole=result.expected)),
        ("causes", Texts().causes(work.causes, work.explains) or word("card-none")),
    ]
    head = word("interview-card", title=Texts().title(work.kata))
    return f"{head}\n" + labelled(((word(f"card-{key}"), text) for key, text in rows), CARD, width())


def _ask(kata: Kata) -> None:
    """Five questions. On a terminal each answer waits and is rated; elsewhere the answers come after the questions."""
    from grading.practice.interview.asking import ask, is_terminal, tell
    from grading.practice.interview.recall import drawn

    asked = drawn(kata, Progress().answers(), time.time(), QUESTIONS)
    if asked:
        print("\n" + word("questions"))
        (ask if is_terminal() else tell)(asked)
