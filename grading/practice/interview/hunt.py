"""The verb `debug`: a program with bugs planted in it, a clock, and how many were found; then its second part."""

from __future__ import annotations

import argparse
import random
import sys
import time
from functools import partial
from pathlib import Path

from grading.catalog import ROOT, Catalog, Hunt
from grading.console import PASS, USAGE, Verbs, say, verdict, width
from grading.examination.examiner import Examiner
from grading.practice.interview.asking import ask, is_terminal, tell_answers, tell_questions
from grading.practice.interview.clock import sit
from grading.practice.interview.drill import bare
from grading.practice.interview.recall import drawn
from grading.practice.interview.running import Grade, rows, run
from grading.practice.interview.workspace import CARD, Work, Workspace
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import DRILL, INTERVIEW
from grading.practice.progress.times import length, moment
from grading.records import CheckResult, KataResult, Report
from grading.texts import Texts, word

ACTIONS = {
    "start": "begin, and leave",
    "check": "how many were found",
    "finish": "check once more, and the card",
    "drop": "give it up",
}
QUESTIONS = 8  # at the end


class HuntSpace(Workspace):
    """The program of a hunt, in .kata/debug/."""

    def __init__(self, home: Path = ROOT / ".kata") -> None:
        super().__init__("debug", home)

    def file(self, stem: str) -> Path:
        hunt = Catalog()[stem]
        return self.folder / (hunt.file if isinstance(hunt, Hunt) else f"{stem}.py")


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
    space, live = HuntSpace(), not arguments.action and is_terminal()
    work = space.under_way()
    if arguments.action in ("check", "finish", "drop"):
        if work is None:
            return _refused("nothing is to be debugged yet: python grader.py debug start")
        if arguments.action == "drop":
            space.end(work.entry(_kind(work), time.time()))
            say(word("interview-dropped", title=Texts().title(work.kata)))
            return PASS
        return (_check if arguments.action == "check" else _finish)(space, work, _graded)
    if work and not live:
        return _refused(word("hunt-under-way", title=Texts().title(work.kata), when=moment(work.began)))
    if work:
        say(word("hunt-goes-on", title=Texts().title(work.kata)))
    work = work or _begin(space, arguments.seed, arguments.part, live)
    return sit(space, work, _check, _finish, _report) if live else PASS


def _refused(why: str) -> int:
    print(f"grader: {why}", file=sys.stderr)
    return USAGE


def _begin(space: HuntSpace, seed: int | None, part: int, live: bool) -> Work:
    """Put the program in place, with bugs or with what is to be added to it, and start the clock."""
    from grading.examination import plants

    chance = random.Random(seed)
    hunt = chance.choice(Catalog().hunts)
    hunt.check()
    hunt.second.check()
    keys = plants.drawn(hunt, chance) if part == 1 else []
    given = plants.planted(hunt, keys) if keys else f'"""{hunt.second.contract}"""\n\n{bare(hunt.reference)}'
    minutes = float(hunt.minutes if part == 1 else hunt.second_minutes)
    work = Work(hunt.stem, time.time(), minutes, given, source=" ".join(keys))
    space.begin(work)
    file = space.file(hunt.stem).relative_to(ROOT)
    start = "hunt-start" if part == 1 else "hunt-second-start"
    say(word(start, title=Texts().title(hunt), minutes=minutes, count=len(keys), file=file))
    if not live:
        say(word("hunt-steps"))
    return work


def _hunt(work: Work) -> Hunt:
    """What is hunted; its second part where nothing is planted."""
    hunt = work.kata
    assert isinstance(hunt, Hunt)
    return hunt if work.source else hunt.second


def _kind(work: Work) -> str:
    """Where it belongs in the history: to mend is a drill, to extend is not."""
    return DRILL if work.source else INTERVIEW


def _graded(space: Workspace, work: Work) -> Report:
    examiner = Examiner()
    try:
        return _report(examiner, space, work)
    finally:
        examiner.close()


def _report(examiner: Examiner, space: Workspace, work: Work) -> Report:
    from grading.examination.hunting import hunt_report

    return hunt_report(_hunt(work), work.source.split(), space.file(work.stem), examiner.host)


# ---------------------------------------------------------------------------------------------- check and finish


def _check(space: Workspace, work: Work, grade: Grade) -> int:
    """How many are found, and never where one is that is not; of the second part, which check fails first."""
    if not work.source:
        return run(space, work, grade)
    report = grade(space, work)
    work.ran(report, time.time())
    space.note(work)
    left = work.began + 60 * work.minutes - time.time()
    clock = word("clock-left" if left >= 0 else "clock-over", time=length(abs(left)))
    say(word("run-line", clock=clock, result=_found(Texts().result(report.katas[0]))), "  ")
    return verdict(report, named=True)


def _found(result: KataResult) -> str:
    if result.outcome == "broken":
        return word("run-broken", message=result.message, where=result.where)
    parts = [word("hunt-found", found=result.passed, planted=result.expected)]
    sound = _sound(result)
    if sound.outcome == "failed":
        parts.append(word("hunt-unsound"))
    if sound.kind == "raised":
        parts.append(word("run-raised", message=sound.message, where=sound.where))
    return word("semicolon").join(parts)


def _sound(result: KataResult) -> CheckResult:
    """The check of what was right at the start."""
    from grading.examination.hunting import SOUND

    return next(check for check in result.checks if check.name == SOUND)


def _finish(space: Workspace, work: Work, grade: Grade) -> int:
    """Check once more, show the card, ask."""
    ended = time.time()
    report = grade(space, work)
    if not work.green:
        work.ran(report, ended)
    result = report.katas[0]
    work.passed, work.expected = result.passed, result.expected or work.expected
    space.end(work.entry(_kind(work), ended))
    print("\n" + card(work, result, ended))
    if work.source:
        say("\n" + word("hunt-then"))
        _ask(_hunt(work))
    return verdict(report, named=True)


def card(work: Work, result: KataResult, ended: float) -> str:
    """What it came to: now it is said which bugs were not found."""
    from grading.reports.columns import labelled

    lines = rows(work, ended)
    if work.source:
        lines = [*(row for row in lines if row[0] in ("time", "first", "green")), *_bugs(work, result)]
    head = word("hunt-card" if work.source else "hunt-second-card", title=Texts().title(work.kata))
    return f"{head}\n" + labelled(((word(f"card-{key}"), text) for key, text in lines), CARD, width())


def _bugs(work: Work, result: KataResult) -> list[tuple[str, str]]:
    """A row for each bug, those that were found first."""
    from grading.examination.plants import plants

    found = {check.name for check in result.checks if check.outcome == "passed"}
    known, told = plants(_hunt(work)), partial(Texts().drill, work.stem)
    keys = sorted(work.source.split(), key=lambda key: key not in found)
    lines = [("found", word("card-of", part=str(work.passed), whole=str(len(keys))))]
    lines += [("bug" if key in found else "left", told(key, known[key].sentence)) for key in keys]
    if result.checks and _sound(result).outcome == "failed":
        lines.append(("unsound", word("hunt-unsound")))
    return lines


def _ask(hunt: Hunt) -> None:
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
