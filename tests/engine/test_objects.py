"""Classes that a stub gives: their objects are made over there, taken by calls by reference, and looked at.

A kata of its own, of a buffer that a layer writes into; a learner may treat the buffer in any way.
"""

from types import SimpleNamespace

import pytest
import torch

from grading.candidate import wire
from grading.candidate.learner import Learner
from grading.candidate.limits import Limits
from grading.candidate.objects import Objects
from grading.candidate.wire import Opaque, Reference, WireError
from grading.catalog import Kata
from grading.diagnosis.mistake import Mistake, mixed
from grading.diagnosis.program import Program
from grading.diagnosis.raised import Refused, caught
from grading.diagnosis.replay import Check
from grading.examination.checks import close, kept
from grading.examination.plugin import KEY
from grading.records import CheckFailed
from grading.stubs import stub

SOLUTION = '''"""A buffer that is filled."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Buffer:
    """Rows of numbers, of which the first `length` are written."""

    rows: Tensor  # (N, E)
    length: int


class Writer(nn.Module):
    """It writes."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor, buffer: Buffer) -> Tensor:
        """x (L, E) -> (L, E)"""
        end = buffer.length + x.size(0)
        buffer.rows[buffer.length : end] = x
        buffer.length = end
        return _sums(buffer.rows[:end], x.size(0))


def _sums(rows: Tensor, length: int) -> Tensor:
    return rows.cumsum(0)[-length:]
'''


class Filling(Kata):
    """A kata whose solution is the text above."""

    @property
    def reference(self):
        return SOLUTION


KATA = Filling("filling", "Filling", 5, {"Writer.__init__": ("be",), "Writer.forward": ("write",)})


@pytest.fixture
def learner(request, tmp_path):
    """learner(old, new): the reference with that in its place, as a learner's file."""
    found = []

    def made(old="", new=""):
        assert old in SOLUTION
        path = tmp_path / "filling.py"
        path.write_text(SOLUTION.replace(old, new) if old else SOLUTION)
        found.append(Learner(KATA, path, request.config.stash[KEY].host, Limits()))
        return found[-1]

    yield made
    for each in found:
        each.close()


def buffer(learner, length=0):
    rows = torch.full((5, 2), torch.nan, dtype=torch.float64)
    rows[:length] = 1.0
    return learner.Buffer(rows, length)


def written(*rows):
    """A buffer's rows, and NaN below."""
    blank = torch.full((5 - len(rows), 2), torch.nan, dtype=torch.float64)
    return torch.cat([torch.tensor(rows, dtype=torch.float64).reshape(-1, 2), blank])


X = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double()


# ------------------------------------------------------------------------------------- catalog, stub, wire


def test_what_is_given_stands_complete_in_the_stub():
    assert KATA.given == ("Buffer",)
    assert KATA.symbols == ("Writer",)
    assert KATA.signatures["Buffer"] == ("rows", "length")
    text = stub(KATA)
    given = SOLUTION[SOLUTION.index("@dataclass") : SOLUTION.index("class Writer")].strip()
    assert text.count(given) == 1
    assert text.count("NotImplementedError") == 2
    assert "_sums" not in text


def test_references_cross_only_to_the_candidate():
    there = wire.decode(wire.encode([Reference(3), (1,)], request=True), request=True)
    assert (there[0].number, there[1]) == (3, (1,))
    assert isinstance(wire.decode(wire.encode(Reference(3))), Opaque)
    with pytest.raises(WireError):
        wire.decode(wire.encode(Reference(3), request=True))


@pytest.mark.parametrize("number", ['"1"', "1.5", "true", "[1]", "null"])
def test_a_reference_is_a_number(number):
    skeleton = f'{{"r":{number}}}'.encode()
    with pytest.raises(WireError):
        wire.decode(wire.HEAD.pack(wire.MAGIC, len(skeleton), 0) + skeleton, request=True)


# ------------------------------------------------------------------------------------------ over there


def test_calls_get_the_same_object_again(learner):
    learner = learner()
    layer, given = learner.Writer().set({}), buffer(learner)
    kept(given.look(), {"rows": written(), "length": 0}, "buffer")
    close(layer.ahead(X, given), X.cumsum(0))
    kept(given.look(), {"rows": written((1, 2), (3, 4)), "length": 2}, "buffer")
    close(layer.ahead(X[:1], buffer=given), torch.tensor([[5.0, 8.0]]).double())
    kept(given.look(), {"rows": written((1, 2), (3, 4), (1, 2)), "length": 3}, "buffer")
    learner.settle()


def test_two_objects_in_turns(learner):
    learner = learner()
    layer, one, other = learner.Writer().set({}), buffer(learner), buffer(learner, 1)
    values = layer.several((X[:1], one), (X, other), (X[:1], one)).wait()
    assert [value[-1].tolist() for value in values] == [[1, 2], [5, 7], [2, 4]]
    kept(one.look(), {"rows": written((1, 2), (1, 2)), "length": 2}, "buffer")
    kept(other.look(), {"rows": written((1, 1), (1, 2), (3, 4)), "length": 3}, "buffer")
    learner.settle()


