"""What a learner wrote runs, but has another form than the one asked for: which form, in plain words, and where."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from grading.candidate.wire import describe


class Misfit(Exception):
    """Another form than the one asked for; the text says which, `line` where."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.line = line


def other_symbol(symbol: str, value: Any, tree: ast.Module) -> Misfit | None:
    """What is wrong about what stands under the name of a class or function that is asked for."""
    line = bound_at(tree, symbol)
    if value is None:
        return Misfit(f"the file defines no {symbol}", line)
    if symbol[0].isupper():
        if isinstance(value, type) and issubclass(value, nn.Module):
            return None
        wanted = f"a class built on nn.Module: write `class {symbol}(nn.Module):`"
    else:
        if callable(value) and not isinstance(value, type):
            return None
        wanted = f"a function: write `def {symbol}(...):`"
    return Misfit(f"{symbol} is {_kind(value)}, and has to be {wanted}", line)


def other_given(name: str, value: Any, tree: ast.Module) -> Misfit | None:
    """What is wrong about what stands under the name of a class that the stub gives."""
    if isinstance(value, type):
        return None
    text = f"the file defines no {name}, the class that the stub gives: leave it as it is there"
    if value is not None:
        text = (
            f"{describe(value)} stands in the place of {name}, the class that the stub gives: leave it as it is there"
        )
    return Misfit(text, bound_at(tree, name))


def _kind(value: Any) -> str:
    if isinstance(value, type):
        built = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        return f"a class built on {built}" if built else "a class that is built on nothing"
    if isinstance(value, types.FunctionType):
        return "a function"
    return f"a layer that is made already ({describe(value)})" if isinstance(value, nn.Module) else describe(value)


def lazy_layer(layer: nn.Module, tree: ast.Module) -> Misfit | None:
    """Parameters that have no size yet, and so cannot be given the weights that the outputs are compared with."""
    for name, parameter in layer.named_parameters():
        if is_lazy(parameter):
            text = f"{name} has no size before the first call (nn.LazyLinear): use nn.Linear with both sizes"
            return Misfit(text, _mentioned_at(tree, "Lazy"))
    return None


def other_signature(
    name: str, function: Callable[..., Any], wanted: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Misfit | None:
    """Whether the function cannot be called with those arguments at all, and so has other parameters than asked for.

    Args:
        name: of the function, as a learner calls it.
        wanted: the parameters that the contract names, for the arguments that come by position.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # it tells nobody which it takes
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        given = [*wanted[: len(args)], *kwargs]
        text = f"{name} takes ({', '.join(signature.parameters)}), and has to take ({', '.join(given)})"
        code = getattr(getattr(function, "func", function), "__code__", None)
        return Misfit(text, getattr(code, "co_firstlineno", 0))
    return None


def bound_at(tree: ast.Module, name: str) -> int:
    """The last line at the top level that gives a value to the name; 0 where none does."""
    lines = [0]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = {node.name}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.asname or alias.name for alias in node.names}
        else:
            names = {
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
        lines += [node.lineno] if name in names else []
    return lines[-1]


def _mentioned_at(tree: ast.Module, start: str) -> int:
    """The first line that names something which begins so."""
    names = ((getattr(node, "attr", getattr(node, "id", "")), getattr(node, "lineno", 0)) for node in ast.walk(tree))
    return min((line for name, line in names if name.startswith(start)), default=0)
