"""What went wrong in the learner's code, as a reply tells it: in which line, in what words, with which tensors."""

from __future__ import annotations

import ast
import linecache
import re
import traceback
import types
from typing import Any

import torch
from torch import Tensor

from grading.candidate.deadline import OutOfTime, loop_around
from grading.candidate.forbidden import Forbidden
from grading.candidate.misfit import Misfit

MAX_MESSAGE = 400


class NotLoadable(Exception):
    """The file has no usable answer in it; the text says why, `line` where."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.line = line


def told(error: BaseException, file: str, tree: ast.Module) -> dict[str, Any]:
    """The error as plain data. `file` is what the learner's code was compiled as, from that tree."""
    frame, line = next(reversed(frames(error, file)), (None, 0))
    kind, message = "raised", _text(error)
    if isinstance(error, NotLoadable):
        kind, line = "load", error.line
    elif isinstance(error, Misfit):
        kind, line = "misfit", error.line or line
    elif isinstance(error, Forbidden):
        kind = "forbidden"
    elif isinstance(error, OutOfTime):
        loop = _loop(error, file, tree)
        kind, line, message = "stopped", loop or line, "in this loop" if loop else "at this line"
    elif type(error) is NotImplementedError and _innermost(error) == file:
        kind = "unwritten"
    text = linecache.getline(file, line).strip() if line else ""
    return {
        "kind": kind,
        "type": type(error).__name__,
        "bases": [base.__name__ for base in type(error).__mro__],
        "message": message,
        "line": line,
        "text": text[:200],
        "tensors": _tensors_named_in(text, frame) if frame else {},
    }


def frames(error: BaseException, file: str) -> list[tuple[types.FrameType, int]]:
    """The learner's own frames and lines on the way to the error, the innermost last."""
    return [(f, n) for f, n in traceback.walk_tb(error.__traceback__) if f.f_code.co_filename == file]


def _loop(error: OutOfTime, file: str, tree: ast.Module) -> int:
    """Where the innermost loop of the learner's begins that has not ended, 0 where there is none."""
    found = (loop_around(tree, line) for _, line in reversed(frames(error, file)))
    return next((line for line in found if line), 0)


def _innermost(error: BaseException) -> str:
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return files[-1] if files else ""


def _text(error: BaseException) -> str:
    """An error's text; the learner's own class may refuse to give one."""
    try:
        return str(error)[:MAX_MESSAGE]
    except BaseException:
        return "(its text cannot be had)"


def _tensors_named_in(text: str, frame: types.FrameType) -> dict[str, str]:
    """The shapes of the tensors that a line of source names, and their dtypes where these are not the same."""
    names = dict.fromkeys(re.findall(r"(?<![\w.])[A-Za-z_]\w*", text))
    found = {name: frame.f_locals[name] for name in names if isinstance(frame.f_locals.get(name), Tensor)}
    mixed = len({tensor.dtype for tensor in found.values()} - {torch.bool}) > 1
    return {name: str(tuple(t.shape)) + f" {t.dtype}".replace("torch.", "") * mixed for name, t in found.items()}
