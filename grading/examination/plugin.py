"""The pytest plugin: the hooks by which pytest collects the checks of a grader, and has the examination run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from grading.catalog import ROOT, Catalog, KataFault
from grading.examination.collection import Check, checks_of
from grading.examination.examination import Examination

KEY = pytest.StashKey[Examination]()


class CheckItem(pytest.Item):
    """A check as pytest lists it: without fixtures, and at a tenth of the cost of pytest's own items."""

    def __init__(self, *, check: Check, **node: Any) -> None:
        super().__init__(**node)
        self.check = check

    def runtest(self) -> None:
        """The examination runs it."""
        raise NotImplementedError

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it is."""
        return self.path, self.check.function.__code__.co_firstlineno - 1, self.name


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[CheckItem] | None:
    """The checks of a grader; pytest makes any other test."""
    stem = collector.path.stem.removeprefix("test_")
    if collector.path.parent != ROOT / "tests" or stem not in Catalog().stems:
        return None
    assert isinstance(collector, pytest.Module)
    return list(_items(collector, stem, obj)) if name.startswith("test") and isinstance(obj, FunctionType) else []


def _items(module: pytest.Module, stem: str, function: FunctionType) -> Iterator[CheckItem]:
    try:
        for check in checks_of(Catalog()[stem], module.obj, function):
            yield CheckItem.from_parent(module, name=check.name, check=check)
    except KataFault as fault:
        raise module.CollectError(str(fault)) from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[KEY].expect([item.check for item in items if isinstance(item, CheckItem)])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """A check is run by the examination; any other test by pytest."""
    if not isinstance(item, CheckItem):
        return None
    item.config.stash[KEY].run(item.check, nextitem.check if isinstance(nextitem, CheckItem) else None)
    return True
