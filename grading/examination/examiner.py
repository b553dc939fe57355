"""Kata + source -> KataResult: runs the graders against a folder of submissions."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grading.candidate.limits import Limits
from grading.catalog import ROOT, Catalog, Kata, KataFault, submission
from grading.records import Cause, CheckResult, EngineFault, KataResult, Outcome, Report, Star

if TYPE_CHECKING:
    import pytest

    from grading.candidate.hosts import Host
    from grading.candidate.learner import Learner
    from grading.examination.examination import Examination

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
        self._host = host or _prepare(debug, self._limits)

    def grade(self, stems: Sequence[str], folder: Path, seed: int | None = None, asked: bool = True) -> Report:
        """The report on those katas.

        Args:
            folder: where the learner's files are, or one file.
            seed: of the random inputs; a new one where it is None.
            asked: whether the katas were asked for by name; a missing file is then broken, else not started.
        """
        # candidates start while this process imports pytest and the graders
        self._host.settle()
        self._host.expect(sum(submission(folder, stem).is_file() for stem in stems))
        from grading.examination.examination import Examination
        from grading.examination.plugin import new_seed

        began = time.monotonic()
        gc.disable()  # what a grade leaves in cycles is collected after it
        examination = Examination(self._host, folder, new_seed() if seed is None else seed, self._limits)
        try:
            run(stems, examination)
            self._ask_the_reference(examination)
            results = [self._result(Catalog()[stem], examination, asked) for stem in stems]
        finally:
            examination.close()
            gc.enable()
        fences = next((learner.fences for learner in examination.learners.values() if learner.fences), ())
        return Report(examination.seed, ("process", *fences), round(time.monotonic() - began, 3), tuple(results))

    def _ask_the_reference(self, examination: Examination) -> None:
        """What no check foresaw is put down to the answer, unless the reference meets it too: then the grader is at
        fault, or the kata is."""
        from grading.examination.examination import Examination

        if stems := [stem for stem in examination.unforeseen if stem not in examination.faults]:
            reference = Examination(self._host, ROOT / "solutions", examination.seed, self._limits)
            try:
                run(stems, reference)
            finally:
                reference.close()
            examination.faults |= {stem: found[0] for stem, found in reference.unforeseen.items()} | reference.faults

    def _result(self, kata: Kata, examination: Examination, asked: bool) -> KataResult:
        learner, unloaded = examination.learner(kata.stem), examination.unloaded.get(kata.stem)
        checks = tuple(examination.checks.get(kata.stem, ()))
        passed = sum(check.outcome == "passed" for check in checks)
        expected = examination.expected[kata.stem]
        result = KataResult(kata.stem, kata.title, learner.where(0), _outcome(checks, expected), passed, expected)
        if fault := examination.faults.get(kata.stem):
            return replace(
                result, outcome="broken", passed=0, message=fault.message, where=fault.where, fault=fault.trace
            )
        if unloaded:
            failure = unloaded.failure
            missing = not os.path.lexists(learner.path)
            outcome: Outcome = "not started" if missing and not asked else "broken"
            message = f"{failure.message}; the line: {failure.got}" if failure.got else failure.message
            words = examination.printed.get(kata.stem, "")
            return replace(result, outcome=outcome, message=message, where=learner.where(failure.line), printed=words)
        return _explained(replace(result, checks=checks), learner, examination.seed)

    def fences(self) -> tuple[str, ...]:
        """What fences a candidate in here."""
        candidate = self._host.candidate()
        candidate.close()
        self._host.settle()
        return ("process", *candidate.fences)

    def close(self) -> None:
        self._host.close()


def _prepare(debug: bool, limits: Limits) -> Host:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    gc.disable()  # the collector takes a tenth of the import, and its last run at exit a quarter
    import torch

    from grading.candidate.hosts import DebugHost, host

    torch.set_num_threads(1)
    gc.freeze()
    gc.enable()
    return DebugHost() if debug else host(limits)


def _explained(result: KataResult, learner: Learner, seed: int) -> KataResult:
    """With causes or a star. Where the engine fails at these, the verdict stands, and says so."""
    from grading.examination.examination import fault_of

    try:
        causes = _causes(learner, seed) if result.outcome == "failed" else ()
        return replace(result, causes=causes, star=_star(learner) if result.outcome == "passed" else None)
    except Exception as error:
        return replace(result, fault=fault_of(error).trace)


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
    """Run the graders of those katas; their results are in examination.checks, what is broken in its faults."""
    import pytest

    files = [str(Catalog()[stem].tests) for stem in stems if _is_sound(stem, examination)]
    if not files:
        return
    lean = [argument for name in UNUSED for argument in ("-p", f"no:{name}")]
    place = ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    options = ["--assert=plain", "--continue-on-collection-errors", *place, *lean]
    code = pytest.main([*options, *files], plugins=[_Given(examination)])
    if code == pytest.ExitCode.INTERRUPTED:  # pytest caught it
        raise KeyboardInterrupt
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise EngineFault(f"the graders did not run to their end (pytest: {code!r})")


def _is_sound(stem: str, examination: Examination) -> bool:
    """Whether the kata has what a grade needs; if not, it is broken, and the others are graded."""
    from grading.examination.examination import fault_of

    try:
        Catalog()[stem].check()
    except KataFault as error:
        examination.faults[stem] = fault_of(error)
    return stem not in examination.faults


class _Given:
    """A pytest plugin that brings the examination with it, and keeps what a grader cannot be collected for."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination

    def pytest_load_initial_conftests(self, early_config: object) -> None:
        """Before tests/conftest.py makes an examination of its own, with a second fork server."""
        from grading.examination.plugin import KEY

        early_config.stash[KEY] = self._examination  # type: ignore[attr-defined]

    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[object]) -> None:
        from grading.examination.examination import fault_of, stem_of

        error = call.excinfo.value if call.excinfo else None
        if stem := error and stem_of(node.path):
            self._examination.faults[stem] = fault_of(error.__cause__ or error)
