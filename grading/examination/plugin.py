"""The pytest plugin: the fixtures that a grader test uses, and pytest's reports as CheckResults.

A grader test asks for `learner`, the file under examination, and `draw`, random inputs from the run's seed.
"""

from __future__ import annotations

import gc
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from grading.candidate.hosts import Host, host
from grading.candidate.learner import Learner
from grading.candidate.limits import Limits
from grading.candidate.transport import EngineFault
from grading.catalog import ROOT, Catalog, submission
from grading.records import CheckFailed, CheckResult, Failure

Draw = Callable[..., Tensor]


def new_seed() -> int:
    """A seed that nobody can know in advance."""
    return secrets.randbelow(2**31)


class Examination:
    """What the tests of one run share: where candidates come from, whose files, which seed; and what they found."""

    def __init__(self, candidates: Host, folder: Path, seed: int, limits: Limits, only: str = "") -> None:
        self.host = candidates
        self.folder = folder
        self.seed = seed
        self.limits = limits
        self.only = only
        self.learners: dict[str, Learner] = {}
        self.expected: Counter[str] = Counter()  # how many checks were collected for each kata
        self.left_out: Counter[str] = Counter()  # how many more there are that were not asked for
        self.checks: dict[str, list[CheckResult]] = {}
        self.printed: dict[str, str] = {}
        self.unloaded: dict[str, CheckFailed] = {}

    def learner(self, stem: str) -> Learner:
        """The learner's file of that kata. `folder` may also be one file."""
        if stem not in self.learners:
            self.learners[stem] = Learner(Catalog()[stem], submission(self.folder, stem), self.host, self.limits)
        return self.learners[stem]

    def close(self) -> None:
        """End the candidates, without waiting for it; the host may serve another examination."""
        for learner in self.learners.values():
            learner.close()


KEY = pytest.StashKey[Examination]()


@cache
def stem_of(path: Path) -> str | None:
    """The kata that a test file grades, None for other tests."""
    stem = path.stem.removeprefix("test_")
    return stem if path.parent == ROOT / "tests" and stem in Catalog().stems else None


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
    examination = config.stash[KEY] = Examination(host(limits), folder, seed, limits)
    config.add_cleanup(examination.host.close)  # cleanups run last in, first out
    config.add_cleanup(examination.close)


def pytest_report_header(config: pytest.Config) -> str:
    examination = config.stash[KEY]
    return f"katas: {examination.folder}, --seed {examination.seed}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A check has passed when the answers that it did not wait for are there."""
    stem = stem_of(item.path)
    learner = item.config.stash[KEY].learner(stem) if stem else None
    try:
        yield
    except Exception:
        if learner:
            learner.drop()
        raise
    if learner:
        learner.settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    stem = stem_of(item.path)
    if stem and (report.when == "call" or (report.when == "setup" and not report.passed)):
        examination = item.config.stash[KEY]
        result = check_result(item, call.excinfo.value if call.excinfo else None, examination.learner(stem))
        if result.outcome == "failed":
            report.longrepr = _as_text(result)
    return report  # type: ignore[return-value]


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


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's seed."""
    return request.config.stash[KEY].seed


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


# ---------------------------------------------------------------------------------------------- results


def check_result(item: pytest.Item, error: BaseException | None, learner: Learner) -> CheckResult:
    """What a test raised, or did not, as the result of a check. Skips and errors are failures too."""
    title = _title(item)
    printed = learner.printed()
    if error is None:
        return CheckResult(item.name, title, "passed", call=learner.call, printed=printed)
    failure = _failure_of(error)
    call, line = failure.call or learner.call, failure.line or learner.line
    return CheckResult(
        item.name,
        title,
        "failed",
        call=call,
        wanted=failure.wanted,
        got=failure.got,
        where=learner.where(line),
        message=failure.message,
        printed=printed,
        kind=failure.kind,
        wanted_map=failure.wanted_map,
        got_map=failure.got_map,
        map_at=failure.map_at,
    )


def _failure_of(error: BaseException | None) -> Failure:
    """What a check raised, as a failure. What no check foresaw is put down to the answer: solutions never cause it."""
    if isinstance(error, CheckFailed):
        return error.failure
    if isinstance(error, EngineFault):
        raise error
    return Failure(f"the answer cannot be examined ({type(error).__name__}: {error})"[:300], kind="odd")


def chosen(items: list[pytest.Item], only: str) -> list[pytest.Item]:
    """The checks of that name, or else those with it in their name or title, in any case of letters."""
    exact = [item for item in items if item.name == only]
    return exact or [item for item in items if only.lower() in f"{item.name} {_title(item)}".lower()]


def _title(item: pytest.Item) -> str:
    """The docstring's first line, with the parameters of a parametrised test."""
    doc = (getattr(item, "obj", None).__doc__ or item.name).strip().splitlines()[0]
    parameters = getattr(item, "callspec", None)
    return f"{doc} [{parameters.id}]" if parameters else doc


def _as_text(result: CheckResult) -> str:
    rows: list[tuple[str, Any]] = [("call", result.call), ("wanted", result.wanted), ("got", result.got)]
    lines = [f"{result.title}: {result.message}  ({result.where})"]
    return "\n".join(lines + [f"    {name:<8}{value}" for name, value in rows if value])
