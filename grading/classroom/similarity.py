"""Submissions that are the same but for names, comments and layout: the hash of a normalised syntax tree.

A flag is a reason to look, and no verdict: short katas have few natural answers, so that short ones are not flagged.
"""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterable

SMALLEST = 100  # nodes; a causal mask in one line is nobody's property


def shape(data: bytes) -> str:
    """A hash that renaming, comments, docstrings, annotations and layout do not change; empty where there is none."""
    try:
        tree = Normal().visit(ast.parse(data.decode("utf-8-sig")))
        if sum(1 for _ in ast.walk(tree)) < SMALLEST:
            return ""
        return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


def groups(shapes: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    """From (kata, shape, name): the names of each kata and shape that several share."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kata, each, name in shapes:
        if each:
            found[kata, each].append(name)
    return {key: names for key, names in found.items() if len(names) > 1}


class Normal(ast.NodeTransformer):
    """Names in the order in which they come up; nothing that only a reader sees."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def _name(self, name: str) -> str:
        return self.names.setdefault(name, f"n{len(self.names)}")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._name(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(self._name(node.arg))

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        return ast.keyword(node.arg, self.visit(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.Assign([self.visit(node.target)], self.visit(node.value), lineno=0)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Unused or reordered imports make no difference."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """The same."""

    def _without_docstring(self, node: ast.FunctionDef | ast.ClassDef | ast.Module) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
            node.name = self._name(node.name)
        return self.generic_visit(node)
