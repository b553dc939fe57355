"""What a learner's file may use: advice for what it may not, silence for ordinary right solutions."""

import ast
from pathlib import Path

import pytest

from grading.candidate.rules import violations
from tests.engine.katas import ATTENTION

ROOT = Path(__file__).resolve().parents[2]
RIGHT = [*sorted((ROOT / "solutions").glob("*.py")), *sorted((ROOT / "tests/submissions/right").rglob("*.py"))]

NOT_AMONG = "a solution imports torch and a few standard modules; {} is not among them"
USES_NOT = "a solution uses torch and a few standard modules; {} is not among them"
NO_NEED = "a solution computes with tensors and has no need of {}, so it is not available"
BEHIND = "a solution has no need of {}: it reaches behind the values, into the interpreter"
INNER = "{} is an inner part of PyTorch; a solution uses the public functions"
AROUND = "{} leads around the exercise or out of it, so a solution does without"
STAR = "name what you import: a star takes in parts of {} that a solution avoids"

ADVICE = {
    "import os": NOT_AMONG.format("os"),
    "import os.path as p": NOT_AMONG.format("os"),
    f"from solutions.{ATTENTION} import scaled_dot_product_attention": NOT_AMONG.format("solutions"),
    "def f():\n    import subprocess": NOT_AMONG.format("subprocess"),
    f"from . import {ATTENTION}": "each kata stands alone in one file, so a solution has no relative imports",
    "exec('x = 1')": NO_NEED.format("exec"),
    "run = eval": NO_NEED.format("eval"),
    "exec = exec": NO_NEED.format("exec"),
    "def f(open=open): return open": NO_NEED.format("open"),
    "def f():\n    [0 for exec in ()]\n    return exec": NO_NEED.format("exec"),
    "f.__globals__": BEHIND.format("__globals__"),
    "self.forward.__func__.__code__": BEHIND.format("__code__"),
    "self.__class__.__bases__": BEHIND.format("__bases__"),
    "print.__self__": BEHIND.format("__self__"),
    "error.__traceback__.tb_frame": BEHIND.format("tb_frame"),
    "'{0.__globals__}'.format(f)": BEHIND.format("__globals__"),
    "getattr(f, '__globals__')": BEHIND.format("__globals__"),
    "match f:\n    case object(__globals__=g): pass": BEHIND.format("__globals__"),
    "__builtins__['eval']": BEHIND.format("__builtins__"),
    "class Mine:\n    def __torch_function__(self): pass": BEHIND.format("__torch_function__"),
    "import torch\ntorch._C._nn": INNER.format("_C"),
    "import torch._C as c": INNER.format("_C"),
    "import torch\ngetattr(torch, '_C')": INNER.format("_C"),
    "x._dynamo": INNER.format("_dynamo"),
    "import torch\ntorch.ops.aten": AROUND.format("torch.ops"),
    "import torch as t\nt.ops.aten": AROUND.format("torch.ops"),
    "import torch\ngetattr(torch, 'ops')": AROUND.format("torch.ops"),
    "from torch import ops as o": AROUND.format("torch.ops"),
    "import torch\n@torch.compile\ndef f(): pass": AROUND.format("torch.compile"),
    "import torch\ntorch.load('x')": AROUND.format("torch.load"),
    "import torch\ntorch.UntypedStorage.from_file('x')": AROUND.format("torch.UntypedStorage"),
    "from torch.utils import cpp_extension": AROUND.format("torch.utils.cpp_extension"),
    "import numpy as np\nnp.memmap('x')": AROUND.format("numpy.memmap"),
    "import logging\nlogging.FileHandler('x')": AROUND.format("logging.FileHandler"),
    "import torch\ntorch.sys.modules": USES_NOT.format("sys"),
    "import torch.nn.functional as F\nF.importlib": USES_NOT.format("importlib"),
    "import random\nrandom._os": USES_NOT.format("os"),
    "import operator\noperator.attrgetter('sys.modules')": USES_NOT.format("sys"),
    "from torch import *": STAR.format("torch"),
    "from torch.nn.functional import *": STAR.format("torch.nn.functional"),
    "__name__ = '__main__'": "a solution leaves __name__ as it is: the grader gives the file its name",
    "if __name__ == '__main__':\n    pass\nelse:\n    import os": NOT_AMONG.format("os"),
    "if __name__ != '__main__':\n    import os": NOT_AMONG.format("os"),
}

FREE = [
    "import math, torch\nfrom torch import Tensor, nn\nimport torch.nn.functional as F",
    "from __future__ import annotations\nfrom typing import Optional\nfrom collections.abc import Callable",
    "from dataclasses import dataclass\nimport functools, itertools, copy, warnings, contextlib",
    "import numpy as np\nnp.tril(np.ones((2, 2)))",
    "from torch.nn import *",
    "from math import *",
    "def f(input): return input + 1",
    "f = [g(input) for input in inputs]",
    "model.eval()",
    "self.io = self.os = 1\nself.io + self.os",
    "def scaled_dot_product_attention(q, k, v): return q\nscaled_dot_product_attention(1, 2, 3)",
    "def compile(x): return x\ncompile(1)",
    "class A:\n    __slots__ = ('a',)\n    def __init__(self): self.__dict__.update(a=1)",
    "raise ValueError(f'{type(self).__name__}: {self.__class__.__qualname__}')",
    '"""Never use __globals__, exec or os."""',
    'def f():\n    """Not torch._C."""\n    return 1',
    "raise ValueError('do not open or exec this')",
    "import torch\ntorch._assert(True, ''); torch.jit.script(f); torch.jit.ignore; torch._check(True)",
    "from torch.utils.checkpoint import checkpoint",
    "import torch\ntorch.utils.checkpoint.checkpoint(f, x)",
    "import torch\ntorch.finfo(x.dtype).min; torch.nn.attention; torch.func.vmap(f); torch.backends.mkldnn",
    "if __name__ == '__main__':\n    import os, sys\n    torch.testing.assert_close(eval('1'), 1)",
    "if '__main__' == __name__:\n    import pytest",
    "getattr(self, 'q_proj')\nsetattr(self, name, nn.Linear(1, 1))",
    "setattr(self, 'k_proj', 1)",
    "x.ops = 1",
]


@pytest.mark.parametrize("source", ADVICE)
def test_advice_names_what_and_why(source):
    assert ADVICE[source] in [violation.text for violation in violations(ast.parse(source))]


@pytest.mark.parametrize("source", FREE)
def test_ordinary_code_is_free(source):
    assert violations(ast.parse(source)) == []


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_right_files_get_no_advice(path):
    assert violations(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_the_line_is_that_of_the_name():
    source = "import torch\n\n\ndef f(x):\n    y = x\n    return eval(y)\n"
    assert [violation.line for violation in violations(ast.parse(source))] == [6]


def test_violations_come_by_line_and_once():
    found = violations(ast.parse("eval(eval)\nimport os\nimport sys"))
    assert [violation.line for violation in found] == [1, 2, 3]
