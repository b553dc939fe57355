"""Questions to a learner's file and their answers: one candidate after another, and what is on its way to it.

A test asks on while the candidate works on what it asked before, and the next test may begin while the answers to the
last one are still to come. Answers come in the order of the questions.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from grading.candidate import wire
from grading.candidate.hosts import Host
from grading.candidate.limits import Limits
from grading.candidate.pending import Pending
from grading.candidate.source import Unreadable, read
from grading.candidate.transport import Candidate, Died, Stopped
from grading.candidate.wording import failure_of
from grading.catalog import Kata
from grading.records import CheckFailed, Event, Failure

MAX_LOSSES = 2
BYTES_AHEAD = 1 << 16  # of requests that have no reply yet: the channel takes them in without anybody reading


@dataclass(frozen=True)
class _Question:
    """A request that has no reply yet. `call` says how a failure shows it: a function, for most are never shown."""

    number: int
    frame: bytes
    call: Callable[[], str]
    symbol: str
    answer: Pending
    transcript: list[Event]  # of the check that asks it


class Connection:
    """The way to a learner's file, whichever candidate has it. Whatever goes wrong there is a CheckFailed here."""

    def __init__(self, kata: Kata, path: Path, host: Host, limits: Limits, seed: int = 0) -> None:
        self.kata = kata
        self.path = path
        self.fences: tuple[str, ...] = ()
        self.gone: Failure | None = None  # why there is no candidate any more, and will be none
        self._host = host
        self._limits = limits
        # of what the learner's code draws, dropout above all: it follows from the run's seed, and does not tell it
        self._seed = int.from_bytes(sha256(str(seed).encode()).digest()[:4])
        self.seeds = itertools.count(self._seed + 1)  # for the layers in training
        self._candidate: Candidate | None = None
        self._losses = 0
        self._left = limits.kata_seconds
        self._lines: dict[str, int] = {}
        self._number = 0
        self._loading: _Question | None = None
        self.numbers = itertools.count(1)  # of what is made over there
        self.called: tuple[Callable[[], str], str] = (str, "")  # in words, and the symbol: what was asked for last
        self._first: list[dict[str, Any]] = []  # goes into the next request
        self._asked: deque[_Question] = deque()  # by the check that is running
        self._finished: deque[_Question] = deque()  # by the one before it, of which this is still to be told:
        self._on_result: Callable[[Exception | None], None] | None = None
        self._transcript: list[Event] = []  # of the check that is running
        self._latest: tuple[Callable[[], str], str] = (str, "")
        self._last_output = ""
        self._silent: bool | None = None  # whether the learner's code has printed nothing so far; None: not known yet

    # ------------------------------------------------------------------------------------ questions

    def begin_to_load(self) -> None:
        """Send the file to a candidate; CheckFailed of kind "load", "stopped" or "died" where it cannot be."""
        if self._candidate is not None:
            return
        try:
            source = read(self.path, self._limits.source_bytes)
        except Unreadable as error:
            raise CheckFailed(Failure(str(error), kind="load")) from None
        self._candidate = self._host.candidate()
        self.fences = self._candidate.fences
        asked = {
            "symbols": list(self.kata.symbols),
            "refuses": list(self.kata.refuses),
            "given": list(self.kata.given),
            "signatures": {name: list(each) for name, each in self.kata.signatures.items()},
        }
        request = {"do": "load", "source": source, "file": self.path.name, "seed": self._seed, **asked}
        self._loading = replace(self._question(request, lambda: "loading the file", ""), transcript=[])
        try:
            self._candidate.send(self._loading.frame, self._limits.load_seconds)
        except (Stopped, Died) as error:
            raise self._ended(error, self._loading) from None

    def load(self) -> None:
        """Have the file loaded; CheckFailed as above, or of kind "forbidden"."""
        self.begin_to_load()
        if self._loading:
            loading, self._loading = self._loading, None
            reply = self._reply(loading, self._limits.load_seconds)
            lines = reply.get("lines")
            self._lines = lines if isinstance(lines, dict) else {}

    def ask(self, request: dict[str, Any], call: Callable[[], str], symbol: str) -> Pending:
        """Send a request about a symbol; the answer is the candidate's reply."""
        self.called = call, symbol
        if self._first:
            request, self._first = {**request, "first": self._first}, []
        question = self._question(request, call, symbol)
        if sum(len(each.frame) for each in (*self._finished, *self._asked, question)) > BYTES_AHEAD:
            self.settle()  # after which there may be no candidate
        if self.gone:
            raise CheckFailed(self.gone)
        self.load()
        self._asked.append(question)
        try:
            self._send(question)
        except (Stopped, Died):
            if not self._settle_finished():  # what it died of may be the question of the check before,
                self.settle()  # and if not, this raises
        return question.answer

    def ask_first(self, request: dict[str, Any]) -> None:
        """Have the next request do that before anything else: it saves a round trip."""
        self._first.append(request)

    def settle(self) -> None:
        """Wait for all answers. The first that is wrong is raised, and what was asked after it is dropped."""
        self._settle_finished()
        self._settle(self._asked)

    def drop(self) -> None:
        """Wait for all answers, and forget those of the check that is running: it has failed."""
        self._first = []
        try:
            self._settle_finished()
        except CheckFailed:
            pass  # there is nobody to answer
        self._drop(self._asked)

    def finish(self, on_result: Callable[[Exception | None], None]) -> None:
        """The check that is running has asked all its questions.

        Args:
            on_result: is called with the first wrong answer, or None: while the next check runs; but not where
                the learner's code prints, so that at most the first words are ascribed to the check before.
        """
        self._settle_finished()
        self._finished, self._asked, self._on_result = self._asked, deque(), on_result
        if not self._silent:
            self._settle_finished()

    def begin_check(self) -> list[Event]:
        """The transcript of the check that begins now: it fills while the check runs."""
        self._transcript = []
        return self._transcript

    def printed(self) -> str:
        """What the learner's code printed since this was last asked."""
        output, self._last_output = self._last_output, ""
        output += self._candidate.printed() if self._candidate else ""
        self._silent = not output and self._silent is not False
        return output

    def _question(self, request: dict[str, Any], call: Callable[[], str], symbol: str) -> _Question:
        self._number += 1
        seconds = self._limits.load_seconds if request["do"] == "load" else self._seconds
        frame = wire.encode({**request, "id": self._number, "seconds": seconds}, request=True)
        return _Question(self._number, frame, call, symbol, Pending(self.settle), self._transcript)

    def close(self) -> None:
        self._loading = None
        self._asked.clear()
        self._finished.clear()
        if self._candidate:
            self._candidate.close()
            self._candidate = None

    # -------------------------------------------------------------------------------------- answers

    def _settle_finished(self) -> bool:
        """Wait for the answers of the check before; whether what was asked since had to be asked of a new candidate."""
        if self._on_result is None:
            return False
        on_result, self._on_result = self._on_result, None
        asked, self._asked, wrong = self._asked, deque(), None
        try:
            self._settle(self._finished)
        except Exception as error:
            wrong = error
        on_result(wrong)
        self._asked = asked
        if self._candidate is not None or not asked:
            return False
        self._ask_again()
        return True

    def _ask_again(self) -> None:
        if self.gone:
            self._asked.clear()
            raise CheckFailed(self.gone)
        self.load()
        for question in self._asked:
            self._send(question)

    def _send(self, question: _Question) -> None:
        assert self._candidate is not None
        self._candidate.send(question.frame, self._seconds)

    def _settle(self, questions: deque[_Question]) -> None:
        while questions:
            question = questions.popleft()
            self._latest = question.call, question.symbol
            try:
                question.answer.arrive(self._reply(question, self._seconds))
            except Exception:
                self._drop(questions)
                raise

    def _drop(self, questions: deque[_Question]) -> None:
        while questions:
            try:
                self._reply(questions.popleft(), self._seconds)
            except CheckFailed:
                pass

    @property
    def _seconds(self) -> float:
        """How long the next reply may take."""
        return max(min(self._limits.call_seconds, self._left), 0.1)

    def _reply(self, question: _Question, seconds: float) -> dict[str, Any]:
        """The next reply; CheckFailed where it is none, or an error."""
        assert self._candidate is not None
        began = time.monotonic()
        try:
            reply = self._candidate.receive(seconds)
        except (Stopped, Died) as error:
            question.transcript.append(Event(question.frame, None))
            raise self._ended(error, question) from None
        finally:
            self._left -= time.monotonic() - began
        sound = isinstance(reply.get("reached", []), list)
        sound = sound and all(isinstance(reply.get(name, {}), dict) for name in ("error", "broke"))
        if not sound or reply.get("id") != question.number:
            raise self._lost(Failure("the candidate sent something that is no answer", call=self.call, kind="stopped"))
        question.transcript.append(Event(question.frame, reply))
        if reply.get("reached"):
            raise self._refused(reply)
        if "error" in reply:
            failure = failure_of(reply["error"], self.call)
            if failure.kind == "stopped":
                raise self._lost(replace(failure, message=f"stopped after {seconds:g} s, {failure.message}"))
            raise CheckFailed(failure, arguments_after(reply) if "echo" in reply else ())
        return reply

    # --------------------------------------------------------------------------------------- losses

    def _ended(self, error: Stopped | Died, question: _Question) -> CheckFailed:
        if isinstance(error, Died) or not question.symbol:  # while the file is loaded no call says what it was about
            kind = "stopped" if isinstance(error, Stopped) else "died"
            return self._lost(Failure(f"{error}: {question.call()}", call=self.call, line=self.line, kind=kind))
        return self._lost(Failure(str(error), call=self.call, line=self.line, kind="stopped"))

    def _lost(self, failure: Failure) -> CheckFailed:
        """The candidate is of no more use. Another follows it, unless time is up or it happened too often."""
        self._losses += 1
        if failure.kind == "stopped" or self._losses > MAX_LOSSES:
            self.gone = Failure(f"not run: {failure.message}", kind="skipped")
        if self._candidate:
            self._last_output = self._candidate.printed()
        self.close()
        return CheckFailed(failure)

    def _refused(self, reply: dict[str, Any]) -> CheckFailed:
        """A forbidden function was reached, whether or not the learner's code caught the error."""
        name = str(reply["reached"][0])[:200]
        error = reply.get("error") or {}
        if error.get("kind") == "forbidden":
            return self._lost(failure_of(error, self.call))
        message = f"{name} was called: it does what is to be written here"
        return self._lost(Failure(message, call=self.call, line=self.line, kind="forbidden"))

    @property
    def call(self) -> str:
        """What was called last, as a failure shows it."""
        return self._latest[0]()

    @property
    def line(self) -> int:
        """Where the function or forward method that was called last begins, 0 where that is not known."""
        line = self._lines.get(self._latest[1])
        return line if isinstance(line, int) else 0


def arguments_after(reply: Mapping[str, Any]) -> list[Any]:
    """The arguments of a call as it left them, from a reply that echoes them."""
    positional, named = reply["echo"]
    return [*positional, *named.values()]
