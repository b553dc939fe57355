"""The stub of a kata, made from its solution: bodies out, signatures and docstrings kept."""

from __future__ import annotations

import ast
import io
import re
import tokenize

from grading.catalog import Kata


def stub(kata: Kata, steps: bool = True) -> str:
    """The text of problems/<stem>.py. Without `steps` the TODO lists are left out, as in an interview."""
    source = kata.reference
    tree = ast.parse(source)
    return _Stub(kata, source, steps).module(tree)


def is_untouched(found: bytes, text: str) -> bool:
    """Whether a file is a stub of the kata's, perhaps an earlier one: nothing in it is anybody's but its docstrings."""
    try:
        tokens = tokenize.generate_tokens(io.StringIO(found.decode("utf-8")).readline)
        comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
        same = _without_docstrings(found.decode("utf-8")) == _without_docstrings(text)
    except (ValueError, SyntaxError, tokenize.TokenError):
        return False
    return same and all(re.match(r"# TODO:|#   \d+\. ", comment) for comment in comments)


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    owners = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    for owner in (owner for owner in owners if ast.get_docstring(owner) is not None):
        del owner.body[0]
    return ast.dump(tree)


class _Stub:
    def __init__(self, kata: Kata, source: str, steps: bool) -> None:
        self.kata = kata
        self.lines = source.splitlines()
        self.steps = steps

    def module(self, tree: ast.Module) -> str:
        blocks = [self._header(ast.get_docstring(tree, clean=False) or "")]
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        blocks.append("\n".join(self.lines[imports[0].lineno - 1 : imports[-1].end_lineno]))
        blocks += [self._segment(node) for node in tree.body if isinstance(node, ast.Assign)]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in self.kata.holes:
                blocks.append(f"\n{self._hole(node, node.name)}")
            if isinstance(node, ast.ClassDef):
                given = node.name in self.kata.given
                blocks.append(f"\n{self._segment(node) if given else self._class(node)}")
        return "\n\n".join(blocks) + "\n"

    def _header(self, contract: str) -> str:
        kata = self.kata
        title = f"{kata.title}, about {kata.minutes} minutes."
        return f'"""{title}\n\nGrade it with: python grader.py check {kata.stem}\n\n{contract}"""'

    def _class(self, node: ast.ClassDef) -> str:
        head = "\n".join(self.lines[_first_line(node) - 1 : node.body[0].end_lineno])
        methods = [method for method in node.body if isinstance(method, ast.FunctionDef)]
        holes = [(method, f"{node.name}.{method.name}") for method in methods]
        bodies = [self._hole(method, name) for method, name in holes if name in self.kata.holes]
        return "\n\n".join([head, *bodies])

    def _hole(self, node: ast.FunctionDef, name: str) -> str:
        """The function up to its docstring, a call of super().__init__ where it has one, the TODO and the error."""
        kept, first = node.lineno - 1, node.body[0]
        is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        is_super = ast.unparse(first) == "super().__init__()"
        end = first.end_lineno if is_docstring or is_super else first.lineno - 1
        indent = " " * first.col_offset
        todo = [f"{indent}# TODO:"] if self.steps else []
        todo += [f"{indent}#   {i}. {step}" for i, step in enumerate(self.kata.holes[name], 1) if self.steps]
        return "\n".join([*self.lines[kept:end], *todo, f'{indent}raise NotImplementedError("{name}")'])

    def _segment(self, node: ast.stmt) -> str:
        return "\n".join(self.lines[_first_line(node) - 1 : node.end_lineno])


def _first_line(node: ast.stmt) -> int:
    """Where a statement begins, with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])
