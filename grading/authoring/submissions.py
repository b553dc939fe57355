"""The grader's own tests, tests/submissions: whole learner's files, and what each says of itself.

A right file passes. A wrong one has a line `# cause: a-mistake, another` with the mistakes that have to be named, or
`# cause: none` where none is known. Beside it there is a twin: a right file, or the reference, that is the same but for
a few lines. So it is the mistake that fails, and not the style that it is written in.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from grading.catalog import ROOT, Kata
from grading.records import KataResult

FOLDER = ROOT / "tests" / "submissions"
MOST_APART = 10  # lines in which a wrong file and its twin differ


def files(kind: str, stem: str = "") -> list[Path]:
    """The right, wrong or hostile files, of one kata or of all."""
    return sorted((FOLDER / kind / stem).rglob("*.py"))


def header(path: Path, name: str, default: str = "") -> str:
    """The value of a `# name: value` line of a submission."""
    found = re.search(rf"^# {name}: *(.+)$", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1].strip() if found else default


def stated(path: Path) -> set[str]:
    """The mistakes that a wrong file says have to be named."""
    return set(header(path, "cause").split(", ")) - {"none", ""}


def missed(path: Path, result: KataResult) -> set[str]:
    """Those of them that a grade did not name."""
    return stated(path) - {cause.name for cause in result.causes}


def untrue(path: Path, result: KataResult) -> set[str]:
    """What a grade named in their place: others, and none of those."""
    named, wanted = {cause.name for cause in result.causes}, stated(path)
    return set() if named & wanted else named - wanted


def has_twin(path: Path, kata: Kata) -> bool:
    """Whether a right file, or the reference, is the same as this wrong one but for a few lines."""
    return any(
        _apart(_lines(path), _lines(right)) <= MOST_APART for right in (kata.solution, *files("right", kata.stem))
    )


def _apart(some: tuple[str, ...], others: tuple[str, ...]) -> int:
    """How many lines differ; a changed line counts once."""
    if abs(len(some) - len(others)) > MOST_APART:
        return MOST_APART + 1
    blocks: Iterable[tuple[str, int, int, int, int]]
    blocks = difflib.SequenceMatcher(None, some, others, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for what, i1, i2, j1, j2 in blocks if what != "equal")


@cache
def _lines(path: Path) -> tuple[str, ...]:
    """The code in one layout, without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tuple(ast.unparse(tree).splitlines())
