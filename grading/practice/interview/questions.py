"""The interview questions of a kata, with their answers, as its notebook has them."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from grading.catalog import ROOT, Kata
from grading.texts import Texts

TEX = {"$": "", "\\lfloor ": "floor(", " \\rfloor": ")", "\\bmod": "mod"}


@dataclass(frozen=True)
class Question:
    """A question and its model answer, each one paragraph."""

    text: str
    answer: str


def questions(kata: Kata) -> list[Question]:
    """All of them, in the notebook's order."""
    source = (ROOT / "notebooks" / "src" / kata.notebook).with_suffix(".py").read_text(encoding="utf-8")
    markdown = "\n".join(line[1:].removeprefix(" ") for line in source.splitlines() if line.startswith("#"))
    pattern = r"<details><summary>(?:Q\d+\.)?\s*(.*?)</summary>(.*?)</details>"
    return [Question(_line(text), _line(answer)) for text, answer in re.findall(pattern, markdown, re.DOTALL)]


def some(kata: Kata, count: int = 5, seed: int | None = None) -> list[Question]:
    """So many of them, drawn, in the notebook's order and the reader's language."""
    every = [Question(*Texts().question(each.text, each.answer)) for each in questions(kata)]
    chosen = random.Random(seed).sample(range(len(every)), min(count, len(every)))
    return [every[i] for i in sorted(chosen)]


def _line(text: str) -> str:
    """As a terminal shows it: one paragraph, no TeX."""
    for tex, plain in TEX.items():
        text = text.replace(tex, plain)
    return " ".join(text.split())
