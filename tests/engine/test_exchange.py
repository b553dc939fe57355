"""Answers that are on their way: each ends up with the check that asked, whatever becomes of the candidate."""

from collections import deque

import pytest
import torch

from grading.candidate import wire
from grading.candidate.connection import BYTES_AHEAD, Connection
from grading.candidate.limits import Limits
from grading.candidate.pending import Pending, on_arrival
from grading.candidate.transport import Died, Stopped
from grading.catalog import ROOT, Catalog
from grading.records import CheckFailed, Failure
from tests.engine.katas import ATTENTION


class Scripted:
    """A candidate that answers each question with its own text in capitals, and does what the text says."""

    fences = ()

    def __init__(self):
        self.asked = []
        self.replies = deque()
        self.words = ""
        self.dead = False
        self.waiting = 0  # bytes that nobody has read

    def send(self, frame, seconds):
        if self.dead:
            raise Died("the process was killed")
        self.waiting += len(frame)
        assert self.waiting <= BYTES_AHEAD + len(frame), "the channel is full"
        request = wire.decode(frame, request=True)
        text = request.get("text", "load")
        self.asked.append(text)
        reply = {"id": request["id"], "value": text.upper()}
        if text.startswith("print"):
            self.words += text
        if text == "raise":
            reply = {"id": request["id"], "error": {"kind": "raised", "type": "ValueError", "message": "no"}}
        if text == "wrong number":
            reply["id"] += 1
        self.dead = text in ("die", "unseen death")
        self.replies.append(text if text in ("die", "hang", "unseen death") else reply)

    def receive(self, seconds):
        self.waiting = 0
        if not self.replies:
            raise Died("the process was killed")
        reply = self.replies.popleft()
        if reply == "hang":
            raise Stopped("stopped after 1 s")
        if isinstance(reply, str):
            raise Died("the process died of SIGSEGV")
        return reply

    def printed(self):
        words, self.words = self.words, ""
        return words

    def close(self):
        pass


class Candidates:
    """A host that remembers whom it sent."""

    def __init__(self):
        self.sent = []

    def candidate(self):
        self.sent.append(Scripted())
        return self.sent[-1]


@pytest.fixture
def host():
    return Candidates()


@pytest.fixture
def connection(host):
    found = Connection(Catalog()[ATTENTION], ROOT / "solutions" / f"{ATTENTION}.py", host, Limits())
    found.load()
    found.printed()  # nothing, as in a first check that is over: from here on it may run ahead
    return found


def ask(connection, text, got=None):
    answer = connection.ask({"do": "call", "text": text}, lambda: f"call of {text}", "")
    if got is not None:
        answer.then(lambda reply: got.append(reply["value"]))
    return answer


def verdicts():
    """A list, and what makes an entry of a check's name: its failure's message, or "passed"."""
    told = []
    return told, lambda name: lambda error: told.append((name, str(error) if error else "passed"))


def test_answers_come_in_the_order_of_the_questions(connection, host):
    got = []
    for text in ("a", "b", "c"):
        ask(connection, text, got)
    assert not got
    assert host.sent[0].asked == ["load", "a", "b", "c"]
    connection.settle()
    assert got == ["A", "B", "C"]


def test_waiting_for_one_answer_settles_those_before_it(connection):
    got = []
    ask(connection, "a", got)
    assert ask(connection, "b").wait()["value"] == "B"
    assert got == ["A"]


def test_a_check_is_told_while_the_next_one_runs(connection):
    told, tell = verdicts()
    ask(connection, "a")
    connection.finish(tell("first"))
    assert not told
    ask(connection, "b").wait()
    assert told == [("first", "passed")]
    connection.finish(tell("second"))
    connection.settle()
    assert told == [("first", "passed"), ("second", "passed")]


def test_a_wrong_answer_is_the_fault_of_the_check_that_asked(connection):
    told, tell = verdicts()
    ask(connection, "raise")
    ask(connection, "dropped", dropped := [])
    connection.finish(tell("first"))
    ask(connection, "b", got := [])
    connection.finish(tell("second"))
    connection.settle()
    assert told == [("first", "ValueError: no"), ("second", "passed")]
    assert (dropped, got) == ([], ["B"])


def test_after_a_failure_the_next_answer_is_the_next_questions(connection):
    with pytest.raises(CheckFailed):
        ask(connection, "raise").wait()
    ask(connection, "a")
    connection.drop()
    assert ask(connection, "b").wait()["value"] == "B"


