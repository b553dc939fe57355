"""The pytest plugin: the fixtures that a grader test uses, and the hooks that have the examination run its checks.

A grader test asks for `learner`, the file under examination, and `draw`, random inputs from the run's seed.
"""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from grading.candidate.hosts import host
from grading.candidate.learner import Learner
from grading.candidate.limits import Limits
from grading.catalog import ROOT
from grading.examination.examination import Examination, stem_of
from grading.records import CheckResult

Draw = Callable[..., Tensor]


def new_seed() -> int:
    """A seed that nobody can know in advance."""
    return secrets.randbelow(2**31)


KEY = pytest.StashKey[Examination]()


# ----------------------------------------------------------------------------------------------- hooks


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("katas")
    group.addoption("--candidate", default="solutions", help="folder, or one file, to be graded (default: solutions)")
    group.addoption("--seed", type=int, default=None, help="seed of the random inputs (default: a new one)")


def pytest_configure(config: pytest.Config) -> None:
    if KEY in config.stash:
        return
    torch.set_num_threads(1)  # for tensors this small, a second thread only waits
    gc.freeze()  # or each collection walks through all of PyTorch
    seed = config.getoption("--seed")
    seed = new_seed() if seed is None else seed
    folder = ROOT / config.getoption("--candidate")
    limits = Limits()
    examination = config.stash[KEY] = Examination(host(limits), folder, seed, limits, on_result=_log)
    config.add_cleanup(examination.host.close)  # cleanups run last in, first out
    config.add_cleanup(examination.close)


def pytest_report_header(config: pytest.Config) -> str:
    examination = config.stash[KEY]
    return f"katas: {examination.folder}, --seed {examination.seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[KEY].collected(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A check is run by the examination; any other test by pytest."""
    stem = stem_of(item.path)
    if stem is None:
        return None
    item.config.stash[KEY].run(stem, item, nextitem)
    return True


def _log(item: pytest.Item, result: CheckResult) -> None:
    """A result as pytest's own report, for whoever runs the graders by `pytest`."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    text = _as_text(result) if result.outcome == "failed" else None
    report = pytest.TestReport(item.nodeid, item.location, {}, result.outcome, text, "call")
    item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


# --------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="module")
def learner(request: pytest.FixtureRequest) -> Learner:
    """The learner's file of the kata that the module grades."""
    stem = stem_of(request.path)
    assert stem is not None, "only a grader test may ask for the learner"
    return request.config.stash[KEY].learner(stem)


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> Draw:
    """draw(2, 5, 4): normal numbers, float64; draw.mask(5, 7): no empty row. Each test has its own stream."""
    return Drawer(request.config.stash[KEY].seed, request.node.name)


class Drawer:
    """Random inputs that depend on the run's seed and the test's name alone."""

    def __init__(self, seed: int, name: str) -> None:
        self._generator = torch.Generator().manual_seed(seed + sum(map(ord, name)) * 7919)

    def __call__(self, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
        numbers = torch.randn(shape, generator=self._generator, dtype=torch.float64)
        return (numbers if scale == 1.0 else numbers * scale).to(dtype)

    def mask(self, *shape: int) -> Tensor:
        """A random mask: every query may attend to something, and something is forbidden to it when it can be."""
        numbers = torch.rand(shape, generator=self._generator, dtype=torch.float64)
        return numbers >= numbers.mean(dim=-1, keepdim=True)


def _as_text(result: CheckResult) -> str:
    rows: list[tuple[str, Any]] = [("call", result.call), ("wanted", result.wanted), ("got", result.got)]
    lines = [f"{result.title}: {result.message}  ({result.where})"]
    return "\n".join(lines + [f"    {name:<8}{value}" for name, value in rows if value])
