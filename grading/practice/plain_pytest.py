"""The graders run by pytest itself, as a test explorer does: they grade problems/, and a failure says its cause.

`pytest tests/test_<kata>.py` is for a learner; `--candidate=solutions` grades the references, as the tests of the
repository do. What is not written yet is skipped. A kata's results are told after its last check, for a cause is what
explains them together.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest
import torch

from grading.candidate.hosts import host
from grading.candidate.limits import Limits
from grading.catalog import ROOT, Catalog
from grading.console import width
from grading.examination.draw import new_seed
from grading.examination.examination import Examination
from grading.examination.examiner import kata_result
from grading.examination.plugin import KEY, CheckItem
from grading.records import CheckResult, KataResult

SKIPPED = ("unwritten", "skipped")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("katas")
    group.addoption("--candidate", default="problems", help="folder, or one file, to be graded (default: problems)")
    group.addoption("--seed", type=int, default=None, help="seed of the random inputs (default: a new one)")


def pytest_configure(config: pytest.Config) -> None:
    """Make an examination."""
    torch.set_num_threads(1)  # for tensors this small, a second thread only waits
    gc.freeze()  # or each collection walks through all of PyTorch
    folder = ROOT / config.getoption("--candidate")
    if not folder.exists():
        raise pytest.UsageError(f"--candidate: no folder or file {config.getoption('--candidate')!r}")
    seed = config.getoption("--seed")
    seed, limits = new_seed() if seed is None else seed, Limits()
    examination = config.stash[KEY] = Examination(host(limits), folder, seed, limits)
    config.add_cleanup(examination.host.close)  # cleanups run last in, first out
    config.add_cleanup(examination.close)
    config.option.reportchars += "s"  # why something is skipped is what a learner wants to know first
    config.pluginmanager.register(_PlainRun(examination))


class _PlainRun:
    """Hands the results of a kata to pytest."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination
        self._items: list[CheckItem] = []  # of the kata whose checks are running

    def pytest_report_header(self) -> str:
        return f"katas: {self._examination.folder}, --seed {self._examination.seed}"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, bool, bool]:
        done = yield
        if isinstance(item, CheckItem):
            self._items.append(item)
            if not isinstance(nextitem, CheckItem) or nextitem.check.stem != item.check.stem:
                self._tell(item.check.stem)
        return done

    def _tell(self, stem: str) -> None:
        """The results of a kata, as pytest's own reports: up to where it was asked to stop (-x)."""
        items, self._items = self._items, []
        result = kata_result(Catalog()[stem], self._examination, asked=False)
        checks = {check.name: check for check in result.checks}
        for item in items:
            if item.session.shouldfail or item.session.shouldstop:
                return
            check = checks.get(item.name)
            _log(item, *(_of_check(result, check) if check else _of_kata(result, item is items[0])))


def _log(item: pytest.Item, outcome: str, text: str, printed: str = "") -> None:
    """One result as pytest's report."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    # without a line, pytest counts those that are skipped for one reason instead of listing them
    said = (os.fspath(item.path), None, text) if outcome == "skipped" else text or None
    sections = [("printed", printed)] if printed else []
    report = pytest.TestReport(item.nodeid, item.location, {}, outcome, said, "call", sections)  # type: ignore[arg-type]
    item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _of_check(result: KataResult, check: CheckResult) -> tuple[str, str, str]:
    """The outcome of a check, what to say of it, and what was printed."""
    if check.outcome == "passed":
        return "passed", "", check.printed
    if check.kind in SKIPPED:
        return "skipped", f"{result.file}: {check.message}", check.printed
    from grading.reports.terminal import one_check

    return "failed", one_check(result, check, width()).plain, check.printed


def _of_kata(result: KataResult, first: bool) -> tuple[str, str]:
    """The outcome of a check that never ran, for all of its kata: said in full once."""
    if result.outcome == "not started":
        return "skipped", f"{result.file}: {result.message}"
    if not first:
        return "skipped", f"{result.kata}: {result.message}"
    from grading.reports.terminal import failure

    return "failed", f"{failure(result, width()).plain}{result.fault}"
