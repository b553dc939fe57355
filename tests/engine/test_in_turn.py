"""Calls of which each gets what the one before returned: one request, explained as if they were several."""

import pytest
import torch

from grading.candidate.learner import Learner
from grading.candidate.limits import Limits
from grading.catalog import Kata
from grading.diagnosis.mistake import Mistake, mixed
from grading.diagnosis.program import Program
from grading.diagnosis.replay import Check
from grading.examination.checks import close
from grading.examination.plugin import KEY
from grading.records import CheckFailed

SOLUTION = '''"""Sums are carried on."""

from torch import Tensor


def add(total: Tensor | None, x: Tensor) -> Tensor:
    """The total (L) with x (L); no total yet is zero."""
    return x if total is None else total + x
'''


class Adding(Kata):
    """A kata whose solution is the text above."""

    @property
    def reference(self):
        return SOLUTION


KATA = Adding("adding", "Adding", 5, {"add": ("carry",)})
BODY = "    return x if total is None else total + x\n"
PARTS = [torch.tensor([1.0, 2.5, 4.0, 7.0, 11.0, 16.5]).double() * i for i in (1, 2, 3)]


@pytest.fixture
def learner(request, tmp_path):
    """learner(body): the reference with other lines in the place of its body, as a learner's file."""
    found = []

    def made(body=BODY):
        path = tmp_path / "adding.py"
        path.write_text(SOLUTION.replace(BODY, body))
        found.append(Learner(KATA, path, request.config.stash[KEY].host, Limits()))
        return found[-1]

    yield made
    for each in found:
        each.close()


class Add(Program):
    """The right one."""

    def __call__(self, total, x):
        self.total, self.x = total, x
        self.carry()
        return self.total

    def carry(self):
        self.total = self.x if self.total is None else self.total + self.x


class Forgotten(Mistake, Add):
    """what came before is forgotten"""

    see = "x#y"

    def carry(self):
        self.total = self.x


class Subtracted(Mistake, Add):
    """what comes later is subtracted"""

    see = "x#y"

    def carry(self):
        self.total = self.x if self.total is None else self.total - self.x


def in_turn(learner):
    return learner.add.in_turn(None, *((part,) for part in PARTS))


def test_each_call_gets_what_the_one_before_returned(learner):
    for got, wanted in zip(in_turn(learner()).wait(), (1, 3, 6), strict=True):
        close(got, PARTS[0] * wanted)


def test_what_is_changed_later_is_told_as_it_was(learner):
    body = "    return x if total is None else total.add_(x)\n"
    for got, wanted in zip(in_turn(learner(body)).wait(), (1, 3, 6), strict=True):
        close(got, PARTS[0] * wanted)


def test_what_came_before_an_error_is_there(learner):
    body = BODY.replace("total + x", "total + x if total[0] < 2 else total[9]")
    found = iter(in_turn(learner(body)).wait())
    close(next(found), PARTS[0])
    close(next(found), PARTS[0] * 3)
    with pytest.raises(CheckFailed, match="IndexError") as raised:
        next(found)
    assert raised.value.failure.line == 8


def test_an_error_in_the_first_call_is_an_error_of_the_whole(learner):
    with pytest.raises(CheckFailed, match="ZeroDivisionError"):
        in_turn(learner("    return x * (1 / 0)\n")).wait()


@pytest.mark.parametrize("broken", [False, True], ids=["in numbers", "and later in an error"])
def test_a_mistake_explains_the_calls_that_were_looked_at(learner, broken):
    body = BODY.replace("total + x", "total - x")
    learner = learner(body.replace("total - x", "total - x if total[0] > 0 else total[9]") if broken else body)
    events = learner.begin_check()
    first, second, *_ = in_turn(learner).wait() if not broken else _first_two(in_turn(learner).wait())
    assert torch.equal(first, PARTS[0])
    assert not torch.equal(second, PARTS[0] * 3)
    check = Check("test_it", events, KATA.signatures)
    check.compare_with(Add)
    assert [each for each in (Forgotten, Subtracted) if check.explained_by(mixed(Add, (each,)))] == [Subtracted]


def _first_two(found):
    found = iter(found)
    return next(found), next(found)
