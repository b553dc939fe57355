"""`interview --round onsite`: explain, write, extend, debug, and a card over all of it.

On a terminal the parts follow each other, each with its clock. Without one the same goes in steps: start, run as often
as you like, next for the next part, finish for the card.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

from grading.catalog import ROOT, Catalog, Kata
from grading.console import FAIL, PASS, USAGE, say, width
from grading.practice.interview.asking import ask, tell_answers, tell_questions
from grading.practice.interview.questions import Question, every, translated
from grading.practice.interview.recall import RATINGS, remember
from grading.practice.interview.rounds import EXTEND, Part, Round, RoundSpace, make
from grading.practice.interview.running import Grade, graded, rows, run
from grading.practice.interview.workspace import CARD, Work, Workspace
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, GOOD, HARD, form, plain
from grading.practice.progress.times import length, moment
from grading.texts import Texts, chosen, word

ONSITE = "onsite"
LENGTH = 45  # minutes, where nothing is said


def start(space: RoundSpace, kata: Kata | None, minutes: int, live: bool) -> int:
    """Begin a round; on a terminal it is held at once."""
    round = make(kata, minutes, Progress(), random.Random(), time.time())
    space.save(round)
    title = Texts().title(Catalog()[round.stem])
    say(word("round-start", minutes=minutes, title=title, count=len(round.parts)))
    if live:
        return hold(space)
    _begin(space)
    return PASS


def hold(space: RoundSpace) -> int:
    """Part by part on a terminal, until the card. q leaves it under way: the same command goes on with it."""
    from grading.practice.interview.clock import sit

    while (round := space.round()) and (part := round.part):
        part = part if part.began else _begin(space, live=True)
        if part.work is None:
            part.ratings = ask(_questions(part))
            round.keep(part)
            space.save(round)
            _end_part(space)
            continue
        sit(space, form(Work, part.work), run, _ended)
        after = space.round()
        if after and after.at == round.at:
            return FAIL
    return _card(space)


def go_on(space: RoundSpace, action: str, words: Sequence[str]) -> int:
    """A step of a round without a terminal; `words` are ratings of what was explained."""
    round = space.round()
    if not round:
        print("grader: no round is under way: python grader.py interview start --round onsite", file=sys.stderr)
        return USAGE
    part = round.part
    if part is None:
        return _card(space)
    if action == "drop":
        _end_part(space)
        space.over()
        say(word("interview-dropped", title=Texts().title(Catalog()[round.stem])))
        return PASS
    if action == "run":
        if part.work is None:
            print("grader: in this part there is nothing to grade: python grader.py interview next", file=sys.stderr)
            return USAGE
        return run(space, form(Work, part.work), graded)
    if any(each not in RATINGS for each in words) or (words and len(words) != len(part.asked)):
        keys = " ".join("y" for _ in part.asked)
        print(f"grader: a rating for each question, y, h or n: python grader.py interview next {keys}", file=sys.stderr)
        return USAGE
    _leave(space, round, part, words)
    if action == "next" and (round := space.round()) and round.part:
        _begin(space)
        return PASS
    return _card(space)


def _leave(space: RoundSpace, round: Round, part: Part, words: Sequence[str]) -> None:
    """End the part under way: grade its file once more, or rate what was explained and show what to say."""
    if part.work is not None:
        _ended(space, form(Work, part.work), graded)
        return
    asked = _questions(part)
    for question, key in zip(asked, words, strict=False):
        part.ratings[question.key] = RATINGS[key]
        remember(Progress(), question, RATINGS[key], time.time())
    tell_answers(asked)
    round.keep(part)
    space.save(round)
    _end_part(space)


def _begin(space: RoundSpace, live: bool = False) -> Part:
    """Put the file of the part in place, start its clock, and say what it is about."""
    round = space.round()
    assert round is not None
    part = round.part
    assert part is not None
    part.began = time.time()
    if part.work is not None:
        work = form(Work, part.work)
        work.began, work.minutes = part.began, part.minutes
        part.work = plain(work)
        space.put(work)
    round.keep(part)
    space.save(round)
    _announce(space, round, part, live)
    return part


def _announce(space: RoundSpace, round: Round, part: Part, live: bool) -> None:
    head = word("round-part", number=round.at + 1, count=len(round.parts), minutes=part.minutes)
    say("\n" + head + word(f"round-{part.kind}", title=_title(part)))
    if part.work is None:
        if not live:
            tell_questions(_questions(part))
            say("\n" + word("round-explained"))
        return
    work, file = form(Work, part.work), space.file(part.work["stem"]).relative_to(ROOT)
    say(word("round-bugs", count=len(work.planted), file=file) if work.planted else word("interview-file", file=file))
    if part.kind == EXTEND:
        say(word("round-yours", file=space.file(round.stem).relative_to(ROOT)))
    if not live:
        say(word("round-steps"))


def _title(part: Part) -> str:
    return Texts().title(form(Work, part.work).kata) if part.work else ""


def _questions(part: Part) -> list[Question]:
    found = {each.key: each for each in every()}
    return [found[key] for key in part.asked if key in found]


def _ended(workspace: Workspace, work: Work, grade: Grade) -> int:
    """The end of a part with a file: a last grade, if it was not green yet."""
    assert isinstance(workspace, RoundSpace)
    if not work.green:
        work.ran(grade(workspace, work), time.time())
        workspace.note(work)
    counts = {"passed": work.passed, "expected": work.expected, "planted": len(work.planted)}
    outcome = "passed" if work.green else "failed"
    say(word(f"round-mended-{outcome}" if work.planted else f"round-{outcome}", **counts))
    _end_part(workspace)
    return PASS


def _end_part(space: RoundSpace) -> None:
    """The part under way is over, and what was written in it is in the history."""
    round = space.round()
    if not (round and (part := round.part)):
        return
    part.ended = time.time()
    round.keep(part)
    round.at += 1
    space.save(round)
    if part.work and part.began:
        Progress().ended(form(Work, part.work).entry(part.history_kind, part.ended))


# ---------------------------------------------------------------------------------------------------- the card


def _card(space: RoundSpace) -> int:
    """What an interviewer would note, and the exit status: whether all that was written passes."""
    round = space.round()
    assert round is not None
    space.over()
    print("\n" + card(round, time.time()))
    works = [form(Work, part.work) for part in round.all_parts() if part.work and part.began]
    return PASS if works and all(work.green for work in works) else FAIL


def card(round: Round, now: float) -> str:
    """A block for each part, then what costs the offer."""
    from grading.reports.columns import labelled, wrap

    title = Texts().title(Catalog()[round.stem])
    when = moment(round.began)
    blocks = ["\n".join(wrap(word("round-card", title=title, minutes=round.minutes, when=when), width()))]
    for part in round.all_parts():
        head = word(f"round-{part.kind}", title=_title(part))
        lines = _explained(part, now) if part.work is None else _written(part, now)
        blocks.append(f"{head}\n" + labelled(((word(f"card-{key}"), text) for key, text in lines), CARD, width()))
    blocks += ["\n".join(wrap(word("question-red-flag", text=flag), width(), "   ")) for flag in red_flags(round)]
    return "\n\n".join(blocks)


def _explained(part: Part, now: float) -> list[tuple[str, str]]:
    given = list(part.ratings.values())
    counts = {"knew": given.count(GOOD), "half": given.count(HARD), "not_known": given.count(AGAIN)}
    spent = length((part.ended or now) - part.began) if part.began else "-"
    return [
        ("time", word("card-of", part=spent, whole=length(60 * part.minutes))),
        ("questions", word("deck-end", count=len(given), **counts)),
    ]


def _written(part: Part, now: float) -> list[tuple[str, str]]:
    work = form(Work, part.work)
    if not part.began:
        return [("time", word("card-not-begun"))]
    return rows(work, part.ended or now)


def red_flags(round: Round) -> list[str]:
    """Of the questions that were not known: what must not be said. They are what costs the offer."""
    missed = [key for part in round.all_parts() for key, rating in part.ratings.items() if rating == AGAIN]
    return [translated(each, chosen()).red_flag for each in every() if each.key in missed]
