"""The katas, as grading/katas.toml lists them."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Kata:
    """One exercise. `number` counts from 1; `holes` maps a function or method to the steps of its TODO."""

    number: int
    stem: str
    title: str
    symbols: tuple[str, ...]
    needs: tuple[str, ...]
    minutes: int
    checks: int
    notebook: str
    hints: tuple[str, ...]
    holes: dict[str, tuple[str, ...]]
    difficulty: str = "medium"
    points: float = 10.0  # its weight in a score

    @property
    def solution(self) -> Path:
        return ROOT / "solutions" / f"{self.stem}.py"

    @property
    def tests(self) -> Path:
        return ROOT / "tests" / f"test_{self.stem}.py"

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

    def __init__(self, path: Path = ROOT / "grading" / "katas.toml") -> None:
        self._path = path

    @property
    def katas(self) -> tuple[Kata, ...]:
        return _katas(self._path)

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
def _katas(path: Path) -> tuple[Kata, ...]:
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["kata"]
    return tuple(_kata(number, entry) for number, entry in enumerate(entries, start=1))


def _kata(number: int, entry: dict[str, object]) -> Kata:
    holes = entry.pop("holes")
    assert isinstance(holes, dict)
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    return Kata(number=number, holes={hole: tuple(steps) for hole, steps in holes.items()}, **lists)  # type: ignore[arg-type]
