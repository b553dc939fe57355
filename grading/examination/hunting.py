"""How many of the planted bugs were found, and whether a second part is right: the checks of katas/<hunt>/checks.py.

That module has PROBES, by name, and WHOLE, the name of the one that sees all of the program. A probe asks a file for
numbers. The same is asked of the program with each set of the bugs that the probe sees: the answers are known, and the
file's has to be one of them. A bug counts as found where the file answers as a program without it does, whatever else
is still in there. SECOND are the checks of the second part, functions of the file, the reference and random inputs.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations, product
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from grading.candidate.hosts import Host
from grading.candidate.in_process import DebugHost
from grading.candidate.learner import Learner
from grading.candidate.limits import Limits
from grading.catalog import KataFault
from grading.examination.checks import close
from grading.examination.draw import Drawer, new_seed
from grading.examination.plants import SOUND, planted, plants
from grading.hunts import Hunt
from grading.records import CheckFailed, CheckResult, EngineFault, Failure, KataResult, Report

ODD = "odd"
LIMITS = Limits(call_seconds=15.0, kata_seconds=60.0)  # the first optimizer makes PyTorch import for a second or more
Draw = Callable[[str], Drawer]


def hunt_report(hunt: Hunt, keys: Collection[str], file: Path, host: Host, seed: int | None = None) -> Report:
    """A report in which each planted bug is a check, passed where it was found; SOUND is one more of them.

    Args:
        keys: the planted bugs; none where it is the second part.
        seed: of the random inputs; a new one where it is None.
    """
    seed = new_seed() if seed is None else seed
    learner = Learner(hunt, file, host, LIMITS, seed)
    try:
        learner.load()
        with Known(hunt, seed) as known:
            parts = known.second(learner) if hunt.part == 2 else known.hunted(learner, sorted(keys))
            checks = tuple(parts)
        result = _result(hunt, learner, checks)
    except CheckFailed as failed:
        where = learner.where(failed.failure.line)
        message = failed.failure.message
        result = KataResult(hunt.stem, hunt.title, learner.where(0), "broken", 0, 0, message=message, where=where)
    finally:
        learner.close()
    return Report(seed, ("process", *learner.fences), 0.0, (result,))


def _result(hunt: Hunt, learner: Learner, checks: Sequence[CheckResult]) -> KataResult:
    counted = [check for check in checks if check.name != SOUND]
    passed = sum(check.outcome == "passed" for check in counted)
    outcome = "passed" if all(check.outcome == "passed" for check in checks) else "failed"
    return KataResult(hunt.stem, hunt.title, learner.where(0), outcome, passed, len(counted), checks=tuple(checks))  # type: ignore[arg-type]


class Known:
    """What is known of a hunt: its checks, and how the program answers with any set of its bugs."""

    def __init__(self, hunt: Hunt, seed: int) -> None:
        self._hunt = hunt
        self._seed = seed
        self.checks = _module(hunt)
        self._host = DebugHost()  # what it runs is this repository's own
        self._answers: dict[tuple[str, tuple[str, ...]], list[Tensor]] = {}

    def __enter__(self) -> Known:
        return self

    def __exit__(self, *_: object) -> None:
        self._host.close()

    # ------------------------------------------------------------------------------------------- the hunt

    def hunted(self, learner: Learner, keys: Sequence[str]) -> Iterator[CheckResult]:
        """Whether each bug was found, and whether all else is as it was, or right."""
        known, whole = plants(self._hunt), self.checks.WHOLE
        got = {name: self._asked(learner, name) for name in self.checks.PROBES}
        for name in (name for name, answer in got.items() if isinstance(answer, Failure) and answer.kind == ODD):
            self.answer(name, ())  # the hunt is broken where the right program cannot be examined either
        sets = {name: self._matching(name, answer, keys) for name, answer in got.items() if name != whole}
        for key in keys:
            found = any(key not in each for each in sets[known[key].probe])
            yield CheckResult(key, known[key].sentence, "passed" if found else "failed")
        # what the parts say is still in there is all that the whole may show; none where a part answers like nothing
        left = [tuple(sorted(frozenset().union(*each))) for each in product(*sets.values())]
        answer = got[whole]
        sound = not isinstance(answer, Failure) and any(_alike(answer, self.answer(whole, each)) for each in left)
        failure = next((each for each in got.values() if isinstance(each, Failure)), None)
        yield CheckResult(SOUND, SOUND, "passed" if sound else "failed", **_said(failure, learner))

    def _asked(self, learner: Learner, name: str) -> list[Tensor] | Failure:
        """What the file answers to a probe, or why it gives no answer."""
        answer, failure = self._asked_for(learner, lambda: self.checks.PROBES[name](learner, self._draw(name)))
        return failure or answer or []

    def _asked_for(self, learner: Learner, ask: Callable[[], Any]) -> tuple[Any, Failure | None]:
        learner.begin_check()
        try:
            answer = ask()
            learner.settle()
        except CheckFailed as failed:
            learner.drop()
            return None, failed.failure
        except EngineFault:
            raise
        except Exception as error:  # what comes has another form than anybody foresaw
            learner.drop()
            return None, Failure(f"the answer cannot be examined ({type(error).__name__}: {error})"[:300], kind=ODD)
        return answer, None

    def _matching(self, name: str, got: list[Tensor] | Failure, keys: Sequence[str]) -> list[frozenset[str]]:
        """The sets of bugs with which the program answers that probe as the file does."""
        if isinstance(got, Failure):
            return []
        seen = [key for key in keys if plants(self._hunt)[key].probe == name]
        sets = (each for count in range(len(seen) + 1) for each in combinations(seen, count))
        return [frozenset(each) for each in sets if _alike(got, self.answer(name, each))]

    def answer(self, name: str, keys: tuple[str, ...]) -> list[Tensor]:
        """What the program with those bugs answers to a probe."""
        if (name, keys) not in self._answers:
            with self.program(planted(self._hunt, keys)) as program:
                found = self._asked(program, name)
            if isinstance(found, Failure):
                raise KataFault(
                    self._hunt.tests, f"{name}, with {', '.join(keys) or 'nothing planted'}: {found.message}"
                )
            self._answers[name, keys] = found
        return self._answers[name, keys]

    @contextmanager
    def program(self, text: str) -> Iterator[Learner]:
        """A program of this repository's own, to be asked as a learner's file is."""
        with tempfile.TemporaryDirectory(prefix="kata-") as folder:
            file = Path(folder) / self._hunt.file
            file.write_text(text, encoding="utf-8")
            learner = Learner(self._hunt, file, self._host, LIMITS, self._seed)
            yield learner
            learner.close()

    def _draw(self, name: str) -> Drawer:
        return Drawer(self._seed, name)

    # ------------------------------------------------------------------------------------- the second part

    def second(self, learner: Learner) -> Iterator[CheckResult]:
        """The checks of the second part, in their order: the answer of the reference is what is wanted."""
        with self.program(self._hunt.reference) as reference:
            for check in self.checks.SECOND:
                failure = self._failure(check, learner, reference)
                if failure and failure.kind == ODD and (fault := self._failure(check, reference, reference)):
                    raise KataFault(self._hunt.tests, f"{check.__name__}: {fault.message}")
                title = (check.__doc__ or check.__name__).strip().splitlines()[0]
                said = _said(failure, learner)
                yield CheckResult(check.__name__, title, "failed" if failure else "passed", **said)

    def _failure(self, check: Callable[..., None], learner: Learner, reference: Learner) -> Failure | None:
        return self._asked_for(learner, lambda: check(learner, reference, self._draw(check.__name__)))[1]


def _said(failure: Failure | None, learner: Learner) -> dict[str, Any]:
    """Of a check: what was asked for, and what came."""
    if not failure:
        return {}
    where = learner.where(failure.line)
    said = {"message": failure.message, "wanted": failure.wanted, "got": failure.got, "call": failure.call}
    return {**said, "where": where, "kind": failure.kind}


def _alike(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    try:
        for one, other in zip(got, wanted, strict=True):
            close(one, other)
    except (CheckFailed, ValueError):
        return False
    return True


def _module(hunt: Hunt) -> ModuleType:
    try:
        return importlib.import_module(f"katas.{hunt.stem}.checks")
    except Exception as error:
        raise KataFault(hunt.tests, f"{type(error).__name__}: {error}") from error