def test_a_caller_may_start_afresh(learner):
    learner = learner()
    layer, given = learner.Writer().set({}), buffer(learner)
    layer.ahead(X, given)
    given.assign(length=1)
    close(layer.ahead(X[:1], given), torch.tensor([[2.0, 4.0]]).double())
    kept(given.look(), {"rows": written((1, 2), (1, 2)), "length": 2}, "buffer")
    learner.settle()


def test_what_is_expanded_to_be_small_on_the_way_has_memory_over_there(learner):
    learner = learner()
    layer, given = learner.Writer().set({}), learner.Buffer(torch.zeros(1, 1).double().expand(5, 2), 0)
    layer.ahead(X, given)
    wanted = torch.cat([X, torch.zeros(3, 2).double()])
    kept(given.look(), {"rows": wanted, "length": 2}, "buffer")
    learner.settle()


def test_what_an_object_holds_is_not_counted_as_allocated(learner):
    learner = learner()
    rows = torch.zeros(2000, 2).double()
    layer, given = learner.Writer(), learner.Buffer(rows, 0)
    assert 0 < layer.peak(X, given) < rows.numel() * 8
    # the call's words have the object as it was made
    assert learner.call == "Writer()(x (2, 2), buffer made as Buffer(rows (2000, 2), length=0))"


WRITES = "        buffer.rows[buffer.length : end] = x\n"
WRONG = {
    "another tensor": (
        WRITES,
        "        buffer.rows = torch.cat([buffer.rows[: buffer.length], x])\n",
        "buffer.rows is not the tensor that was handed in: write into that one, in place",
    ),
    "other data": (
        WRITES,
        "        buffer.rows.data = buffer.rows.clone()\n" + WRITES,
        "buffer.rows is not the tensor that was handed in: write into that one, in place",
    ),
    "a part of it": (
        WRITES,
        WRITES + "        buffer.rows = buffer.rows[:end]\n",
        "buffer.rows is not the tensor that was handed in: write into that one, in place",
    ),
    "a list": (
        "return _sums(buffer.rows[:end], x.size(0))",
        "rows = buffer.rows; buffer.rows = rows.tolist(); return _sums(rows[:end], x.size(0))",
        "buffer.rows is not the tensor that was handed in: write into that one, in place",
    ),
    "a field deleted": (WRITES, WRITES + "        del buffer.rows\n", "AttributeError"),
    "an attribute more": (WRITES, WRITES + "        buffer.seen = end\n", "buffer has attributes that its class"),
    "not counted": ("        buffer.length = end\n", "", "buffer.length has another value"),
    "counted as a tensor": (
        "        buffer.length = end\n",
        "        buffer.length = torch.tensor(end)\n",
        "buffer.length has another value",
    ),
    "not written": (
        WRITES,
        "        return x.cumsum(0) + buffer.rows.nan_to_num()[: x.size(0)] * 0\n",
        "buffer.rows has NaN or infinity inside",
    ),
    "written beyond": (
        WRITES,
        WRITES + "        buffer.rows[end:] = 0.0\n",
        "buffer.rows was written to where nothing belongs",
    ),
    "a tuple": (
        "return _sums(buffer.rows[:end], x.size(0))",
        "return _sums(buffer.rows[:end], x.size(0)), buffer",
        "the output came back as one of two: return the output alone",
    ),
    "other fields": (
        "    rows: Tensor  # (N, E)\n    length: int",
        "    data: Tensor\n    length: int",
        "Buffer takes (data, length), and has to take (rows, length)",
    ),
    "a field more": (
        "    length: int\n",
        "    length: int\n    full: bool\n",
        "Buffer takes (rows, length, full), and has to take (rows, length)",
    ),
    "frozen": ("@dataclass\n", "@dataclass(frozen=True)\n", "FrozenInstanceError: cannot assign to field 'length'"),
    "no dataclass": ("@dataclass\n", "", "Buffer takes (), and has to take (rows, length)"),
    "missing": ("Buffer", "Cache", "the file defines no Buffer, the class that the stub gives"),
}


def graded(learner):
    layer, given = learner.Writer().set({}), buffer(learner)
    close(layer.ahead(X, given), X.cumsum(0))
    kept(given.look(), {"rows": written((1, 2), (3, 4)), "length": 2}, "buffer")
    learner.settle()


def test_a_right_file_has_nothing_said_of_it(learner):
    graded(learner())


@pytest.mark.parametrize("name", WRONG)
def test_whatever_else_becomes_of_an_object_is_said_plainly(learner, name):
    *change, words = WRONG[name]
    learner = learner(*change)
    with pytest.raises(CheckFailed) as failed:
        graded(learner)
    assert words in failed.value.failure.message


