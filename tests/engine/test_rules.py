"""What a learner's file may use: advice for what it may not, silence for ordinary right solutions."""

import ast
from pathlib import Path

import pytest

from grading.candidate.permitted import NOT_READ
from grading.candidate.rules import violations, what_runs
from tests.engine.katas import ATTENTION

ROOT = Path(__file__).resolve().parents[2]
RIGHT = [*sorted((ROOT / "solutions").glob("*.py")), *sorted((ROOT / "tests/submissions/right").rglob("*.py"))]

NOT_AMONG = f"a solution imports torch and modules that only compute; {{}} is not among them. {NOT_READ}"
USES_NOT = "a solution uses torch and a few standard modules; {} is not among them"
FILES = f"{{}} opens files, and a grade has none: its inputs are tensors. {NOT_READ}"
PROCESSES = (
    f"{{}} starts processes or reaches the network, and a grade runs as one process without a network. {NOT_READ}"
)
FINISHED = f"{{}} holds a finished attention, which is what the exercise asks you to write. {NOT_READ}"
DEBUGGER = f"{{}} stops in a debugger, which a grade does not have: python grader.py --debug KATA does. {NOT_READ}"
OF_TEXT = f"{{}} makes code of text, and a grade reads the code before it runs. {NOT_READ}"
BEHIND = "a solution has no need of {}: it reaches behind the values, into the interpreter"
INNER = "{} is an inner part of PyTorch; a solution uses the public functions"
AROUND = f"{{}} leads around the exercise or out of it, so a solution does without. {NOT_READ}"
STAR = "name what you import: a star takes in parts of {} that a solution avoids"
COMPILER = (
    "{} starts a compiler, which needs files and processes, and a grade has neither: leave the function as it is. {}"
)
SIGNATURE = f"of inspect, a solution may use signature, and not {{}}. {NOT_READ}"
BUFFERS = f"of io, a solution may use BytesIO, StringIO, and not {{}}. {NOT_READ}"

EINOPS = f"einops is not part of PyTorch: unflatten, transpose, reshape and torch.einsum do the same here. {NOT_READ}"
LISTED_JSON = "JSONDecodeError, JSONDecoder, JSONEncoder, dump, dumps, load, loads"
LISTED_UNITTEST = "TestCase, TestSuite, expectedFailure, skip, skipIf, skipUnless"
SYSTEM = (
    "of sys, a solution may use byteorder, float_info, hexversion, maxsize, platform, stderr, stdout, version, "
    f"version_info, and not {{}}. {NOT_READ}"
)
TESTING = f"of torch.testing, a solution may use assert_allclose, assert_close, make_tensor, and not {{}}. {NOT_READ}"

