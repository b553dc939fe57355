"""The diagnosis: programs are right, what is made of their mistakes is named, and nothing else is."""

import itertools
import random
from collections import Counter

import pytest
import torch

from benchmarks.diagnosis import Made, generated, transcripts
from grading.candidate.wire import encode
from grading.catalog import Catalog
from grading.diagnosis import mistake
from grading.diagnosis.causes import causes
from grading.diagnosis.knowledge import catalogue, knowledge
from grading.diagnosis.lent import Lent
from grading.diagnosis.matching import is_telling, same
from grading.diagnosis.mistake import (
    Mistake,
    compatible,
    is_style,
    joined,
    mixed,
    name,
    of_program,
    proves,
    replaced,
    sentence,
    steps,
    symptom,
)
from grading.diagnosis.program import Program
from grading.diagnosis.raised import caught
from grading.diagnosis.replay import Check
from grading.diagnosis.search import Search, _in_pairs
from grading.records import Event

SEED = 20261129
KNOWN = {kata.stem: knowledge(kata) for kata in Catalog().katas if knowledge(kata)}


@pytest.fixture(scope="module")
def asked(examiner):
    """What the graders ask of the references."""
    return transcripts(examiner, list(KNOWN), SEED)


@pytest.fixture(params=KNOWN)
def made(request, asked):
    """A program of each kata, and the calls that its checks make."""
    symbol, program = next(iter(KNOWN[request.param].PROGRAMS.items()))
    return Made(Catalog()[request.param], symbol, program, asked[request.param])


def kinds_of(made):
    return of_program(made.program, KNOWN[made.kata.stem].MISTAKES)


def test_the_programs_give_what_the_references_give(made, asked):
    checks = asked[made.kata.stem]
    others = [check for check in checks if check not in made.checks]
    # what is random, not about numbers, about another function, or too large to be run again
    assert len(made.checks) > len(checks) / 3
    assert not [check for check in others if "without_a_mask" in check]


def test_a_right_answer_has_no_failed_check(made):
    failed, passed = made.answered(())
    assert not failed
    assert passed


@pytest.mark.parametrize(("size", "share"), [(1, 0.85), (2, 0.7)])
def test_generated_mistakes_are_named_and_hardly_any_other(asked, size, share):
    """`python benchmarks/diagnosis.py` has the figures; here a few of each kata hold a floor."""
    total = Counter()
    for stem, module in KNOWN.items():
        for symbol, program in module.PROGRAMS.items():
            made = Made(Catalog()[stem], symbol, program, asked[stem])
            total += generated(made, of_program(program, module.MISTAKES), size, 4, random.Random(SEED))
    assert total["main"] >= share * total["answers"], total
    assert total["untrue"] <= 0.15 * total["answers"], total


def test_an_output_without_elements_says_nothing():
    assert not is_telling(torch.zeros(2, 0), torch.ones(2, 3))


def test_beside_a_tensor_of_few_digits_another_may_be_right_but_for_its_rounding():
    right = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    rounded, rough = right * (1 + 2e-16), right.float().double()
    assert same((rough, right), (rough, rounded), (right, right), strict=True)
    assert not same((rough * (1 + 1e-8), right), (rough, rounded), (right, right), strict=True)
    assert not same((rough, rough), (rough, rounded), (right, right), strict=True)


def test_mistakes_have_names_sentences_and_sections_of_their_own():
    known = catalogue()
    for each, (kind, stems) in known.items():
        assert stems, each
        assert each == name(kind)
        assert not sentence(kind).endswith("."), each
        assert symptom(kind).endswith("."), each
        assert "#" in kind.see, each
        assert steps(kind) or proves(kind), each


def test_a_style_has_no_name_to_be_shown(made):
    assert all(is_style(kind) or kind.see for kind in kinds_of(made))


def test_a_step_is_replaced_once():
    kinds = dict.fromkeys(kind for module in KNOWN.values() for kind in module.MISTAKES if replaced(kind))
    clashing = [pair for pair in itertools.combinations(kinds, 2) if replaced(pair[0]) & replaced(pair[1])]
    assert clashing
    assert not any(compatible((first,), second) for first, second in clashing)


