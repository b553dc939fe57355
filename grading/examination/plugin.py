"""The pytest plugin: the hooks that have the examination collect and run the checks of a grader.

A check asks for `learner`, the file under examination, and `draw`, random inputs from the run's seed.
"""

from __future__ import annotations

import secrets
from types import FunctionType

import pytest
import torch
from torch import Tensor

from grading.examination.collection import Check, checks_of, stem_of
from grading.examination.examination import Examination


def new_seed() -> int:
    """A seed that nobody can know in advance."""
    return secrets.randbelow(2**31)


KEY = pytest.StashKey[Examination]()


# ----------------------------------------------------------------------------------------------- hooks


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[Check] | None:
    """The checks of a grader; pytest makes any other test."""
    stem = stem_of(collector.path)
    if stem and name.startswith("test") and isinstance(obj, FunctionType) and isinstance(collector, pytest.Module):
        return list(checks_of(collector, stem, name, obj))
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[KEY].collected(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A check is run by the examination; any other test by pytest."""
    if not isinstance(item, Check):
        return None
    examination = item.config.stash[KEY]
    examination.run(item, nextitem, Drawer(examination.seed, item.name))
    return True


# ---------------------------------------------------------------------------------------- random inputs


class Drawer:
    """Random inputs that depend on the run's seed and the test's name alone: each test has its own stream.

    draw(2, 5, 4): normal numbers, float64; draw.mask(5, 7): no empty row.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._generator = torch.Generator().manual_seed(seed + sum(map(ord, name)) * 7919)

    def __call__(self, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
        numbers = torch.randn(shape, generator=self._generator, dtype=torch.float64)
        return (numbers if scale == 1.0 else numbers * scale).to(dtype)

    def mask(self, *shape: int) -> Tensor:
        """A random mask: every query may attend to something, and something is forbidden to it when it can be."""
        numbers = torch.rand(shape, generator=self._generator, dtype=torch.float64)
        return numbers >= numbers.mean(dim=-1, keepdim=True)
