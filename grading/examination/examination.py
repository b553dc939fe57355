"""One run of graders over a learner's files: candidates, checks, and what they came to."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from grading.candidate.hosts import Host
from grading.candidate.learner import Learner
from grading.candidate.limits import Limits
from grading.catalog import ROOT, Catalog, KataFault, submission
from grading.examination.collection import Check
from grading.examination.draw import Drawer
from grading.records import CheckFailed, CheckResult, EngineFault, Event, Failure


@dataclass(frozen=True)
class Fault:
    """The engine, or a file of the kata's own, failed: never the learner's fault, and never a verdict."""

    message: str
    where: str
    trace: str


class Examination:
    """What the tests of one run share: where candidates come from, whose files, which seed; and what they found.

    Args:
        only: run the checks of that name, or those that have it in their name or title.
        until_wrong: run no further check after one that fails.
    """

    def __init__(
        self,
        candidates: Host,
        folder: Path,
        seed: int,
        limits: Limits,
        only: str = "",
        until_wrong: bool = False,
    ) -> None:
        self.host = candidates
        self.folder = folder
        self.seed = seed
        self.limits = limits
        self.only = only
        self.learners: dict[str, Learner] = {}
        self.expected: Counter[str] = Counter()  # how many checks were collected for each kata
        self.left_out: Counter[str] = Counter()  # how many more there are that were not asked for
        self.checks: dict[str, list[CheckResult]] = {}
        self.transcripts: dict[str, dict[str, list[Event]]] = {}  # what each check asked, and what came back
        self.printed: dict[str, str] = {}
        self.unloaded: dict[str, CheckFailed] = {}
        self.faults: dict[str, Fault] = {}
        self.unforeseen: dict[str, list[Fault]] = {}  # what a check raised that is no CheckFailed
        self.ended = False  # whether no further check is to be run
        self._until_wrong = until_wrong

    def learner(self, stem: str) -> Learner:
        """The learner's file of that kata. `folder` may also be one file."""
        if stem not in self.learners:
            self.learners[stem] = Learner(
                Catalog()[stem], submission(self.folder, stem), self.host, self.limits, self.seed
            )
        return self.learners[stem]

    def close(self) -> None:
        """End the candidates, without waiting for it; the host may serve another examination."""
        for learner in self.learners.values():
            learner.close()

    # ------------------------------------------------------------------------------------------- one check

    def expect(self, checks: Sequence[Check]) -> list[Check]:
        """Send the files that they are about; those that were asked for. Only now: while the graders were collected,
        their candidates started."""
        kept = _chosen(checks, self.only) if self.only else list(checks)
        self.expected.update(check.stem for check in kept)
        self.left_out.update(check.stem for check in checks)
        self.left_out.subtract(self.expected)
        for stem in self.expected:
            try:
                self._load(stem, wait=False)
            except EngineFault as error:
                self.faults[stem] = fault_of(error)
        return kept

    def run(self, check: Check, following: Check | None) -> None:
        """One check; its last answers come while the next one of its kata runs."""
        if check.stem not in self.faults:
            try:
                self._run(check)
                if following is None or following.stem != check.stem:
                    self.learner(check.stem).settle()
            except EngineFault as error:
                self.faults[check.stem] = fault_of(error)

    def _run(self, check: Check) -> None:
        if not self._load(check.stem):
            return
        learner, keep = self.learner(check.stem), partial(self._keep, check)
        self.transcripts.setdefault(check.stem, {})[check.name] = learner.begin_check()
        try:
            check.run(learner=learner, draw=Drawer(self.seed, check.name))
            learner.finish(keep)
        except EngineFault:
            raise
        except (Exception, pytest.skip.Exception, pytest.fail.Exception) as error:
            learner.drop()
            keep(error)

    def _load(self, stem: str, wait: bool = True) -> bool:
        """Whether the file loads, as far as that is known without waiting; if not, why is in `unloaded`."""
        if stem in self.unloaded:
            return False
        learner = self.learner(stem)
        try:
            if wait:
                learner.load()
            else:
                learner.begin_to_load()
        except CheckFailed as failed:
            self.printed[stem] = learner.printed()
            self.unloaded[stem] = failed
            return False
        return True

    def _keep(self, check: Check, error: BaseException | None) -> None:
        if isinstance(error, EngineFault):
            raise error
        if error is not None and not isinstance(error, CheckFailed):
            self.unforeseen.setdefault(check.stem, []).append(fault_of(error))
        result = check_result(check, error, self.learner(check.stem))
        self.checks.setdefault(check.stem, []).append(result)
        self.ended = self._until_wrong and result.outcome == "failed"


# ---------------------------------------------------------------------------------------------- results


def check_result(check: Check, error: BaseException | None, learner: Learner) -> CheckResult:
    """What a test raised, or did not, as the result of a check."""
    printed = learner.printed()
    if error is None:
        return CheckResult(check.name, check.title, "passed", call=learner.call, printed=printed)
    failure = _failure_of(error)
    call, line = failure.call or learner.call, failure.line or learner.line
    return CheckResult(
        check.name,
        check.title,
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


def _failure_of(error: BaseException) -> Failure:
    """What a check raised, as a failure. What no check foresaw is put down to the answer, unless the reference, which
    is then asked, does the same."""
    if isinstance(error, CheckFailed):
        return error.failure
    return Failure(f"the answer cannot be examined ({type(error).__name__}: {error})"[:300], kind="odd")


def _chosen(checks: Sequence[Check], only: str) -> list[Check]:
    """The checks of that name, or else those with it in their name or title, in any case of letters."""
    exact = [check for check in checks if check.name == only]
    return exact or [check for check in checks if only.lower() in f"{check.name} {check.title}".lower()]


def fault_of(error: BaseException) -> Fault:
    """An exception of the engine's, or of a kata's own file."""
    text = str(error).splitlines() or [""]
    return Fault(f"{type(error).__name__}: {text[0]}", _where(error), "".join(traceback.format_exception(error)))


def _where(error: BaseException) -> str:
    """The file and line that it is about, or the innermost line of the repository that it came from."""
    if isinstance(error, KataFault) and error.__cause__:
        return _where(error.__cause__)
    if isinstance(error, SyntaxError) and error.filename:
        places = [(error.filename, error.lineno or 0)]
    else:
        places = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    for file, line in reversed(places):
        path = Path(file)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts:
            return f"{path.relative_to(ROOT)}:{line}"
    return ""
