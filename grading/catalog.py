"""The katas, as the files katas/<kata>/kata.toml describe them.

kata.toml of a kata has these keys:
    title       what it is called
    minutes     how long it takes
    holes       what a learner writes, a function or Class.method each, and the steps that the stub lists for it
    difficulty  easy, medium or hard, as an interviewer sees it; medium where nothing is said. A hard one is drawn for
                an interview only where those that come before it were passed
    points      its weight in a score (score.json, cohort tables); 10
    track       "core" or "further"; core
    after       the katas that come before it; in an interview round it may be what extends them
    refuses     what is refused when it is reached, besides the functions that do the exercise: ["autograd"] or nothing
    hints       three, each one level further: direction, idea, line of thought; never the code

A kata whose file cannot be read is in the catalog too, after the others, and says why: no other is taken down by it.
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TRACKS = ("core", "further")
REFUSALS = ("autograd",)
TYPES: dict[str, Any] = {
    **dict.fromkeys(("title", "difficulty", "track"), str),
    **dict.fromkeys(("minutes", "points"), (int, float)),
    **dict.fromkeys(("after", "hints", "refuses"), list),
    "holes": dict,
}
REQUIRED = {"title", "minutes", "holes"}


class KataFault(Exception):
    """A file of a kata's own is missing or broken; the text names it."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}: {reason}")


@dataclass(frozen=True)
class Kata:
    """One exercise. `number` counts from 1 in its track; `holes` maps a function or method to the steps of its TODO."""

    stem: str
    title: str
    minutes: float
    holes: dict[str, tuple[str, ...]]
    hints: tuple[str, ...] = ()
    difficulty: str = "medium"
    points: float = 10.0
    track: str = "core"
    after: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    number: int = 0
    fault: KataFault | None = None

    def check(self) -> None:
        """KataFault where it lacks what a grade needs: a kata.toml, a solution and a grader that can be read."""
        if self.fault:
            raise self.fault
        if not self.tests.is_file():
            raise KataFault(self.tests, "the kata has no grader yet")
        missing = self.holes.keys() - self.signatures.keys()
        if missing:
            raise KataFault(self.solution, f"it has no {', '.join(sorted(missing))}")

    @property
    def is_sound(self) -> bool:
        """Whether it can be graded."""
        try:
            self.check()
        except KataFault:
            return False
        return True

    @property
    def file(self) -> str:
        """What the file is called that a learner writes."""
        return f"{self.stem}.py"

    @property
    def solution(self) -> Path:
        return ROOT / "solutions" / f"{self.stem}.py"

    @property
    def tests(self) -> Path:
        return ROOT / "tests" / f"test_{self.stem}.py"

    @property
    def notebook(self) -> str:
        """The name of its notebook, which is built from a file of its own; empty where it has none."""
        return f"{self.stem}.ipynb" if (ROOT / "notebooks" / "src" / f"{self.stem}.py").is_file() else ""

    @property
    def symbols(self) -> tuple[str, ...]:
        """The functions and classes that a learner writes."""
        return tuple(dict.fromkeys(hole.partition(".")[0] for hole in self.holes))

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The classes that stand complete in the stub, for a learner writes no part of them."""
        classes = (node.name for node in ast.parse(self.reference).body if isinstance(node, ast.ClassDef))
        return tuple(name for name in classes if name not in self.symbols)

    @property
    def reference(self) -> str:
        """The text of the solution; KataFault where there is none that Python can read."""
        try:
            text = self.solution.read_text(encoding="utf-8")
            ast.parse(text)
        except (OSError, ValueError, SyntaxError) as error:
            raise KataFault(self.solution, error) from error
        return text

    @cached_property
    def signatures(self) -> dict[str, tuple[str, ...]]:
        """Parameter names, without self: {"MultiHeadAttention.forward": ("query", "key", "value", "mask"), ...}.

        Of a class that is given, a dataclass, they are the names of its fields.
        """
        body = ast.parse(self.reference).body
        found = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
        for owner in (node for node in body if isinstance(node, ast.ClassDef)):
            methods = (node for node in owner.body if isinstance(node, ast.FunctionDef))
            found |= {f"{owner.name}.{method.name}": method for method in methods}
        names = {name: tuple(argument.arg for argument in node.args.args) for name, node in found.items()}
        classes = (node for node in body if isinstance(node, ast.ClassDef))
        names |= {owner.name: _fields(owner) for owner in classes if owner.name in self.given}
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
    def sound(self) -> tuple[Kata, ...]:
        """Those that can be graded."""
        return tuple(kata for kata in self.katas if kata.is_sound)

    @property
    def stems(self) -> tuple[str, ...]:
        return tuple(kata.stem for kata in self.katas)

    @property
    def tracks(self) -> tuple[str, ...]:
        """Those that have katas."""
        return tuple(dict.fromkeys(kata.track for kata in self.katas))

    def find(self, name: str) -> Kata:
        """The kata that somebody means: by stem, path, number, or a part of the stem that no other has.

        Raises:
            ValueError: there is none, or several; the text says what is nearest.
        """
        stem = Path(name).stem.lower().replace("-", "_")
        exact = [kata for kata in self.katas if stem == kata.stem.lower() or stem == str(kata.number)]
        parts = exact[:1] or [kata for kata in self.katas if stem and stem in kata.stem.lower()]
        if len(parts) == 1:
            return parts[0]
        near = [kata.stem for kata in parts] or get_close_matches(stem, self.stems)
        meant = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(self.stems)}"
        raise ValueError(f"{'several katas' if parts else 'no kata'} {name!r}: {meant}")


def _fields(owner: ast.ClassDef) -> tuple[str, ...]:
    """What a dataclass lists."""
    lines = (line.target for line in owner.body if isinstance(line, ast.AnnAssign))
    return tuple(target.id for target in lines if isinstance(target, ast.Name))


def submission(folder: Path, stem: str) -> Path:
    """The learner's file of that kata in a folder, which may also be the file itself."""
    return folder if folder.suffix == ".py" or folder.is_file() else folder / f"{stem}.py"


