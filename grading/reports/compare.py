"""A learner's solution against the reference: the code alone, as a difference line by line."""

from __future__ import annotations

import ast
import difflib

from rich.cells import cell_len
from rich.text import Text

from grading.reports.terminal import clean
from grading.texts import word

OPEN, ONLY_YOURS, ONLY_REFERENCE = "  ", "- ", "+ "
STYLES = {OPEN: "", ONLY_YOURS: "red", ONLY_REFERENCE: "green"}


def differences(yours: str, reference: str, width: int) -> Text:
    """All lines of both without docstrings; long ones go on in the next line, under their own indent."""
    out = Text().append(f"{ONLY_YOURS}{word('yours')}\n", STYLES[ONLY_YOURS])
    out.append(f"{ONLY_REFERENCE}{word('reference')}\n\n", STYLES[ONLY_REFERENCE])
    before, after = code(yours), code(reference)
    for what, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            _append(out, OPEN, before[i:j], width)
        else:
            _append(out, ONLY_YOURS, before[i:j], width)
            _append(out, ONLY_REFERENCE, after[k:m], width)
    return out


def code(source: str) -> list[str]:
    """The lines without docstrings and without what is blank; all of them where it is no Python."""
    lines = source.splitlines()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return lines
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in (node for node in ast.walk(tree) if isinstance(node, owners)):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            last = first.end_lineno or first.lineno
            lines[first.lineno - 1 : last] = [""] * (last - first.lineno + 1)
    return [line.rstrip() for line in lines if line.strip()]


def _append(out: Text, mark: str, lines: list[str], width: int) -> None:
    for line in map(clean, lines):
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        for part in _parts(line, width - len(mark), indent):
            out.append(f"{mark}{part}\n", style=STYLES[mark])


def _parts(line: str, room: int, indent: str) -> list[str]:
    """The line in pieces of at most that width, broken anywhere: nothing is left out."""
    parts, part = [], ""
    for letter in line:
        if cell_len(part + letter) > room and part.strip():
            parts.append(part)
            part = indent if len(indent) < room // 2 else ""
        part += letter
    return [*parts, part]
