"""The efficiency star: what is said of it, and what it counts. test_submissions.py has those who get it."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from grading.candidate.meter import count, peak_bytes
from grading.catalog import ROOT
from grading.reports.terminal import board
from tests.engine.katas import CACHED, GROUPS, HEADS

RIGHT = ROOT / "tests" / "submissions" / "right"


def test_what_a_copy_costs_is_on_the_board(examiner):
    report = examiner.grade([GROUPS], RIGHT / GROUPS / "repeat_interleave_float32.py")
    text = board(report, 100).plain
    assert "* " not in text
    words = " ".join(text.split())
    assert "right; a step copies each key/value head 4 times, as PyTorch does where it broadcasts: at" in words
    # 32 layers, 8192 tokens, 8 heads of 128, keys and values, two bytes: 1 GiB
    assert "4 GiB of copies of a 1 GiB cache" in words
    assert report.as_dict()["katas"][0]["star"]["given"] is False


def test_a_star_is_on_the_board(examiner):
    report = examiner.grade([HEADS, GROUPS], ROOT / "solutions")
    heads, groups = board(report, 100).plain.splitlines()
    assert "*" not in heads
    assert f"* {report.katas[1].passed}/" in groups


def test_no_star_where_the_code_cannot_answer(examine, tmp_path):
    source = (ROOT / "solutions" / f"{GROUPS}.py").read_text()
    path = tmp_path / f"{GROUPS}.py"
    path.write_text(
        source.replace(
            "        query = self._split(", "        assert key.size(1) != 128\n        query = self._split("
        )
    )
    result = examine(GROUPS, path)
    assert (result.outcome, result.star) == ("passed", None)


def test_a_grade_imports_nothing_that_is_slow(tmp_path):
    """Some calls of PyTorch import sympy, torch._dynamo or torch.distributed.tensor: half a second each."""
    code = (
        "import sys; from pathlib import Path; from grading.catalog import ROOT, Catalog\n"
        "from grading.examination.examiner import Examiner\n"
        "examiner = Examiner()\n"
        "report = examiner.grade(Catalog().stems, ROOT / 'solutions')\n"
        "assert all(result.outcome == 'passed' for result in report.katas)\n"
        "(tmp,) = sys.argv[1:]\n"
        f"source = (ROOT / 'solutions' / '{GROUPS}.py').read_text().replace('math.sqrt(E)', 'E')\n"
        f"(Path(tmp) / '{GROUPS}.py').write_text(source)\n"
        f"assert examiner.grade(['{GROUPS}'], Path(tmp)).katas[0].causes\n"  # and so is a diagnosis
        "examiner.close()\n"
        "slow = ('sympy', 'torch._dynamo', 'torch.distributed.tensor', 'torch._inductor')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_inference_mode_hides_nothing_from_the_meters():
    layer, x = (
        importlib.import_module(f"solutions.{CACHED}").CachedGroupedQueryAttention(64, 8, 2),
        torch.ones(1, 1, 64),
    )
    cache = (torch.ones(1, 2, 50, 8), torch.ones(1, 2, 50, 8))
    given = [x, *cache, *layer.parameters()]

    def step():
        return layer(x, cache)

    flops, peak = count(step)[1], peak_bytes(step, given)
    assert flops == 4 * 64 * 64 + 4 * 64 * 16 + 4 * 51 * 64
    with torch.inference_mode():
        assert (count(step)[1], peak_bytes(step, given)) == (flops, peak)


OUTSIDE = {
    "NumPy": lambda x: torch.from_numpy(x.numpy().repeat(2000, axis=0).sum(0)),
    "NumPy by itself": lambda x: torch.from_numpy(np.repeat(np.asarray(x), 2000, axis=0).sum(0)),
    "a list": lambda x: torch.tensor([sum(column) for column in zip(*(x.tolist() * 2000), strict=True)]),
}


@pytest.mark.parametrize("way", OUTSIDE)
def test_memory_outside_of_pytorch_is_counted(way):
    x = torch.ones(2, 32)
    assert peak_bytes(lambda: OUTSIDE[way](x), [x]) > 2000 * 2 * 8
    assert peak_bytes(lambda: x.exp(), [x]) == 2 * 32 * 4
