"""Functions that work in place on the tensors that they are handed: what becomes of these is asked, and explained."""

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

SOLUTION = '''"""Rows are filled."""

from torch import Tensor


def fill(rows: Tensor, x: Tensor, start: int) -> None:
    """Put x (L, E) into rows (N, E) from start on."""
    rows[start : start + x.size(0)] = x
'''


class Filling(Kata):
    """A kata whose solution is the text above."""

    @property
    def reference(self):
        return SOLUTION


KATA = Filling("filling", "Filling", 5, {"fill": ("write",)})
WRITES = "    rows[start : start + x.size(0)] = x\n"


@pytest.fixture
def learner(request, tmp_path):
    """learner(new): the reference with other lines in the place of its body, as a learner's file."""
    found = []

    def made(new=WRITES):
        path = tmp_path / "filling.py"
        path.write_text(SOLUTION.replace(WRITES, new))
        found.append(Learner(KATA, path, request.config.stash[KEY].host, Limits()))
        return found[-1]

    yield made
    for each in found:
        each.close()


class Fill(Program):
    """The right one."""

    def __call__(self, rows, x, start):
        self.rows, self.x, self.start = rows, x, start
        self.write()

    def write(self):
        self.rows[self.start : self.start + len(self.x)] = self.x


class AtTheBeginning(Mistake, Fill):
    """the rows are written at the beginning"""

    see = "x#y"

    def write(self):
        self.rows[: len(self.x)] = self.x


class Added(Mistake, Fill):
    """the rows are added to what is there"""

    see = "x#y"

    def write(self):
        self.rows[self.start : self.start + len(self.x)] += self.x


class Copied(Mistake, Fill):
    """the rows are written elsewhere"""

    see = "x#y"

    def write(self):
        """Nothing is to be seen of it."""


CHANGES = {
    AtTheBeginning: "    rows[: x.size(0)] = x\n    return rows\n",
    Added: "    rows[start : start + x.size(0)] += x\n    return object()\n",
    Copied: "    rows = rows.clone()\n    rows[start : start + x.size(0)] = x\n",
}
X = torch.tensor([[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]]).double()


def rows():
    return torch.arange(15.0).double().view(5, 3).masked_fill(torch.arange(5)[:, None] > 3, torch.nan)


@pytest.mark.parametrize("returned", ["", "    return rows\n", "    return 3, 'words'\n"], ids=repr)
def test_the_effect_is_asked_and_not_what_is_returned(learner, returned):
    learner, wanted = learner(WRITES + returned), rows()
    wanted[1:3] = X
    for answer in (learner.fill.effect(rows(), X, 1), learner.fill.effect(rows=rows(), x=X, start=1)):
        left = answer.wait()
        close(left[0].nan_to_num(9.0), wanted.nan_to_num(9.0))
        close(left[1], X)
        assert left[2] == 1


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_programs_replay_an_effect(learner, change):
    learner = learner(CHANGES[change])
    events = learner.begin_check()
    learner.fill.effect(rows(), X, 1)
    learner.fill.effect(rows=rows(), x=X, start=2)
    learner.settle()
    check = Check("test_it", events, KATA.signatures)
    check.compare_with(Fill)
    assert check.telling
    assert not check.blank
    assert not check.explained_by(Fill)
    for _ in range(2):  # a program changes copies, and not what the next one gets
        assert [each for each in CHANGES if check.explained_by(mixed(Fill, (each,)))] == [change]


def test_a_right_effect_tells_nothing(learner):
    learner = learner()
    events = learner.begin_check()
    learner.fill.effect(rows(), X, 1)
    learner.settle()
    check = Check("test_it", events, KATA.signatures)
    check.compare_with(Fill)
    assert check.explained_by(Fill)
    assert not check.telling
    assert check.refutes(mixed(Fill, (AtTheBeginning,)))


@pytest.mark.parametrize("other", ["rows.set_(filled)", "rows.data = filled"])
def test_other_memory_in_an_argument_is_no_effect(learner, other):
    body = f"    filled = rows.clone()\n    filled[start : start + x.size(0)] = x\n    {other}\n"
    left = learner(body).fill.effect(rows(), X, 1).wait()
    close(left[0].nan_to_num(9.0), rows().nan_to_num(9.0))
