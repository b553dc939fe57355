"""The hunts, as the files katas/<hunt>/hunt.toml describe them: programs in which bugs are planted, to be found.

A hunt is no kata of the board, and no part of the catalog. Its folder has hunt.toml (title, minutes, difficulty; file,
what the program is called; planted, how many bugs at a time; second_minutes, how long its second part takes) and what
grading/examination/plants.py and hunting.py read.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from grading.catalog import ROOT, Catalog, Kata, KataFault, read_toml


@dataclass(frozen=True)
class Hunt(Kata):
    """A program in which bugs are planted, to be found. Part 2 is to extend the right one, without any."""

    file: str = ""
    planted: int = 4
    second_minutes: float = 0.0
    part: int = 1

    @property
    def folder(self) -> Path:
        return ROOT / "katas" / self.stem

    @property
    def solution(self) -> Path:
        return self.folder / (self.file if self.part == 1 else f"second_{self.file}")

    @property
    def tests(self) -> Path:
        return self.folder / "checks.py"

    @property
    def symbols(self) -> tuple[str, ...]:
        """The functions and classes of the program."""
        return self._defined

    @cached_property
    def _defined(self) -> tuple[str, ...]:
        body = ast.parse(self.reference).body
        return tuple(node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef))

    @property
    def contract(self) -> str:
        """What the program is meant to be."""
        return ast.get_docstring(ast.parse(self.reference), clean=False) or ""

    @property
    def second(self) -> Hunt:
        return replace(self, part=2, minutes=self.second_minutes)


@cache
def hunts(folder: Path = ROOT / "katas") -> tuple[Hunt, ...]:
    """All that there are, by stem."""
    return tuple(read_hunt(path) for path in sorted(folder.glob("*/hunt.toml")))


def read_hunt(path: Path) -> Hunt:
    """The hunt that a hunt.toml describes, with its fault where it cannot be read."""
    stem = path.parent.name
    try:
        return Hunt(stem=stem, holes={}, **read_toml(path))
    except KataFault as fault:
        return Hunt(stem, stem, 0, {}, fault=fault)
    except TypeError as error:
        return Hunt(stem, stem, 0, {}, fault=KataFault(path, error))


def by_stem() -> dict[str, Kata]:
    """The katas and the hunts."""
    return {each.stem: each for each in (*hunts(), *Catalog().katas)}


def find(name: str) -> Kata:
    """The hunt of that stem, or the kata that somebody means; ValueError where there is none, or several."""
    return next((hunt for hunt in hunts() if hunt.stem == name.replace("-", "_")), None) or Catalog().find(name)
