"""The verb `author`: it finds nothing in the katas that are here, and each thing that can be wrong in one."""

import pytest

from grading.authoring.findings import faults, said
from grading.catalog import Catalog
from grading.practice.interview.questions import Question

QUESTION = Question("why-so", "Why?", "Because.", "masks", "easy", "And then?", "No idea.", "42")


@pytest.mark.parametrize("stem", Catalog().stems)
def test_nothing_is_missing_in_a_kata(examiner, stem):
    found = list(said(examiner, [Catalog()[stem]]))
    assert not found, "\n".join(found)


def test_nothing_is_missing_in_what_katas_share(examiner):
    assert [line for line in said(examiner) if "any more" in line] == []


def test_a_question_that_is_complete_has_no_fault():
    assert list(faults(QUESTION)) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"key": "Why so"}, "a key consists of words"),
        ({"key": "why-" * 6 + "so"}, "at most 24 characters"),
        ({"say": "", "red_flag": ""}, "it has no say and no red_flag"),
        ({"measured": "$x$"}, "it is read in a terminal too, and has $"),
        ({"say": "word " * 111}, "say has more than 110 words"),
        ({"katas": ("nowhere",)}, "there is no kata nowhere"),
    ],
)
def test_a_fault_of_a_question_is_said(changed, said):
    (fault,) = faults(Question(**{**vars(QUESTION), **changed}))
    assert said in fault
