"""The verb `questions`: what interviewers ask, by topic or kata, as a deck to go through, a table, or a list."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from grading.console import PASS, Verbs, say
from grading.hunts import find
from grading.practice.interview.asking import after, answer, ask, heading
from grading.practice.interview.questions import LEVELS, TOPICS, Question, on, questions, translated
from grading.practice.interview.recall import due, new, next_due
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, GOOD, HARD
from grading.practice.progress.times import ahead
from grading.texts import chosen, word

FIRST, COLUMN = 12, 7  # of the table: a topic, and how many questions
SITTING = 20  # questions that are asked at a time, where nothing else is said


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    _add_options(verbs.add_parser("questions", help="what interviewers ask: a deck", epilog=f"TOPIC: {_names()}."))


def run(words: Sequence[str]) -> int:
    """The verb without the command line, for a host that has a keyboard of its own."""
    parser = argparse.ArgumentParser(prog="questions", epilog=f"TOPIC: {_names()}.")
    _add_options(parser)
    arguments = parser.parse_args(words)
    return int(arguments.run(arguments))


def _add_options(deck: argparse.ArgumentParser) -> None:
    deck.add_argument("asked", nargs="?", metavar="TOPIC|KATA", type=_about, default="")
    deck.add_argument("--count", type=_number, default=SITTING, metavar="N", help=f"ask so many at most ({SITTING})")
    deck.add_argument("--all", action="store_true", help="ask those that are known and not due, too")
    form = deck.add_mutually_exclusive_group()
    form.add_argument("--topics", action="store_true", help="only say how many there are on each topic")
    form.add_argument("--list", action="store_true", help="print the questions and what to say")
    form.add_argument("--markdown", action="store_true", help="print the same as Markdown")
    deck.set_defaults(run=_questions)


def _names() -> str:
    return ", ".join(TOPICS)


def _number(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _about(name: str) -> list[Question]:
    """Those on a topic or about a kata, and all of them, topic by topic, without a name."""
    if not name:
        return [each for topic in TOPICS for each in on(topic)]
    if name in TOPICS:
        return on(name)
    try:
        return questions(find(name))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; or a topic: {_names()}") from None


def _questions(arguments: argparse.Namespace) -> int:
    asked: list[Question] = arguments.asked
    if arguments.topics:
        print(table(asked))
    elif arguments.list or arguments.markdown:
        show = listed if arguments.list else markdown
        for number, each in enumerate(asked, start=1):
            print(("\n" if number > 1 else "") + show(number, translated(each, chosen())))
    else:
        _practise(asked, arguments.count, arguments.all)
    return PASS


def _practise(asked: Sequence[Question], count: int, known: bool) -> None:
    """Ask those that are due, then new ones, and say what it came to. With `known` the others come last."""
    answers, now = Progress().answers(), time.time()
    again, fresh = due(asked, answers, now), new(asked, answers)
    left = [each for each in asked if each not in again and each not in fresh] if known else []
    chosen_ones = [*again, *fresh, *left][:count]
    if not chosen_ones:
        say(word("deck-nothing", when=ahead(next_due(asked, answers) - now)) if asked else word("deck-none"))
        return
    say(word("deck-start", due=len(again), new=len(fresh), count=len(chosen_ones)))
    ratings = list(ask(chosen_ones).values())
    if not ratings:
        say(word("deck-how"))
        return
    counts = {name: ratings.count(value) for name, value in (("knew", GOOD), ("half", HARD), ("not_known", AGAIN))}
    print()
    say(word("deck-end", count=len(ratings), **counts))
    say(word("deck-next", when=ahead(next_due(asked, Progress().answers()) - now)))


def table(asked: Sequence[Question]) -> str:
    """How many questions there are on each topic, by level, and how many of them are known, due and new."""
    from grading.reports.columns import flush, padded

    answers, now = Progress().answers(), time.time()

    def row(name: str, cells: Sequence[object]) -> str:
        return padded(name, FIRST) + "".join(flush(str(cell), COLUMN) for cell in cells)

    def counts(some: Sequence[Question]) -> list[int]:
        levels = [each.level for each in some]
        return [*map(levels.count, LEVELS), len(due(some, answers, now)), len(new(some, answers))]

    rows = [row("", [word(name) for name in (*LEVELS, "deck-due", "deck-new")])]
    for topic in TOPICS:
        if some := [each for each in asked if each.topic == topic]:
            rows.append(row(topic, counts(some)))
    return "\n".join([*rows, row(word("deck-all"), counts(asked))])


def listed(number: int, question: Question) -> str:
    """A question and its answer for a terminal."""
    return heading(question, f"{number}. ") + "\n" + answer(question)


def markdown(number: int, question: Question) -> str:
    """The same in Markdown."""
    paragraphs = [question.say, question.measured, "\n".join(f"- {line}" for line in after(question))]
    head = f"### {number}. {literal(question.question)}\n\n*{word(question.level)}, {question.topic}*"
    return "\n\n".join([head, *(literal(each) for each in paragraphs if each)])


def literal(text: str) -> str:
    """A plain text as Markdown: a star between spaces is a product, an underscore is one."""
    return text.replace(" * ", " \\* ").replace("_", "\\_")
