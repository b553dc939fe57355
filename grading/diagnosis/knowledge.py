"""What katas/<kata>/diagnosis.py says of a kata: its programs, the mistakes that can be made in them, its star.

PROGRAMS   the program of each function or class that a learner writes, by name
MISTAKES   mistakes and styles; a program takes those whose steps it has
star       a function of the learner's file that gives a Star, where the kata has one; `templates` are what it may say
"""

from __future__ import annotations

import importlib
from types import ModuleType

from grading.catalog import ROOT, Catalog, Kata, KataFault
from grading.diagnosis.mistake import Kind, is_style, name, of_program


def knowledge(kata: Kata) -> ModuleType | None:
    """The kata's own diagnosis.py; a kata without one has no causes and no star. KataFault where it is broken."""
    path = ROOT / "katas" / kata.stem / "diagnosis.py"
    if not path.is_file():
        return None
    try:
        return importlib.import_module(f"katas.{kata.stem}.diagnosis")
    except Exception as error:
        raise KataFault(path, f"{type(error).__name__}: {error}") from error


def mistakes_of(kata: Kata) -> tuple[Kind, ...]:
    """The mistakes, in one of their ways each, that can be made in a kata."""
    known = knowledge(kata)
    programs = getattr(known, "PROGRAMS", {}).values()
    kinds = (kind for program in programs for kind in of_program(program, getattr(known, "MISTAKES", ())))
    return tuple({name(kind): kind for kind in reversed(list(kinds)) if not is_style(kind)}.values())[::-1]


def templates_of(kata: Kata) -> tuple[str, ...]:
    """What the star of a kata may say, before its figures are put in; nothing where the kata has no star."""
    return getattr(getattr(knowledge(kata), "star", None), "templates", ())


def catalogue() -> dict[str, tuple[Kind, tuple[str, ...]]]:
    """Every mistake by name, with the katas in which it can be made."""
    found: dict[str, tuple[Kind, tuple[str, ...]]] = {}
    for kata in Catalog().katas:
        for kind in mistakes_of(kata):
            first, stems = found.get(name(kind), (kind, ()))
            found[name(kind)] = first, (*stems, kata.stem)
    return found
