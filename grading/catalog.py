"""The katas, as the files katas/<kata>/kata.toml describe them.

kata.toml of a kata has these keys:
    title       what it is called
    minutes     how long it takes
    difficulty  easy, medium or hard, as an interviewer sees it
    points      its weight in a score (score.json, cohort tables)
    track       "core" or "further"
    after       the katas that come before it
    hints       three, each one level further: direction, idea, line of thought; never the code
    holes       what a learner writes, a function or Class.method each, and the steps that the stub lists for it
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TRACKS = ("core", "further")


@dataclass(frozen=True)
class Kata:
    """One exercise. `number` counts from 1 in its track; `holes` maps a function or method to the steps of its TODO."""

    stem: str
    title: str
    minutes: int
    hints: tuple[str, ...]
    holes: dict[str, tuple[str, ...]]
    difficulty: str
    points: float
    track: str
    after: tuple[str, ...]
    number: int = 0

    @property
    def solution(self) -> Path:
        return ROOT / "solutions" / f"{self.stem}.py"

    @property
    def tests(self) -> Path:
        return ROOT / "tests" / f"test_{self.stem}.py"

    @property
    def notebook(self) -> str:
        sources = (ROOT / "notebooks" / "src").glob(f"*{self.stem}.py")
        return next((f"{source.stem}.ipynb" for source in sources), f"{self.stem}.ipynb")

    @property
    def symbols(self) -> tuple[str, ...]:
        """The functions and classes that a learner writes."""
        return tuple(dict.fromkeys(hole.partition(".")[0] for hole in self.holes))

    @cached_property
    def signatures(self) -> dict[str, tuple[str, ...]]:
        """Parameter names, without self: {"MultiHeadAttention.forward": ("query", "key", "value", "mask"), ...}."""
        tree = ast.parse(self.solution.read_text(encoding="utf-8"))
        found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            methods = (node for node in owner.body if isinstance(node, ast.FunctionDef))
            found |= {f"{owner.name}.{method.name}": method for method in methods}
        names = {name: tuple(argument.arg for argument in node.args.args) for name, node in found.items()}
        return {name: tuple(argument for argument in each if argument != "self") for name, each in names.items()}


class Catalog:
    """The katas in order, and by stem."""

    def __init__(self, folder: Path = ROOT / "katas") -> None:
        self._folder = folder

    @property
    def katas(self) -> tuple[Kata, ...]:
        return _katas(self._folder)

    def __getitem__(self, stem: str) -> Kata:
        """The kata of that stem; KeyError where there is none."""
        return {kata.stem: kata for kata in self.katas}[stem]

    @property
    def stems(self) -> tuple[str, ...]:
        return tuple(kata.stem for kata in self.katas)


def submission(folder: Path, stem: str) -> Path:
    """The learner's file of that kata in a folder, which may also be the file itself."""
    return folder if folder.suffix == ".py" else folder / f"{stem}.py"


@cache
def _katas(folder: Path) -> tuple[Kata, ...]:
    found = [_kata(path) for path in folder.glob("*/kata.toml")]
    tracks = [_in_order(kata for kata in found if kata.track == track) for track in TRACKS]
    return tuple(replace(kata, number=number) for katas in tracks for number, kata in enumerate(katas, start=1))


def _in_order(katas: Iterable[Kata]) -> list[Kata]:
    """Each after those that it comes after; among those that could be next, the first by name."""
    left = sorted(katas, key=lambda kata: kata.stem)
    ordered: list[Kata] = []
    while left:
        waiting = {kata.stem for kata in left}
        following = next((kata for kata in left if not waiting.intersection(kata.after)), None)
        if following is None:
            raise ValueError(f"katas that come after each other: {', '.join(sorted(waiting))}")
        left.remove(following)
        ordered.append(following)
    return ordered


def _kata(path: Path) -> Kata:
    entry: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    holes = {hole: tuple(steps) for hole, steps in entry.pop("holes").items()}
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    return Kata(stem=path.parent.name, holes=holes, **values)
