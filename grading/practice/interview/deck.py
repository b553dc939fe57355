"""The verb `questions`: what interviewers ask, by topic or kata, with what to say."""

from __future__ import annotations

import argparse

from grading.catalog import Catalog
from grading.console import PASS, Verbs, width
from grading.practice.interview.questions import LEVELS, TOPICS, Question, on, questions, translated
from grading.texts import chosen, word

COLUMN = 12  # of the table: a topic, or how many questions


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    deck = verbs.add_parser("questions", help="what interviewers ask, with answers", epilog=f"TOPIC: {_names()}.")
    deck.add_argument("asked", nargs="?", metavar="TOPIC|KATA", type=_about, default="")
    form = deck.add_mutually_exclusive_group()
    form.add_argument("--list", action="store_true", help="print the questions and what to say")
    form.add_argument("--markdown", action="store_true", help="print the same as Markdown")
    deck.set_defaults(run=_questions)


def _names() -> str:
    return ", ".join(TOPICS)


def _about(name: str) -> list[Question]:
    """Those on a topic or about a kata, and all of them, topic by topic, without a name."""
    if not name:
        return [each for topic in TOPICS for each in on(topic)]
    if name in TOPICS:
        return on(name)
    try:
        return questions(Catalog().find(name))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; or a topic: {_names()}") from None


def _questions(arguments: argparse.Namespace) -> int:
    if not (arguments.list or arguments.markdown):
        print(table(arguments.asked) + "\n\n" + word("deck-how"))
        return PASS
    show = listed if arguments.list else markdown
    for number, each in enumerate(arguments.asked, start=1):
        print(("\n" if number > 1 else "") + show(number, translated(each, chosen())))
    return PASS


def table(asked: list[Question]) -> str:
    """How many questions there are on each topic, by level."""
    from grading.reports.columns import flush, padded

    def row(name: str, cells: list[str]) -> str:
        return padded(name, COLUMN) + "".join(flush(cell, COLUMN) for cell in cells)

    rows = [row("", [word(level) for level in LEVELS])]
    for topic in TOPICS:
        levels = [each.level for each in asked if each.topic == topic]
        if levels:
            rows.append(row(topic, [str(levels.count(level)) for level in LEVELS]))
    levels = [each.level for each in asked]
    return "\n".join([*rows, row(word("deck-all"), [str(levels.count(level)) for level in LEVELS])])


def listed(number: int, question: Question) -> str:
    """A question and its answer for a terminal."""
    from grading.reports.columns import wrap

    head = f"{number}. {question.question} ({word(question.level)}, {question.topic})"
    return "\n".join(wrap(head, width(), "   ")) + "\n" + answer(question)


def answer(question: Question) -> str:
    """What to say, the number behind it, what is asked next, and what costs the offer."""
    from grading.reports.columns import wrap

    parts = [question.say, question.measured, *_after(question)]
    return "\n".join("   " + line for part in parts if part for line in wrap(part, width() - 3))


def markdown(number: int, question: Question) -> str:
    """The same in Markdown."""
    paragraphs = [question.say, question.measured, "\n".join(f"- {line}" for line in _after(question))]
    head = f"### {number}. {literal(question.question)}\n\n*{word(question.level)}, {question.topic}*"
    return "\n\n".join([head, *(literal(each) for each in paragraphs if each)])


def literal(text: str) -> str:
    """A plain text as Markdown: a star between spaces is a product, an underscore is one."""
    return text.replace(" * ", " \\* ").replace("_", "\\_")


def _after(question: Question) -> list[str]:
    return [word("question-next", text=question.follow_up), word("question-red-flag", text=question.red_flag)]
