"""Interview questions: no two the same, some drawn, several katas, translated key by key with the same numbers."""

import itertools
import re
import tomllib

import pytest

from grading.authoring.findings import faults
from grading.catalog import ROOT, Catalog
from grading.hunts import hunts
from grading.practice.interview import questions as module
from grading.practice.interview.questions import (
    LEVELS,
    TEXTS,
    TOPICS,
    Question,
    every,
    on,
    questions,
    translated,
)
from grading.practice.interview.recall import drawn
from grading.practice.progress.state import GOOD, Answer

KATAS = Catalog().katas
EVERY = every()
TRANSLATIONS = [
    *(path for path in sorted((ROOT / "katas").glob("*/*.toml")) if re.fullmatch("[a-z]{2}", path.stem)),
    *sorted((ROOT / "katas").glob("*/??/*.toml")),
]


def numbers(text):
    return sorted(re.findall(r"\d+(?:[.,]\d+)*", text))


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.key)
def test_a_question_is_complete_and_plain(each):
    assert list(faults(each)) == []


def test_all_are_those_of_the_katas_and_those_that_belong_to_none():
    owners = (*KATAS, *hunts())
    of_katas = [each for kata in owners for each in questions(kata) if kata.stem not in each.katas]
    assert EVERY[: len(of_katas)] == of_katas
    files = sorted((ROOT / "katas" / "questions").glob("*.toml"))
    of_none = {path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["question"] for path in files}
    keys = [(topic, entry["key"]) for topic, entries in of_none.items() for entry in entries]
    assert [(each.topic, each.key) for each in EVERY[len(of_katas) :]] == keys


def test_those_on_a_topic_come_from_all_files_the_easy_ones_first():
    assert sorted(each.key for topic in TOPICS for each in on(topic)) == sorted(each.key for each in EVERY)
    for topic in TOPICS:
        levels = [LEVELS.index(each.level) for each in on(topic)]
        assert levels == sorted(levels)


def test_no_key_and_no_question_is_there_twice():
    assert len({each.key for each in EVERY}) == len({each.question for each in EVERY}) == len(EVERY)


@pytest.mark.parametrize("kata", KATAS, ids=lambda kata: kata.stem)
def test_some_are_drawn_and_a_seed_repeats_them(kata):
    some = drawn(kata, {}, 0.0, 5, seed=1)
    assert some == drawn(kata, {}, 0.0, 5, seed=1)
    assert len({each.key for each in some}) == min(5, len(questions(kata)))


def test_what_is_known_is_drawn_last():
    kata = KATAS[0]
    known, again, *others = questions(kata)
    answers = {each.key: [Answer(0.0, GOOD, due=50.0)] for each in others}
    answers[again.key] = [Answer(0.0, GOOD, due=5.0)]
    assert drawn(kata, answers, 9.0, 2, seed=1) == [known, again]
    assert len(drawn(kata, answers, 9.0, 3, seed=1)) == 3


def test_a_kata_without_a_file_has_none_and_one_may_be_asked_about_several(tmp_path, monkeypatch):
    entry = 'key = "k"\nquestion = "q?"\nsay = "s"\ntopic = "heads"\nlevel = "easy"\nfollow_up = "f"\nred_flag = "r"\n'
    first, second, third = KATAS[:3]
    (tmp_path / first.stem).mkdir()
    (tmp_path / first.stem / "questions.toml").write_text(f'[[question]]\n{entry}katas = ["{second.stem}"]\n')
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    assert (
        questions(first)
        == questions(second)
        == [Question("k", "q?", "s", "heads", "easy", "f", "r", "", (second.stem,))]
    )
    assert questions(third) == drawn(third, {}, 0.0, 5) == []


def test_a_question_with_an_unknown_level_or_topic_is_told_of_and_left_out(tmp_path, monkeypatch, capsys):
    (tmp_path / "questions").mkdir()
    entry = '[[question]]\nkey = "k"\nquestion = "q"\nsay = "s"\nfollow_up = "f"\nred_flag = "r"\nlevel = "easy"\n'
    (tmp_path / "questions" / "weather.toml").write_text(entry)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    assert every() == []
    assert "weather" in capsys.readouterr().err


@pytest.mark.parametrize("path", TRANSLATIONS, ids=lambda path: str(path.relative_to(ROOT / "katas")))
def test_a_translation_has_known_keys_and_the_same_numbers(path):
    own = tomllib.loads(path.read_text(encoding="utf-8")).get("questions", {})
    known = {each.key: each for each in EVERY}
    assert set(own) <= set(known), "no question has these keys (any more)"
    for key, name in itertools.product(own, TEXTS):
        text = getattr(translated(known[key], path.stem), name)
        assert numbers(text) == numbers(getattr(known[key], name)), f"{key}, {name}"
    assert all(set(texts) <= set(TEXTS) for texts in own.values())