def test_mistakes_in_one_step_go_together_where_one_leaves_what_the_other_does():
    """NegatedAfter adds to what a step gives, NotHalved takes its place: both are made, in whatever order found."""
    both = joined((NotHalved,), NegatedAfter)
    assert compatible((NotHalved,), NegatedAfter)
    assert both == joined((NegatedAfter,), NotHalved)
    given = {made: mixed(Halved, made)()(6.0) for made in ((), (NotHalved,), (NegatedAfter,), both)}
    assert given == {(): 3.0, (NotHalved,): 6.0, (NegatedAfter,): -3.0, both: -6.0}


def test_a_mistake_and_a_kind_of_it_do_not_go_together():
    assert not compatible((NegatedAfter,), NegatedTwice)


class Halved(Program):
    """Half a number."""

    def __call__(self, x):
        self.x = x
        self.halve()
        return self.x

    def halve(self):
        self.x = self.x / 2


class NotHalved(Mistake, Halved):
    """it is left as it is"""

    def halve(self):
        """Left out."""


class NegatedAfter(Mistake, Halved):
    """it is negated at the end"""

    def halve(self):
        super().halve()
        self.x = -self.x


class NegatedTwice(NegatedAfter):
    """it is negated at the beginning, too"""

    def halve(self):
        self.x = -self.x
        super().halve()


class Negated(Program):
    """The complement of a mask, as booleans."""

    def __call__(self, mask):
        self.mask = mask
        self.invert()
        return self.inverse

    def invert(self):
        self.inverse = ~self.mask.bool()


class BitsInverted(Mistake, Negated):
    """the bits of integers are inverted, which are true then

    Floats have none, and raise.
    """

    see = "toy#Bits"

    def invert(self):
        self.inverse = (~self.mask).bool()


class ZerosKept(Mistake, Negated):
    """all is true but for floats

    A mistake that explains less.
    """

    see = "toy#Bits"

    def invert(self):
        self.inverse = torch.ones_like(self.mask, dtype=torch.bool)


def negated(mask, program):
    """A call of it in a check, as a program answers."""
    try:
        reply = {"value": program()(mask)}
    except TypeError as error:
        reply = {"error": {"type": "TypeError", "message": str(error)}}
    request = {"do": "call", "layer": None, "symbol": "negated", "args": [mask], "same": [0], "kwargs": {}}
    return Event(encode(request), reply)


def test_a_constant_in_nearly_all_checks_and_one_error_beside_it_are_proof():
    mixed = mistake.mixed(Negated, (BitsInverted,))
    masks = [torch.randint(2, (3, size)) for size in range(2, 9)] + [torch.ones(3, 4)]
    failed = [Check(f"test_{i}", [negated(mask, mixed)], {"negated": ("mask",)}) for i, mask in enumerate(masks)]
    passed = [Check("test_bool", [negated(masks[0].bool(), mixed)], {"negated": ("mask",)})]
    assert [cause.name for cause in causes({"negated": Negated}, (BitsInverted, ZerosKept), failed, passed)] == [
        "bits-inverted"
    ]


def test_what_a_passed_check_contradicts_is_not_found(made, monkeypatch):
    """Nor its equals: what gives a part of a check only is grown further, and may be all that there is in the end."""
    search = Search(made.program, kinds_of(made), [], [])
    single = [(kind,) for kind in search.kinds]
    monkeypatch.setattr(search, "contradicted", lambda combination: combination == single[0])
    monkeypatch.setattr(search, "rank", lambda combination: (0.0, 1, 1, ()))
    assert single[0] not in search._simplest(single)
    assert bool(search._simplest(single)) == (len(single) > 1)
    assert not search._simplest(single[:1])


class Doubled(Program):
    """The rows of a matrix doubled, in any order."""

    def __call__(self, matrix):
        self.matrix = matrix
        self.double()
        return self.rows

    @classmethod
    def in_order(cls, value):
        return value[value[:, 0].argsort()]

    def double(self):
        self.rows = 2 * self.matrix


class RowsTripled(Mistake, Doubled):
    """the rows are tripled

    They are half as large again.
    """

    see = "toy#Rows"

    def double(self):
        self.rows = 3 * self.matrix