def test_what_a_lost_candidate_was_asked_by_the_next_check_is_asked_of_another(connection, host):
    told, tell = verdicts()
    ask(connection, "die")
    connection.finish(tell("first"))
    # it is dead, which sending shows or only receiving
    ask(connection, "b", got := [])
    ask(connection, "c", got)
    connection.finish(tell("second"))
    connection.settle()
    assert told == [("first", "the process died of SIGSEGV: call of die"), ("second", "passed")]
    assert got == ["B", "C"]
    assert host.sent[1].asked == ["load", "b", "c"]


def test_a_candidate_that_dies_of_a_check_is_the_fault_of_that_check(connection):
    told, tell = verdicts()
    ask(connection, "a")
    connection.finish(tell("first"))
    ask(connection, "die")
    with pytest.raises(CheckFailed, match="the process died of SIGSEGV: call of die"):
        ask(connection, "after")
    connection.drop()
    assert told == [("first", "passed")]
    assert ask(connection, "b").wait()["value"] == "B"


def test_after_a_stop_nothing_more_is_asked(connection, host):
    told, tell = verdicts()
    ask(connection, "hang")
    connection.finish(tell("first"))
    ask(connection, "b", got := [])
    with pytest.raises(CheckFailed, match="not run: stopped after 1 s: call of hang"):
        connection.finish(tell("second"))
    connection.drop()
    with pytest.raises(CheckFailed, match="not run"):
        ask(connection, "c")
    assert told == [("first", "stopped after 1 s: call of hang")]
    assert not got
    assert len(host.sent) == 1


def test_a_reply_to_another_question_is_none(connection):
    ask(connection, "wrong number")
    with pytest.raises(CheckFailed, match="the candidate sent something that is no answer"):
        connection.settle()


def test_words_stay_with_the_check_that_caused_them(connection):
    said = {}

    def tell(name):
        return lambda error: said.update({name: connection.printed()})

    for name in ("quiet", "print 1", "print 2", "print 3"):
        ask(connection, name)
        connection.finish(tell(name))
    connection.settle()
    # the first words come while the check before is waited for; from then on none runs ahead
    assert said == {"quiet": "print 1", "print 1": "", "print 2": "print 2", "print 3": "print 3"}


def test_no_more_is_sent_than_the_channel_takes(connection):
    for _ in range(40):
        ask(connection, "x" * 5000)
    ask(connection, "y" * 15_000)
    connection.settle()


def test_a_large_question_after_a_loss_goes_to_another_candidate(connection, host):
    told, tell = verdicts()
    ask(connection, "die")
    connection.finish(tell("first"))
    tensor = torch.zeros(BYTES_AHEAD)  # it is not sent ahead: what was asked before is settled first
    asked = connection.ask({"do": "call", "text": "large", "tensor": tensor}, lambda: "large", "")
    assert asked.wait()["value"] == "LARGE"
    assert told == [("first", "the process died of SIGSEGV: call of die")]
    assert host.sent[1].asked == ["load", "large"]


def test_weights_of_a_failed_check_do_not_go_into_the_next_request(connection):
    connection._first.append({"layer": 1})
    connection.drop()
    assert ask(connection, "a").wait()["value"] == "A"
    assert not connection._first


def test_a_check_takes_an_answer_or_a_value():
    seen = []
    check = on_arrival(lambda got, *rest, **options: seen.append((got, rest, options)))
    check(1, 2, what=3)
    answer = Pending(lambda: None)
    check(answer, 5)
    assert seen == [(1, (2,), {"what": 3})]
    answer.arrive(4)
    assert seen[1:] == [(4, (5,), {})]
    check(answer, 6)
    assert seen[2:] == [(4, (6,), {})]


def test_part_of_an_answer_is_an_answer():
    answer = Pending(lambda: answer.arrive([1, 2]))
    assert answer.reading(lambda value: value[1]).wait() == 2


def test_what_is_wrong_with_a_value_is_raised_when_it_comes():
    def wrong(value):
        raise CheckFailed(Failure(f"{value} is wrong"))

    answer = Pending(lambda: None)
    on_arrival(wrong)(answer)
    with pytest.raises(CheckFailed, match="4 is wrong"):
        answer.arrive(4)
