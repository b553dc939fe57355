"""The pytest plugin: the fixtures that a grader test uses, and the hooks that have the examination run its checks.

A grader test asks for `learner`, the file under examination, and `draw`, random inputs from the run's seed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from grading.candidate.learner import Learner
from grading.examination.examination import Examination, stem_of

Draw = Callable[..., Tensor]


def new_seed() -> int:
    """A seed that nobody can know in advance."""
    return secrets.randbelow(2**31)


KEY = pytest.StashKey[Examination]()


# ----------------------------------------------------------------------------------------------- hooks


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
