"""Kata + source -> KataResult: runs the graders against a folder of submissions."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from grading.candidate.limits import Limits
from grading.catalog import ROOT, Catalog, Kata, KataFault, submission
from grading.records import Cause, CheckResult, Event, KataResult, Outcome, Report

if TYPE_CHECKING:
    from grading.candidate.hosts import Host
    from grading.candidate.learner import Learner
    from grading.examination.collection import Check
    from grading.examination.examination import Examination, Fault


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
        # candidates start while this process imports the graders
        self.host.expect(sum(submission(folder, stem).is_file() for stem in stems))
        from grading.examination.draw import new_seed
        from grading.examination.examination import Examination

        began = time.monotonic()
        gc.disable()  # what a grade leaves in cycles is collected after it
        examination = Examination(self.host, folder, new_seed() if seed is None else seed, self._limits, only)
        try:
            run(stems, examination)
            self._ask_the_reference(examination)
            ran = [stem for stem in stems if examination.expected[stem] or stem in examination.faults or not only]
            results = [kata_result(Catalog()[stem], examination, asked) for stem in ran]
        finally:
            examination.close()
            gc.enable()
        fences = next((learner.fences for learner in examination.learners.values() if learner.fences), ())
        return Report(examination.seed, ("process", *fences), round(time.monotonic() - began, 3), tuple(results), only)

    def _ask_the_reference(self, examination: Examination) -> None:
        """What no check foresaw is put down to the answer, unless the reference meets it too: then the grader is at
        fault, or the kata is."""
        from grading.examination.examination import Examination

        if stems := [stem for stem in examination.unforeseen if stem not in examination.faults]:
            reference = Examination(self.host, ROOT / "solutions", examination.seed, self._limits, examination.only)
            try:
                run(stems, reference)
            finally:
                reference.close()
            examination.faults |= {stem: found[0] for stem, found in reference.unforeseen.items()} | reference.faults

    def fences(self) -> tuple[str, ...]:
        """What fences a candidate in here."""
        candidate = self.host.candidate()
        candidate.close()
        self.host.settle()
        return ("process", *candidate.fences)

    def tidy(self) -> None:
        """Between two grades, while nobody waits: what the last one left goes, and a candidate starts for the next."""
        gc.collect()
        self.host.settle()
        self.host.expect(1)

    def close(self) -> None:
        self.host.close()


def _prepare(debug: bool, limits: Limits) -> Host:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
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


def kata_result(kata: Kata, examination: Examination, asked: bool) -> KataResult:
    """What the checks of a kata came to, once they have run: with causes, or a star."""
    learner, unloaded = examination.learner(kata.stem), examination.unloaded.get(kata.stem)
    checks = tuple(examination.checks.get(kata.stem, ()))
    passed = sum(check.outcome == "passed" for check in checks)
    expected = examination.expected[kata.stem]
    result = KataResult(kata.stem, kata.title, learner.where(0), _outcome(checks, expected), passed, expected)
    result = replace(result, left_out=examination.left_out[kata.stem])
    if fault := examination.faults.get(kata.stem):
        return _broken(result, fault)
    if unloaded:
        failure = unloaded.failure
        missing = not os.path.lexists(learner.path)
        outcome: Outcome = "not started" if missing and not asked else "broken"
        message = f"{failure.message}; the line: {failure.got}" if failure.got else failure.message
        printed = examination.printed.get(kata.stem, "")
        return replace(result, outcome=outcome, message=message, where=learner.where(failure.line), printed=printed)
    transcripts = examination.transcripts.get(kata.stem, {})
    return _explained(replace(result, checks=checks), kata, learner, transcripts)


def _explained(
    result: KataResult, kata: Kata, learner: Learner, transcripts: Mapping[str, Sequence[Event]]
) -> KataResult:
    """With causes or a star. Where the engine fails at these, the verdict stands, and says so; without the kata's own
    diagnosis there is none."""
    from grading.diagnosis.knowledge import knowledge
    from grading.examination.examination import fault_of

    try:
        known = knowledge(kata)
        if result.outcome == "failed":
            return replace(result, causes=_causes(known, kata, result.checks, transcripts))
        star = getattr(known, "star", None)
        whole = result.outcome == "passed" and not result.left_out
        return replace(result, star=star(learner)) if star and whole else result
    except KataFault as error:
        return _broken(result, fault_of(error))
    except Exception as error:
        return replace(result, fault=fault_of(error).trace)


def _broken(result: KataResult, fault: Fault) -> KataResult:
    """No verdict: it is the kata, or the engine, that is broken."""
    said = replace(result, message=fault.message, where=fault.where, fault=fault.trace)
    return replace(said, outcome="broken", passed=0, checks=())


def _causes(
    known: ModuleType | None,
    kata: Kata,
    checks: Sequence[CheckResult],
    transcripts: Mapping[str, Sequence[Event]],
) -> tuple[Cause, ...]:
    """The mistakes that are proven by what the checks saw."""
    from grading.diagnosis.causes import causes
    from grading.diagnosis.replay import Check

    if known is None or not hasattr(known, "PROGRAMS"):
        return ()
    sides: dict[str, list[Check]] = {"failed": [], "passed": []}
    for check in checks:
        sides[check.outcome].append(Check(check.name, transcripts.get(check.name, ()), kata.signatures))
    return tuple(causes(known.PROGRAMS, known.MISTAKES, sides["failed"], sides["passed"]))


def _outcome(checks: Sequence[CheckResult], expected: int) -> Outcome:
    """Passed when all the collected checks ran and passed; not started when the stub's error still answers them all."""
    if len(checks) == expected > 0 and all(check.outcome == "passed" for check in checks):
        return "passed"
    return "not started" if checks and all(check.kind == "unwritten" for check in checks) else "failed"


def run(stems: Sequence[str], examination: Examination) -> None:
    """Run the graders of those katas; their results are in examination.checks, what is broken in its faults."""
    from grading.examination.collection import checks
    from grading.examination.examination import fault_of

    found: list[Check] = []
    for stem in stems:
        try:
            found += checks(stem)
        except KataFault as error:
            examination.faults[stem] = fault_of(error)
    chosen = examination.expect(found)
    for check, following in zip_longest(chosen, chosen[1:]):
        if not examination.ended:
            examination.run(check, following)
