"""The questions as a whole: enough of them for each topic and level, no two alike, all of them in Chinese as well."""

import itertools
import re

import pytest

from grading.catalog import Catalog
from grading.practice.interview.questions import LEVELS, TEXTS, TOPICS, every, on, questions, translated

EVERY = every()


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def runs(text):
    """Every three words that stand side by side."""
    found = words(text)
    return {*zip(found, found[1:], found[2:], strict=False)}


def test_there_are_150_at_least():
    assert len(EVERY) >= 150


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_has_questions_of_each_level(topic):
    assert {each.level for each in on(topic)} == set(LEVELS)


@pytest.mark.parametrize("kata", [kata for kata in Catalog().katas if kata.track == "core"], ids=lambda kata: kata.stem)
def test_a_kata_of_the_core_has_eight_at_least(kata):
    assert len(questions(kata)) >= 8


def test_no_two_ask_or_answer_nearly_the_same():
    for a, b in itertools.combinations(EVERY, 2):
        asked, other = set(words(a.question)), set(words(b.question))
        assert len(asked & other) < 0.6 * len(asked | other), f"{a.key} and {b.key} ask alike"
        said, again = runs(a.say), runs(b.say)
        assert len(said & again) < 0.25 * min(len(said), len(again)), f"{a.key} and {b.key} answer alike"


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.key)
def test_each_is_complete_in_english_and_in_chinese(each):
    chinese = translated(each, "zh")
    for name in TEXTS:
        assert getattr(each, name), name
        assert re.search("[一-鿿]", getattr(chinese, name)), f"{name} is not in Chinese"
    assert len(chinese.say) <= 260, "thirty seconds"
    assert re.search(r"[.?] .", each.follow_up), "what is asked next, and a line of its answer"