def test_an_object_that_lost_a_field_is_looked_at(learner):
    learner = learner("return _sums(buffer.rows[:end], x.size(0))", "del buffer.rows; return x")
    given = buffer(learner)
    learner.Writer().set({})(X, given)
    state = given.look().wait()
    assert (state.fields["rows"], state.moved, state.added) == (Opaque("nothing"), ["rows"], [])


def test_methods_of_a_learners_own_are_welcome(learner):
    learner = learner("    length: int\n", "    length: int\n\n    def room(self):\n        return len(self.rows)\n")
    given = buffer(learner)
    learner.Writer().set({})(X, given)
    kept(given.look(), {"rows": written((1, 2), (3, 4)), "length": 2}, "buffer")
    learner.settle()


def test_memory_is_the_same_only_in_the_same_order():
    objects, rows = Objects(), torch.zeros(4, 4)
    for number, now in enumerate([rows, rows.view(4, 4), rows.T, rows[:3], rows.clone(), rows[1:].resize_(4, 4), 5]):
        objects.keep(number, SimpleNamespace(rows=now), {"rows": rows})
        assert bool(objects.look(number)["moved"]) is (number > 1)


class MadeUp:
    """Its rows are written when somebody asks for them."""

    def __init__(self, stored):
        self.stored = stored

    @property
    def rows(self):
        return self.stored.fill_(1.0)


class Slotted:
    __slots__ = ("rows",)

    def __init__(self, rows):
        self.rows = rows


def test_what_is_stored_is_looked_at_and_not_what_a_property_makes_up():
    objects, rows = Objects(), torch.zeros(4)
    for number, (made, moved) in enumerate([(MadeUp(rows), ["rows"]), (Slotted(rows), []), (object(), ["rows"])]):
        objects.keep(number, made, {"rows": rows})
        assert objects.look(number)["moved"] == moved
        assert not rows.any()


def test_a_caller_writes_into_the_memory_that_is_there():
    objects, rows = Objects(), torch.zeros(4)
    objects.keep(1, SimpleNamespace(rows=rows, length=2), {"rows": rows, "length": 2})
    objects.assign(1, {"rows": torch.ones(4), "length": 0})
    found = objects.look(1)
    assert (found["moved"], found["value"]["length"]) == ([], 0)
    assert rows.all()


# ------------------------------------------------------------------------------------------- diagnosis


class Writing(Program):
    """The reference in steps."""

    def __call__(self, x, buffer):
        self.x, self.buffer = x, buffer
        self.write()
        return buffer.rows[: buffer.length].cumsum(0)[-x.size(0) :]

    def write(self):
        end = self.buffer.length + self.x.size(0)
        self.buffer.rows[self.buffer.length : end] = self.x
        self.buffer.length = end


def test_an_error_of_the_contract_is_in_words_of_an_answers_own():
    given, other = caught(Refused("no room")), caught(ValueError("full"))
    assert given.like(other)
    assert other.like(given)
    assert not given.like(caught(TypeError("full")))
    assert not other.like(caught(ValueError("no room")))


class WrittenAtTheBeginning(Mistake, Writing):
    """the rows are written at the beginning"""

    see = "x#y"

    def write(self):
        self.buffer.rows[: self.x.size(0)] = self.x
        self.buffer.length += self.x.size(0)


class Replaced(Mistake, Writing):
    """the rows are another tensor"""

    see = "x#y"

    def write(self):
        self.buffer.rows = torch.cat([self.buffer.rows[: self.buffer.length], self.x])
        self.buffer.length += self.x.size(0)


class CountedTwice(Mistake, Writing):
    """each row is counted twice"""

    see = "x#y"

    def write(self):
        super().write()
        self.buffer.length = min(self.buffer.length + self.x.size(0), len(self.buffer.rows))


CHANGES = {
    WrittenAtTheBeginning: (WRITES, "        buffer.rows[: x.size(0)] = x\n"),
    Replaced: (WRITES, "        buffer.rows = torch.cat([buffer.rows[: buffer.length], x])\n"),
    CountedTwice: ("        buffer.length = end\n", "        buffer.length = end = min(end + x.size(0), 5)\n"),
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_programs_replay_what_becomes_of_an_object(learner, change):
    learner = learner(*CHANGES[change])
    events = learner.begin_check()
    layer, one, other = learner.Writer().set({}), buffer(learner), buffer(learner)
    for given, x in ((one, X), (other, X[1:]), (one, X[:1] * 3)):
        layer.ahead(x, given)
        given.look()
    one.assign(length=1)
    layer.echo(X[:1], other)
    layer.several((X[:1], other), (X[:1], one))
    other.look()
    learner.settle()
    check = Check("test_it", events, KATA.signatures)
    check.compare_with(Writing)
    assert check.symbol == "Writer"
    assert check.cost == 4  # of the first four requests
    assert not check.explained_by(Writing)
    explained = [each for each in CHANGES if check.explained_by(mixed(Writing, (each,)))]
    assert explained == [change]
    (first, right), *_ = check.looks()
    assert (first["moved"], right["moved"]) == (["rows"] if change is Replaced else [], [])