ADVICE = {
    "import os": FILES.format("os"),
    "import os.path as p": FILES.format("os"),
    "from pathlib import Path": FILES.format("pathlib"),
    f"from solutions.{ATTENTION} import scaled_dot_product_attention": NOT_AMONG.format("solutions"),
    "def f():\n    import subprocess": PROCESSES.format("subprocess"),
    "import einops": EINOPS,
    "from jaxtyping import Float": (
        f"jaxtyping is not part of PyTorch: annotate with Tensor, and write the shape in a comment. {NOT_READ}"
    ),
    "from flash_attn import flash_attn_func": FINISHED.format("flash_attn"),
    "from xformers.ops import memory_efficient_attention": FINISHED.format("xformers"),
    "import google.colab": (
        "google exists on Colab only: put what Colab needs under "
        f'`if "google.colab" in sys.modules:`, which is not read. {NOT_READ}'
    ),
    "import pdb": DEBUGGER.format("pdb"),
    "breakpoint()": DEBUGGER.format("breakpoint"),
    "x = input('x')": f"input waits for a keyboard, which a grade does not have. {NOT_READ}",
    f"from . import {ATTENTION}": (
        f"each kata stands alone in one file, so a solution has no relative imports. {NOT_READ}"
    ),
    "exec('x = 1')": OF_TEXT.format("exec"),
    "run = eval": OF_TEXT.format("eval"),
    "exec = exec": OF_TEXT.format("exec"),
    "open('x')": FILES.format("open"),
    "def f(open=open): return open": FILES.format("open"),
    "def f():\n    [0 for exec in ()]\n    return exec": OF_TEXT.format("exec"),
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
    "import torch\n@torch.compile\ndef f(): pass": COMPILER.format("torch.compile", NOT_READ),
    "import torch\ntorch.load('x')": FILES.format("torch.load"),
    "import torch\ntorch.UntypedStorage.from_file('x')": FILES.format("torch.UntypedStorage"),
    "import torch.distributed as dist": PROCESSES.format("torch.distributed"),
    "from torch.utils import cpp_extension": AROUND.format("torch.utils.cpp_extension"),
    "import numpy as np\nnp.memmap('x')": FILES.format("numpy.memmap"),
    "import logging\nlogging.FileHandler('x')": FILES.format("logging.FileHandler"),
    "import torch\ntorch.sys.modules": USES_NOT.format("sys"),
    "import torch.nn.functional as F\nF.importlib": USES_NOT.format("importlib"),
    "import random\nrandom._os": USES_NOT.format("os"),
    "import json\njson.codecs": f"of json, a solution may use {LISTED_JSON}, and not codecs. {NOT_READ}",
    "import re\nre.copyreg": USES_NOT.format("copyreg"),
    "import operator\noperator.attrgetter('sys.modules')": USES_NOT.format("sys"),
    "import inspect\ninspect.currentframe()": SIGNATURE.format("currentframe"),
    "from inspect import getsource": SIGNATURE.format("getsource"),
    "import inspect as i\ni.stack()": SIGNATURE.format("stack"),
    "import inspect\nf(inspect)": SIGNATURE.format("the module itself"),
    "import inspect\nmine = inspect": SIGNATURE.format("the module itself"),
    "import io\nio.open('x')": BUFFERS.format("open"),
    "import io\ngetattr(io, 'FileIO')": BUFFERS.format("FileIO"),
    "from io import *": STAR.format("io"),
    "import unittest.mock": f"of unittest, a solution may use {LISTED_UNITTEST}, and not mock. {NOT_READ}",
    "import sys\nsys.modules['torch']": SYSTEM.format("modules"),
    "import sys\ndef f(sys=sys): pass": SYSTEM.format("the module itself"),
    "import torch\ntorch.testing._internal": TESTING.format("_internal"),
    "from torch import *": STAR.format("torch"),
    "from torch.nn.functional import *": STAR.format("torch.nn.functional"),
    "__name__ = '__main__'": "a solution leaves __name__ as it is: the grader gives the file its name",
    "if __name__ == '__main__':\n    pass\nelse:\n    import os": FILES.format("os"),
    "if __name__ != '__main__':\n    import os": FILES.format("os"),
    "import sys\nif 'torch' in sys.modules:\n    pass": SYSTEM.format("modules"),
    "import sys\nif 'google.colab' in sys.modules:\n    pass\nelse:\n    import os": FILES.format("os"),
    "import sys\nif 'google.colab' not in sys.modules:\n    import os": FILES.format("os"),
    "def f():\n    if __name__ == '__main__':\n        import os": FILES.format("os"),
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
    "import sys\nif 'google.colab' in sys.modules:\n    import os\n    from google.colab import drive",
    "import sys\nIN_COLAB = 'google.colab' in sys.modules\nif IN_COLAB:\n    import subprocess",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from jaxtyping import Float",
    "import json, re, io, bisect, heapq, timeit, time, unittest, logging, inspect, argparse",
    "json.loads('{}'); re.compile('x'); io.StringIO(); timeit.timeit(lambda: 1)",
    "import inspect\ninspect.signature(f).parameters",
    "import sys\nprint('x', file=sys.stderr)",
    "import unittest\nclass Test(unittest.TestCase):\n    def test(self): self.assertTrue(True)",
    "import torch\ndef test():\n    torch.testing.assert_close(x, y)\n    assert x is not y",
    "import numpy as np\ndef test():\n    np.testing.assert_allclose(x, y)",
    "from torch.testing import assert_close",
    "import io\ndef f(io): return io + 1",
    "getattr(self, 'q_proj')\nsetattr(self, name, nn.Linear(1, 1))",
    "setattr(self, 'k_proj', 1)",
    "x.ops = 1",
]


def advice(source):
    return [violation.text for violation in violations(what_runs(ast.parse(source)))]


@pytest.mark.parametrize("source", ADVICE)
def test_advice_names_what_and_why(source):
    assert ADVICE[source] in advice(source)


@pytest.mark.parametrize("source", FREE)
def test_ordinary_code_is_free(source):
    assert advice(source) == []


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_right_files_get_no_advice(path):
    assert advice(path.read_text(encoding="utf-8")) == []


NEVER_RUN = [
    "if __name__ == '__main__':\n    ran.append(1)",
    "if 'google.colab' in ['google.colab']:\n    ran.append(1)",
    "colab = 'google.colab' in ['google.colab']\nif colab:\n    ran.append(1)",
    "TYPE_CHECKING = True\nif TYPE_CHECKING:\n    ran.append(1)",
]


@pytest.mark.parametrize("source", NEVER_RUN)
def test_what_is_not_read_does_not_run_either(source):
    """Otherwise a file could bring a condition about that frees it from the rules."""
    ran = []
    exec(compile(what_runs(ast.parse(source)), "x", "exec"), {"__name__": "__main__", "ran": ran})
    assert not ran


def test_what_is_read_runs():
    ran = []
    source = "if 'google.colab' not in []:\n    ran.append(1)\n"
    source += "if __name__ == '__main__':\n    pass\nelse:\n    ran.append(2)"
    exec(compile(what_runs(ast.parse(source)), "x", "exec"), {"ran": ran})
    assert ran == [1, 2]


def test_the_line_is_that_of_the_name():
    source = "import torch\n\n\ndef f(x):\n    y = x\n    return eval(y)\n"
    assert [violation.line for violation in violations(ast.parse(source))] == [6]


def test_violations_come_by_line_and_once():
    found = violations(ast.parse("eval(eval)\nimport os\nimport socket"))
    assert [violation.line for violation in found] == [1, 2, 3]
