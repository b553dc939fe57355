"""Questions in a terminal or a notebook: each is asked, waits, shows what to say, and takes the reader's own rating."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from grading.console import width
from grading.practice.interview.questions import Question, translated
from grading.practice.interview.recall import RATINGS, remember
from grading.practice.progress.progress import Progress
from grading.texts import chosen, word

END = "q"


def is_terminal() -> bool:
    """Whether there is somebody who can answer, and see what is asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(asked: Sequence[Question]) -> dict[str, int]:
    """The ratings by key, of those that were rated: q, the end of the input, or a host without one ends it."""
    progress, ratings = Progress(), {}
    for number, each in enumerate(asked, start=1):
        question = translated(each, chosen())
        print("\n" + heading(question, f"{number}/{len(asked)} "))
        if _read(word("deck-show")) in (None, END):
            break
        print("\n" + answer(question) + "\n")
        key = _rating()
        if key in RATINGS:
            ratings[each.key] = RATINGS[key]
            remember(progress, each, RATINGS[key], time.time())
        elif key in (None, END):
            break
    return ratings


def _rating() -> str | None:
    """The key of a rating, empty where none was wanted; None at the end of the input."""
    while (key := _read(word("deck-rate"))) not in (None, "", END, *RATINGS):
        pass
    return key


def _read(prompt: str) -> str | None:
    """A line in lower case; None where there are no more, or nobody to write one."""
    try:
        return input(f"   {prompt} ").strip().lower()
    except (EOFError, OSError, RuntimeError):  # the last one is what a notebook without a keyboard raises
        print()
        return None


def tell_questions(asked: Sequence[Question]) -> None:
    """The questions, without what to say."""
    for number, each in enumerate(asked, start=1):
        print("\n" + heading(translated(each, chosen()), f"{number}. "))


def tell_answers(asked: Sequence[Question]) -> None:
    """What to say, for a reader who could not answer in between."""
    print("\n" + word("answers"))
    for number, each in enumerate(asked, start=1):
        print(f"{number}. {answer(translated(each, chosen())).lstrip()}")


def heading(question: Question, number: str) -> str:
    """The question, with its level and topic."""
    from grading.reports.columns import wrap

    kind = word("in-brackets", text=word("comma").join((word(question.level), question.topic)))
    text = number + question.question + kind
    return "\n".join(wrap(text, width(), "   "))


def answer(question: Question) -> str:
    """What to say, the number behind it, what is asked next, and what costs the offer."""
    from grading.reports.columns import wrap

    parts = [question.say, question.measured, *after(question)]
    return "\n".join("   " + line for part in parts if part for line in wrap(part, width() - 3))


def after(question: Question) -> list[str]:
    """What is asked next, and what costs the offer."""
    return [word("question-next", text=question.follow_up), word("question-red-flag", text=question.red_flag)]
