"""The verb `read`: a section of a kata's notebook in the terminal, or which sections it has."""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches

from grading.catalog import Kata
from grading.console import PASS, USAGE, Verbs, named, say, width
from grading.practice.reading.sections import Section, path_of, section, sections
from grading.texts import Texts, chosen, grader, word

CODE = "ansi_dark"  # the terminal's own colours, on its own background


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    read = verbs.add_parser("read", help="a section of a kata's notebook; without one, which there are")
    read.add_argument("what", metavar="KATA[#SECTION]")
    read.set_defaults(run=_read)


def _read(arguments: argparse.Namespace) -> int:
    name, _, anchor = arguments.what.partition("#")
    try:
        kata = named(name)
    except argparse.ArgumentTypeError as error:
        return _refused(str(error))
    try:
        found = sections(kata.stem, chosen())
    except (OSError, ValueError):
        return _refused(f"there is no {path_of(kata.stem).name}: it is not built, or the kata has none")
    if not anchor:
        return _contents(kata, found)
    text = section(found, anchor)
    if text is None:
        near = get_close_matches(anchor, [each.anchor for each in found if each.anchor], n=1, cutoff=0.4)
        hint = f"did you mean {kata.stem}#{near[0]}?" if near else f"python grader.py read {kata.stem} lists them"
        return _refused(f"{path_of(kata.stem).name} has no section {anchor!r}: {hint}")
    _show(text)
    return PASS


def _refused(why: str) -> int:
    print(f"grader: {why}", file=sys.stderr)
    return USAGE


def _contents(kata: Kata, found: list[Section]) -> int:
    """What the notebook is about, and its sections, each with what to type."""
    say(word("read-contents", title=Texts().title(kata), count=sum(bool(each.anchor) for each in found)))
    print()
    for each in found:
        if each.anchor:
            print(f"{'  ' * (each.level - 1)}{grader()} read {kata.stem}#{each.anchor}")
    return PASS


def _show(text: str) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    page = Markdown(text, code_theme=CODE, hyperlinks=False)
    Console(width=width(), highlight=False).print(page)