def test_an_answer_may_have_an_order_of_its_own():
    def doubled(matrix, rows):
        request = {"do": "call", "layer": None, "symbol": "doubled", "args": [matrix], "same": [0], "kwargs": {}}
        return Check("test_doubled", [Event(encode(request), {"value": rows})], {"doubled": ("matrix",)})

    def named(rows):
        return [cause.name for cause in causes({"doubled": Doubled}, (RowsTripled,), [doubled(matrix, rows)], [])]

    matrix = torch.randn(4, 5, dtype=torch.float64)
    assert named(3 * matrix) == named(3 * matrix.flip(0)) == ["rows-tripled"]
    assert named(3 * matrix.flip(1)) == []


class Polynomial(Program):
    """a x^2 + b x + c of each number of a matrix."""

    def __call__(self, x, a, b, c):
        self.x, self.a, self.b, self.c = x, a, b, c
        self.square()
        self.slope()
        self.add()
        return self.value

    def square(self):
        self.value = self.a * self.x**2

    def slope(self):
        self.value = self.value + self.b * self.x

    def add(self):
        self.value = self.value + self.c


class CubeForSquare(Mistake, Polynomial):
    """the cube stands for the square

    The curve is another one.
    """

    see = "toy#Square"

    def square(self):
        self.value = self.a * self.x**3


class SlopeForgotten(Mistake, Polynomial):
    """the slope is left out

    The curve is straight at 0.
    """

    see = "toy#Slope"

    def slope(self):
        """Left out."""


class AddedTwice(Mistake, Polynomial):
    """the constant is added twice

    The curve is higher.
    """

    see = "toy#Constant"

    def add(self):
        self.value = self.value + 2 * self.c


def curve(name, given, *kinds):
    """A check that calls a polynomial with these mistakes in it."""
    request = {"do": "call", "layer": None, "symbol": "curve", "args": list(given), "same": [0, 1, 2, 3], "kwargs": {}}
    reply = {"value": mistake.mixed(Polynomial, kinds)()(*given)}
    return Check(f"test_{name}", [Event(encode(request), reply)], {"curve": ("x", *"abc")})


def test_three_mistakes_are_found_where_each_shows_alone():
    """None of them explains the plainest check, nor do two."""
    three = (CubeForSquare, SlopeForgotten, AddedTwice)
    zero, x = torch.zeros(3, 4, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64) + 2

    given = {"curve": (x, x + 1, x + 2, x + 3), "square": (x, x, zero, zero), "slope": (x, zero, x, zero)}
    given["constant"] = x, zero, zero, x
    failed = [curve(name, numbers, *three) for name, numbers in given.items()]
    found = causes({"curve": Polynomial}, three, failed, [])
    assert {cause.name for cause in found} == {"cube-for-square", "slope-forgotten", "added-twice"}
    assert all("test_curve" in cause.explains for cause in found)


class ShownBesideItsPlaces(Mistake, Polynomial):
    """the values come with the numbers that they are of

    There are two tensors.
    """

    see = "toy#Constant"

    def add(self):
        super().add()
        self.value = self.value, self.x


def test_what_has_the_shapes_of_an_answer_where_a_right_one_has_others_is_a_part_of_it():
    given = torch.rand(4, 3, 4, dtype=torch.float64).unbind()
    check = curve("curve", given, SlopeForgotten, ShownBesideItsPlaces)
    check.compare_with(Polynomial)
    parts = {kind: check.judged(mistake.mixed(Polynomial, (kind,))).parts for kind in (SlopeForgotten, AddedTwice)}
    assert set(parts.values()) == {0}
    assert check.judged(mistake.mixed(Polynomial, (ShownBesideItsPlaces,))).parts


def test_what_a_passed_check_speaks_against_is_not_added_to_others():
    given = torch.rand(4, 3, 4, dtype=torch.float64).unbind()
    passed = curve("no_constant", (*given[:3], torch.zeros_like(given[3])))
    search = Search(Polynomial, (CubeForSquare, SlopeForgotten, AddedTwice), [], [passed])
    assert search.likely == (AddedTwice,)


class AddedBefore(Mistake, Polynomial):
    """the constant is added twice, which is a style here"""

    sound = True

    def add(self):
        self.value = self.value + self.c + self.c


class ConstantOfSix(Mistake, Polynomial):
    """the constant is 6 for all

    Right for 3 alone, twice of which is 6.
    """

    see = "toy#Constant"
    last = True

    def add(self):
        self.value = self.value + 6


