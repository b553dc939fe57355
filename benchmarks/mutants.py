"""First-order mutants of a Python file: the same program with one small thing done otherwise.

Left alone is what no check can see: docstrings, annotations, imports, the words of errors, and the lines of a self-test
under `if __name__ == "__main__":`.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import ndiff
from typing import Any

Change = tuple[str, ast.AST]  # what is done, and what then stands in the node's place


@dataclass(frozen=True)
class Mutant:
    """A program with one thing done otherwise.

    Attributes:
        kind: what was done, e.g. "axis".
        natural: whether people make this mistake, where others are a machine's.
        change: the lines that differ, "before -> after": what a mutant is known by.
        text: the whole file.
    """

    kind: str
    natural: bool
    change: str
    text: str


NATURAL = {
    "axis", "comparison", "matrix product turned", "scale", "names exchanged", "layers exchanged", "negation dropped",
    "call dropped", "call exchanged", "keyword dropped", "flag turned", "dtype", "statement deleted", "parts exchanged",
}  # fmt: skip

ARITHMETIC: dict[type[ast.operator], list[type[ast.operator]]] = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.FloorDiv], ast.Pow: [ast.Mult], ast.MatMult: [ast.Mult], ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd], ast.BitXor: [ast.BitOr],
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}  # fmt: skip
# functions and methods that are taken for each other
TWINS = [
    ("tril", "triu"), ("ones", "zeros"), ("ones_like", "zeros_like"), ("softmax", "log_softmax"), ("cat", "stack"),
    ("softmax", "sigmoid"), ("repeat_interleave", "repeat"), ("max", "min"), ("amax", "amin"), ("sum", "mean"),
    ("any", "all"), ("exp", "exp2"), ("sqrt", "square"), ("zeros", "empty"), ("masked_fill", "masked_fill_"),
    ("float", "half"), ("double", "float"), ("arange", "ones"), ("expand", "repeat"),
    ("mul", "div"), ("logical_and", "logical_or"),
]  # fmt: skip
DTYPES = ["float16", "float32", "float64", "bool", "int64"]
AXES = {"dim", "axis", "start_dim", "end_dim", "dim0", "dim1"}
AXIS_METHODS = """transpose softmax size unsqueeze squeeze flatten unflatten cat chunk split sum amax amin mean
repeat_interleave movedim swapaxes narrow select unbind stack any all max min permute log_softmax logsumexp cumsum
index_select gather split_with_sizes roll tensor_split""".split()


def mutants(source: str) -> list[Mutant]:
    """All of a file's, each once."""
    tree = ast.parse(source)
    before = ast.unparse(tree)
    found: dict[str, Mutant] = {}
    for kind, text in _texts(tree):
        if text != before and text not in found:
            found[text] = Mutant(kind, kind in NATURAL, _change(before, text), text)
    return list(found.values())


def normal(source: str) -> str:
    """A file as its mutants are written."""
    return ast.unparse(ast.parse(source))


