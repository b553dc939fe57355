"""Kata + source -> KataResult: runs the graders against a folder of submissions."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from grading.candidate.limits import Limits
from grading.catalog import ROOT, Catalog, Kata, submission
from grading.records import Cause, CheckFailed, CheckResult, KataResult, Outcome, Report, Star

if TYPE_CHECKING:
    import pytest

    from grading.candidate.hosts import Host
    from grading.candidate.learner import Learner
    from grading.examination.plugin import Examination

# Built-in plugins that a grade has no use for: each costs at start and at each test.
UNUSED = """cacheprovider capture debugging doctest faulthandler junitxml legacypath logging monkeypatch
pastebin recwarn setuponly setupplan skipping stepwise subtests terminal threadexception tmpdir
unittest unraisableexception warnings""".split()


class Examiner:
    """Grades as often as it is asked; candidates come from one host, and each grade has new ones.

    The order of what happens here is what makes a grade as quick as `import torch`: the host is forked right after
    that import, when nothing secret is in memory yet, and warms up while this process goes on importing.
    """

    def __init__(self, debug: bool = False, host: Host | None = None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self.host = host or _prepare(debug, self._limits)

    def grade(
        self, stems: Sequence[str], folder: Path, seed: int | None = None, asked: bool = True, only: str = ""
    ) -> Report:
        """The report on those katas.

        Args:
            folder: where the learner's files are, or one file.
            seed: of the random inputs; a new one where it is None.
            asked: whether the katas were asked for by name; a missing file is then broken, else not started.
            only: run the checks of that name, or those that have it in their name or title; katas without any are
                left out of the report.
        """
        # candidates start while this process imports pytest and the graders
        self.host.settle()
        self.host.expect(sum(submission(folder, stem).is_file() for stem in stems))
        from grading.examination.plugin import Examination, new_seed

        began = time.monotonic()
        gc.disable()  # what a grade leaves in cycles is collected after it
        examination = Examination(self.host, folder, new_seed() if seed is None else seed, self._limits, only)
        try:
            run(stems, examination)
            ran = [stem for stem in stems if examination.expected[stem] or not only]
            results = [self._result(Catalog()[stem], examination, asked) for stem in ran]
        finally:
            examination.close()
            gc.enable()
        fences = next((learner.fences for learner in examination.learners.values() if learner.fences), ())
        return Report(examination.seed, ("process", *fences), round(time.monotonic() - began, 3), tuple(results), only)

    def _result(self, kata: Kata, examination: Examination, asked: bool) -> KataResult:
        learner, unloaded = examination.learner(kata.stem), examination.unloaded.get(kata.stem)
        file, expected, left_out = learner.where(0), examination.expected[kata.stem], examination.left_out[kata.stem]
        if unloaded:
            failure = unloaded.failure
            missing = not os.path.lexists(learner.path)
            outcome: Outcome = "not started" if missing and not asked else "broken"
            where, words = learner.where(failure.line), examination.printed.get(kata.stem, "")
            message = f"{failure.message}; the line: {failure.got}" if failure.got else failure.message
            return KataResult(kata.stem, kata.title, file, outcome, 0, expected, (), (), message, where, words)
        checks = tuple(examination.checks.get(kata.stem, ()))
        passed, outcome = sum(check.outcome == "passed" for check in checks), _outcome(checks, expected)
        causes = _causes(learner, examination.seed) if outcome == "failed" else ()
        star = _star(learner) if outcome == "passed" and not left_out else None
        result = KataResult(kata.stem, kata.title, file, outcome, passed, expected, causes, checks, star=star)
        return replace(result, left_out=left_out)

    def fences(self) -> tuple[str, ...]:
        """What fences a candidate in here."""
        candidate = self.host.candidate()
        candidate.close()
        self.host.settle()
        return ("process", *candidate.fences)

    def close(self) -> None:
        self.host.close()


def _prepare(debug: bool, limits: Limits) -> Host:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    gc.disable()  # the collector takes a tenth of the import, and its last run at exit a quarter
    with _ending_at_ctrl_c():
        import torch

    from grading.candidate.hosts import host

    torch.set_num_threads(1)
    gc.freeze()
    gc.enable()
    if debug:
        from grading.candidate.in_process import DebugHost

        return DebugHost()
    return host(limits)


@contextmanager
def _ending_at_ctrl_c() -> Iterator[None]:
    """Ctrl-C ends the process here, without an exception: in the middle of PyTorch's import one aborts with a dump."""
    found = signal.getsignal(signal.SIGINT)
    if found is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, found)


