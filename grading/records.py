"""What passes between the parts of the engine, and what it reports: plain frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SCHEMA = 2
CELL = "cell"  # the file of a result, where a notebook's cell was graded

# kinds of failures without numbers
NEVER_RAN = ("raised", "unwritten", "forbidden", "stopped", "died", "misfit", "odd")

Outcome = Literal["passed", "failed", "not started", "broken"]

# A small part of a tensor, row by row. What is no finite number stands there as "nan", "inf" or "-inf": JSON has no
# such numbers, and strict parsers refuse Python's own spelling of them. `float` reads every cell.
Map = tuple[tuple[float | str, ...], ...]


@dataclass(frozen=True)
class Failure:
    """Why a check failed, in words that are always true.

    Attributes:
        message: one sentence.
        wanted, got: what the contract says and what came; may have several lines (masks are drawn).
        call: what was called, with the shapes of its tensors.
        line: line of the learner's file, 0 where none is known.
        wanted_map, got_map: the 12 x 12 numbers around the worst difference, the same ones of both; empty where
            no two tensors of one shape were compared.
        map_at: which those are, as an index: "[1, 0:5, 0:12]".
        kind: "differs", "raised", "unwritten" (the stub's NotImplementedError), "forbidden", "stopped" (time),
            "died" (process), "load" (the file does not load), "misfit" (another signature or form than asked for),
            "skipped" (not run: the candidate was stopped).
    """

    message: str
    wanted: str = ""
    got: str = ""
    call: str = ""
    line: int = 0
    kind: str = "differs"
    wanted_map: Map = ()
    got_map: Map = ()
    map_at: str = ""


class CheckFailed(AssertionError):
    """A check found the learner's code wrong.

    Args:
        left: where a call that works in place raised, the arguments as it left them.
    """

    def __init__(self, failure: Failure, left: Sequence[Any] = ()) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.left = left


class EngineFault(Exception):
    """The engine itself failed: never the learner's fault, and never a verdict."""


@dataclass(frozen=True)
class Event:
    """A request to the learner's code as it was sent, and the reply; None where the candidate was lost over it."""

    request: bytes
    reply: dict[str, Any] | None


@dataclass(frozen=True)
class CheckResult:
    """One check. `name` is the test's, `title` the rule in a learner's words, `where` file:line; maps: see Failure."""

    name: str
    title: str
    outcome: Literal["passed", "failed"]
    call: str = ""
    wanted: str = ""
    got: str = ""
    where: str = ""
    message: str = ""
    printed: str = ""
    kind: str = ""
    wanted_map: Map = ()
    got_map: Map = ()
    map_at: str = ""


@dataclass(frozen=True)
class Cause:
    """A mistake that was proven, and the notebook section that explains it.

    Causes with the same `alternative` hold together; where there are several, each explains as much. `explains` are the
    names of the failed checks that would not fail as they do without it, or not go on as they do behind layers that are
    made wrong.
    """

    name: str
    sentence: str
    notebook: str
    alternative: int = 0
    explains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Star:
    """What a kata that passed costs: it decides nothing.

    Attributes:
        given: whether it costs no more than it has to.
        peak: the most memory held at a time, in the unit of the kata's star.
        text: what there is to say about it, in the kata's own words.
        template: the same in English, before its figures were put in: translations have it as their key.
        figures: what is put in, by name.
    """

    given: bool
    peak: float
    text: str = ""
    template: str = ""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class KataResult:
    """One kata: how many of the expected checks passed, and why not all. `message` says why it is broken.

    `left_out` checks were not asked for: where it is not 0, the outcome is that of a part of the kata.
    `fault` is the traceback of what the engine, or a file of the kata's own, failed at. A kata that is broken by it has
    no verdict; one that is not has its verdict, and lacks its causes.
    """

    kata: str
    title: str
    file: str
    outcome: Outcome
    passed: int
    expected: int
    causes: tuple[Cause, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    message: str = ""
    where: str = ""
    printed: str = ""
    star: Star | None = None
    left_out: int = 0
    fault: str = ""

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that failed, in the grader's order."""
        return tuple(check for check in self.checks if check.outcome == "failed")

    @property
    def first_failure(self) -> CheckResult | None:
        """The failed check that is shown: the first that the main cause explains, so that the two belong together.

        Without causes it is the first, and so it is where that one raised, or never ran. What is not written yet is
        shown only where all that is written passes.
        """
        failed = self.wrong or self.failures
        if not failed or not self.causes or (failed[0].kind in NEVER_RAN and not self.explaining(failed[0])):
            return failed[0] if failed else None
        return next((check for check in failed if check.name in self.causes[0].explains), failed[0])

    @property
    def wrong(self) -> tuple[CheckResult, ...]:
        """The failed checks of what is written, as far as they ran."""
        return tuple(check for check in self.failures if check.kind not in ("unwritten", "skipped"))

    @property
    def unwritten(self) -> tuple[CheckResult, ...]:
        """The checks that come to a body which is still the stub's."""
        return tuple(check for check in self.checks if check.kind == "unwritten")

    def explaining(self, check: CheckResult) -> tuple[Cause, ...]:
        """The causes that explain a failed check."""
        return tuple(cause for cause in self.causes if check.name in cause.explains)

    @property
    def unexplained(self) -> tuple[CheckResult, ...]:
        """The failed checks of what is written that no cause explains."""
        return tuple(check for check in self.wrong if not self.explaining(check))


@dataclass(frozen=True)
class Report:
    """A grade. Every screen, file and summary is a function of it, and `--json` prints it.

    `only` is what the name or title of a check had to have in it to be run; with it, the report is no verdict.
    """

    seed: int
    fences: tuple[str, ...]
    seconds: float
    katas: tuple[KataResult, ...] = field(default=())
    only: str = ""
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        """As in the README's description of --json: schema first."""
        data = asdict(self)
        return {"schema": data.pop("schema"), **data}