def _change(before: str, after: str) -> str:
    lines = [line for line in ndiff(before.splitlines(), after.splitlines()) if line[0] in "-+"]
    gone, new = ([line[2:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return f"{' / '.join(gone)} -> {' / '.join(new) or 'nothing'}"


def _texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What is done, and the file with it done, for each place and each way."""
    for parent, field, index, node, scope in _places(tree):
        for kind, other in _changes(node, parent, field, scope):
            _put(parent, field, index, other)
            text = ast.unparse(ast.fix_missing_locations(tree))
            _put(parent, field, index, node)
            if _compiles(text):
                yield kind, text


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class _Scope:
    """What a function's names can be exchanged with: its own, and the attributes of its class. `groups` are those that
    people confuse: its parameters, and what is unpacked together."""

    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    groups: tuple[frozenset[str], ...] = ()

    def are_alike(self, name: str, other: str) -> bool:
        return any(name in group and other in group for group in self.groups)


Place = tuple[ast.AST, str, int | None, ast.AST, _Scope]


def _places(tree: ast.Module) -> Iterator[Place]:
    yield from list(_inside(tree, _Scope()))


def _inside(parent: ast.AST, scope: _Scope) -> Iterator[Place]:
    """Every node below that code is in, and where it hangs."""
    for field, value in ast.iter_fields(parent):
        nodes = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, node in nodes:
            if not isinstance(node, ast.AST) or _is_left_alone(node, field):
                continue
            yield parent, field, index, node, scope
            yield from _inside(node, _scope(node, scope))


def _is_left_alone(node: ast.AST, field: str) -> bool:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    no_code = isinstance(node, ast.Import | ast.ImportFrom | ast.Raise | ast.Assert | ast.JoinedStr | ast.expr_context)
    self_test = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
    return docstring or no_code or self_test or field in ("annotation", "returns", "decorator_list", "bases", "targets")


def _scope(node: ast.AST, outer: _Scope) -> _Scope:
    if isinstance(node, ast.ClassDef):
        own = (each for each in ast.walk(node) if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store))
        return _Scope(attributes=tuple(dict.fromkeys(each.attr for each in own if ast.unparse(each.value) == "self")))
    if isinstance(node, ast.FunctionDef):
        names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        stored = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        own = [name for name in dict.fromkeys([*outer.names, *names, *stored]) if name != "self"]
        unpacked = [_stored(n) for n in ast.walk(node) if isinstance(n, ast.Tuple) and isinstance(n.ctx, ast.Store)]
        groups = (*outer.groups, frozenset(names), *unpacked)
        return _Scope(tuple(own), outer.attributes, groups)
    return outer


def _stored(node: ast.AST) -> frozenset[str]:
    return frozenset(each.id for each in ast.walk(node) if isinstance(each, ast.Name))


# ------------------------------------------------------------------------------------------- what is done


def _changes(node: ast.AST, parent: ast.AST, field: str, scope: _Scope) -> Iterator[Change]:
    for change in CHANGES.get(type(node), ()):
        yield from change(node, parent, field, scope)
    if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Pass):
        yield "statement deleted", ast.Pass()


def _with(node: ast.AST, **fields: Any) -> Any:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _operators(node: Any, *_: Any) -> Iterator[Change]:
    for operator in ARITHMETIC.get(type(node.op), ()):
        yield ("scale" if isinstance(node.op, ast.Div) else "operator"), _with(node, op=operator())
    if isinstance(node.op, ast.MatMult):
        yield "matrix product turned", _with(node, left=node.right, right=node.left)
    elif isinstance(node.op, ast.Div | ast.Sub | ast.FloorDiv | ast.Mod):
        yield "operands exchanged", _with(node, left=node.right, right=node.left)
    yield ("scale" if isinstance(node.op, ast.Div) else "operand dropped"), node.left
    yield "operand dropped", node.right


def _in_place(node: Any, *_: Any) -> Iterator[Change]:
    for operator in ARITHMETIC.get(type(node.op), ()):
        yield "operator", _with(node, op=operator())


def _comparisons(node: Any, *_: Any) -> Iterator[Change]:
    for i, operator in enumerate(node.ops):
        for other in COMPARISONS.get(type(operator), ()):
            yield "comparison", _with(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])


def _negations(node: Any, *_: Any) -> Iterator[Change]:
    if isinstance(node.operand, ast.Constant):
        return
    yield "negation dropped", node.operand


def _conditions(node: Any, *_: Any) -> Iterator[Change]:
    operator = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield "operator", _with(node, op=operator)
    for value in node.values:
        yield "operand dropped", value


def _branches(node: Any, *_: Any) -> Iterator[Change]:
    for value in (True, False):
        yield "condition", _with(node, test=ast.Constant(value))


def _loops(node: Any, *_: Any) -> Iterator[Change]:
    yield "condition", _with(node, test=ast.Constant(False))


def _constants(node: Any, parent: ast.AST, field: str, _: _Scope) -> Iterator[Change]:
    value = node.value
    if isinstance(parent, ast.UnaryOp):  # a number with its sign is one
        return
    if isinstance(value, bool):
        yield "flag turned", ast.Constant(not value)
    elif isinstance(value, int):
        yield from _numbers(value, _is_axis(parent, field))
    elif isinstance(value, float):
        for other in (value + 1.0, value * 2.0 + 0.1, -value or 0.5):
            yield "constant", ast.Constant(other)


def _signed(node: Any, parent: ast.AST, field: str, _: _Scope) -> Iterator[Change]:
    """A constant with a minus before it, which the syntax takes for a negation."""
    if isinstance(node.operand, ast.Constant) and isinstance(node.operand.value, int | float):
        yield from _numbers(-node.operand.value, _is_axis(parent, field))
    elif isinstance(node.op, ast.USub):
        yield "constant", ast.Constant(0.0)


def _numbers(value: float, axis: bool) -> Iterator[Change]:
    others = (-3, -2, -1, 0, 1, 2) if axis else (value + 1, value - 1, -value)
    for other in others:
        if other != value:
            yield ("axis" if axis else "constant"), ast.parse(str(other), mode="eval").body


def _is_axis(parent: ast.AST, field: str) -> bool:
    if isinstance(parent, ast.keyword):
        return parent.arg in AXES
    name = getattr(parent.func, "attr", "") if isinstance(parent, ast.Call) and field == "args" else ""
    return name in AXIS_METHODS


def _names(node: Any, _: ast.AST, field: str, scope: _Scope) -> Iterator[Change]:
    if isinstance(node.ctx, ast.Load) and node.id in scope.names:
        for other in scope.names:
            if other != node.id:
                kind = "names exchanged" if scope.are_alike(node.id, other) else "another name"
                yield kind, ast.Name(other, ast.Load())


def _attributes(node: Any, parent: ast.AST, field: str, scope: _Scope) -> Iterator[Change]:
    if not isinstance(node.ctx, ast.Load):
        return
    if ast.unparse(node.value) == "self" and node.attr in scope.attributes:
        for other in scope.attributes:
            if other != node.attr:
                yield "layers exchanged", _with(node, attr=other)
    if ast.unparse(node.value) == "torch" and node.attr in DTYPES:
        for other in DTYPES:
            if other != node.attr:
                yield "dtype", _with(node, attr=other)
    if node.attr == "dtype":
        for other in ("float16", "float32"):
            yield "dtype", ast.parse(f"torch.{other}", mode="eval").body
    for pair in TWINS:
        if node.attr in pair and isinstance(parent, ast.Call) and field == "func":
            yield "call exchanged", _with(node, attr=pair[1 - pair.index(node.attr)])


def _calls(node: Any, *_: Any) -> Iterator[Change]:
    if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) not in ("torch", "F", "nn", "math"):
        yield "call dropped", node.func.value
    elif node.args:
        yield "call dropped", node.args[0]
    for i, keyword in enumerate(node.keywords):
        if keyword.arg:
            yield "keyword dropped", _with(node, keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])
    if len(node.args) > 1:
        yield "argument dropped", _with(node, args=node.args[:-1])
    symmetric = getattr(node.func, "attr", "") in ("transpose", "swapaxes", "max", "min")
    for i in range(len(node.args) - 1 if not symmetric else 0):
        turned = [*node.args[:i], node.args[i + 1], node.args[i], *node.args[i + 2 :]]
        yield "arguments exchanged", _with(node, args=turned)


def _lists(node: Any, *_: Any) -> Iterator[Change]:
    for i in range(len(node.elts) - 1):
        turned = [*node.elts[:i], node.elts[i + 1], node.elts[i], *node.elts[i + 2 :]]
        yield "parts exchanged", _with(node, elts=turned)


def _choices(node: Any, *_: Any) -> Iterator[Change]:
    yield "condition", node.body
    yield "condition", node.orelse


def _bounds(node: Any, *_: Any) -> Iterator[Change]:
    for field in ("lower", "upper", "step"):
        if getattr(node, field) is not None:
            yield "bound dropped", _with(node, **{field: None})


def _returns(node: Any, *_: Any) -> Iterator[Change]:
    yield "nothing returned", ast.Return(None)


CHANGES: dict[type[ast.AST], list[Callable[..., Iterator[Change]]]] = {
    ast.BinOp: [_operators],
    ast.AugAssign: [_in_place],
    ast.Compare: [_comparisons],
    ast.UnaryOp: [_negations, _signed],
    ast.BoolOp: [_conditions],
    ast.If: [_branches],
    ast.While: [_loops],
    ast.IfExp: [_choices],
    ast.Constant: [_constants],
    ast.Name: [_names],
    ast.Attribute: [_attributes],
    ast.Call: [_calls],
    ast.Tuple: [_lists],
    ast.List: [_lists],
    ast.Slice: [_bounds],
    ast.Return: [_returns],
}  # fmt: skip