class SquareOfFourNumbers(Mistake, Polynomial):
    """four numbers are asked for

    More or fewer of them fail.
    """

    see = "toy#Square"

    def square(self):
        self.value = self.a * (self.x.view(4) ** 2)


def test_a_mistake_takes_the_place_of_a_style_in_the_same_step():
    check = curve("curve", torch.rand(4, 3, 4, dtype=torch.float64).unbind(), AddedTwice)
    search = Search(Polynomial, (AddedTwice, SlopeForgotten, AddedBefore), [check], [])
    start = joined((SlopeForgotten,), AddedBefore)
    assert list(search._larger(start, check)) == [joined((SlopeForgotten,), AddedTwice)]


def test_what_is_right_for_some_sizes_alone_is_named_where_nothing_else_explains_as_much():
    *numbers, threes = *torch.rand(3, 3, 4, dtype=torch.float64).unbind(), torch.full((3, 4), 3.0, dtype=torch.float64)
    failed = [curve(f"curve{i}", (x, *numbers[1:], threes), AddedTwice) for i, x in enumerate((numbers[0], numbers[1]))]
    for kinds, named in (((AddedTwice, ConstantOfSix), "added-twice"), ((ConstantOfSix,), "constant-of-six")):
        assert {cause.name for cause in causes({"curve": Polynomial}, kinds, failed, [])} == {named}


def test_of_two_at_once_those_come_first_that_people_make_most():
    """With as many others, no search would come to the last two of them in the order of the catalogue."""
    others = [type(f"Other{i}", (Mistake, Polynomial), {}) for i in range(40)]
    usual = [type(f"Usual{i}", (Mistake, Polynomial), {"often": True}) for i in range(3)]
    pairs = list(_in_pairs([usual[0], *others, *usual[1:]]))
    assert {frozenset(pair) for pair in pairs[:3]} == {frozenset(two) for two in itertools.combinations(usual, 2)}
    assert len(pairs) == 43 * 42 // 2


def test_a_program_breaks_where_the_answer_does_not():
    check = curve("curve", torch.rand(4, 3, 4, dtype=torch.float64).unbind(), SlopeForgotten)
    search = Search(Polynomial, (SquareOfFourNumbers, SlopeForgotten), [check], [])
    assert search.breaks((SquareOfFourNumbers,), check)
    assert not search.breaks((SlopeForgotten,), check)


SCORES, MASK = torch.zeros(2, 3, 5, 7), torch.ones(5, 5, dtype=torch.bool)
KEYS = torch.zeros(2, 3, 6, 5)
LINES = {
    "broadcast": (lambda: SCORES + MASK, lambda: MASK + SCORES, lambda: SCORES.clone().masked_fill_(MASK, 0.0)),
    "multiplied": (lambda: SCORES @ KEYS, lambda: torch.einsum("bhls,bhse->bhle", SCORES, KEYS)),
}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
def test_that_two_sizes_do_not_fit_is_one_error_however_a_line_is_written(lines):
    def raised(line):
        with pytest.raises(RuntimeError) as error:
            line()
        return caught(error.value)

    first, *others = map(raised, lines)
    assert all(first.like(other) for other in others)
    assert not first.like(raised(lambda: SCORES + torch.zeros(5, 6)))


def test_scores_with_groups_in_a_dimension_of_their_own_do_not_fit_one_dimension_later():
    with pytest.raises(RuntimeError) as four:
        SCORES + MASK
    with pytest.raises(RuntimeError) as five:
        SCORES[:, :, None] + MASK
    assert caught(five.value).like(caught(four.value))


def test_equals_have_an_order_that_is_the_same_in_every_run(made):
    search = Search(made.program, kinds_of(made), [], [])
    assert len({search.rank((style,)) for style in search.styles}) == len(search.styles)


def test_what_a_program_changes_in_place_is_lent_to_no_other():
    given, lent = torch.ones(3), Lent()
    copy = lent.own(given)
    doubled = lent.made(torch.mul, copy, 2)
    assert lent.own(given) is copy is not given
    assert lent.made(torch.mul, copy, 2) is doubled
    doubled[0] = 9
    assert lent.made(torch.mul, copy, 2).tolist() == [2, 2, 2]
    copy.view(-1)[0] = 9
    assert lent.made(torch.mul, copy, 2).tolist() == [18, 2, 2]
    assert lent.own(given).tolist() == given.tolist() == [1, 1, 1]