def _load(examination: Examination, stem: str, wait: bool = True) -> bool:
    """Whether the file loads, as far as that is known without waiting; if not, why is in examination.unloaded."""
    if stem in examination.unloaded:
        return False
    learner = examination.learner(stem)
    try:
        if wait:
            learner.load()
        else:
            learner.begin_to_load()
    except CheckFailed as failed:
        examination.printed[stem] = learner.printed()
        examination.unloaded[stem] = failed
        return False
    return True


def _causes(learner: Learner, seed: int) -> tuple[Cause, ...]:
    """The mistakes that are proven, in a new process: what the checks left behind in theirs would mislead.

    None where the candidate had to be given up.
    """
    from grading.diagnosis.diagnose import diagnose
    from grading.observe import observe

    if learner.gone:
        return ()
    learner.close()
    return tuple(diagnose(learner.kata.stem, *observe(learner, seed)))


def _star(learner: Learner) -> Star | None:
    from grading.efficiency import star

    return star(learner)


def _outcome(checks: Sequence[CheckResult], expected: int) -> Outcome:
    """Passed when all the collected checks ran and passed; not started when the stub's error still answers them all."""
    if len(checks) == expected > 0 and all(check.outcome == "passed" for check in checks):
        return "passed"
    return "not started" if checks and all(check.kind == "unwritten" for check in checks) else "failed"


def run(stems: Sequence[str], examination: Examination) -> None:
    """Run the graders of those katas; their results are in examination.checks."""
    import pytest

    if not stems:
        return
    files = [str(Catalog()[stem].tests) for stem in stems]
    lean = [argument for name in UNUSED for argument in ("-p", f"no:{name}")]
    options = ["--assert=plain", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), *lean]
    given = _Given(examination)
    code = pytest.main([*options, *files], plugins=[given])
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and examination.only:
        return
    if code == pytest.ExitCode.INTERRUPTED and not given.broken:  # pytest caught it
        raise KeyboardInterrupt
    if code != pytest.ExitCode.OK:  # whatever becomes of the checks
        raise RuntimeError(f"the graders did not run to their end (pytest: {code!r})")


class _Given:
    """A pytest plugin that brings the examination with it."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination
        self.broken = False  # whether a grader could not be collected: pytest calls that an interruption

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.broken = self.broken or report.failed

    def pytest_load_initial_conftests(self, early_config: object) -> None:
        """Before tests/conftest.py makes an examination of its own, with a second fork server."""
        from grading.examination.plugin import KEY

        early_config.stash[KEY] = self._examination  # type: ignore[attr-defined]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Send the files only now: while the graders were collected, their candidates started."""
        from grading.examination.plugin import chosen, stem_of

        examination = self._examination
        kept = chosen(items, examination.only)
        examination.left_out.update(stem for item in items if item not in kept and (stem := stem_of(item.path)))
        items[:] = kept
        examination.expected.update(stem for item in items if (stem := stem_of(item.path)))
        for stem in examination.expected:
            _load(self._examination, stem, wait=False)

    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """A check without pytest's own reports, which nobody reads; its last answers come while the next one runs."""
        from grading.examination.plugin import stem_of

        stem = stem_of(item.path)
        if not stem or not _load(self._examination, stem):
            return True
        learner, keep = self._examination.learner(stem), partial(self._keep, stem, item)
        try:
            item.ihook.pytest_runtest_setup(item=item)
            item.runtest()
            learner.finish(keep)
        except Exception as error:
            learner.drop()
            keep(error)
        finally:
            item.ihook.pytest_runtest_teardown(item=item, nextitem=nextitem)
        if nextitem is None or stem_of(nextitem.path) != stem:
            learner.settle()
        return True

    def _keep(self, stem: str, item: pytest.Item, error: Exception | None) -> None:
        from grading.examination.plugin import check_result

        result = check_result(item, error, self._examination.learner(stem))
        self._examination.checks.setdefault(stem, []).append(result)