def read_toml(path: Path) -> dict[str, Any]:
    """A file of a kata's own; KataFault where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KataFault(path, error) from error


@cache
def _katas(folder: Path) -> tuple[Kata, ...]:
    found = [read_kata(path) for path in folder.glob("*/kata.toml")]
    ordered: list[Kata] = []
    for track in TRACKS:
        katas = _in_order([kata for kata in found if kata.track == track and not kata.fault])
        ordered += [replace(kata, number=number) for number, kata in enumerate(katas, start=1)]
    there = {kata.stem for kata in ordered}
    return (*ordered, *sorted((kata for kata in found if kata.stem not in there), key=lambda kata: kata.stem))


def _in_order(katas: list[Kata]) -> list[Kata]:
    """Each after those that it comes after; among those that could be next, the first by name."""
    left = sorted(katas, key=lambda kata: kata.stem)
    ordered: list[Kata] = []
    while left:
        waiting = {kata.stem for kata in left}
        # where all wait for each other there is no right order: the first by name
        following = next((kata for kata in left if not waiting.intersection(kata.after)), left[0])
        left.remove(following)
        ordered.append(following)
    return ordered


def read_kata(path: Path) -> Kata:
    """The kata that a kata.toml describes, with its fault where it cannot be read; without a number."""
    stem = path.parent.name
    try:
        entry = read_toml(path)
        _check(path, entry)
        holes = {hole: tuple(steps) for hole, steps in entry.pop("holes").items()}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()
        }
        return Kata(stem=stem, holes=holes, **values)
    except KataFault as fault:
        return Kata(stem, stem, 0, {}, fault=fault)


def _check(path: Path, entry: dict[str, Any]) -> None:
    """KataFault where a key is missing, unknown, or of another type."""
    for name in REQUIRED - entry.keys():
        raise KataFault(path, f"it has no {name}")
    for name, value in entry.items():
        if name not in TYPES or not isinstance(value, TYPES[name]) or isinstance(value, bool):
            raise KataFault(path, f"{name} = {value!r} is not understood")
        lists = list(value.values()) if name == "holes" else [value] if isinstance(value, list) else []
        if not all(isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in lists):
            raise KataFault(path, f"{name} has to consist of lists of texts")
    if entry.get("track", "core") not in TRACKS:
        raise KataFault(path, f"track has to be one of {', '.join(TRACKS)}")
    for name in set(entry.get("refuses", ())).difference(REFUSALS):
        raise KataFault(path, f"refuses has {name!r}, and has to consist of some of {', '.join(REFUSALS)}")
