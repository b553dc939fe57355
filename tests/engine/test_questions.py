"""Interview questions: no two the same, some drawn, several katas, translated key by key with the same numbers."""

import itertools
import re
import tomllib

import pytest

from grading.catalog import ROOT, Catalog
from grading.practice.interview import questions as module
from grading.practice.interview.questions import TEXTS, Question, questions, some, translated

KATAS = Catalog().katas
EVERY = [each for kata in KATAS for each in questions(kata) if kata.stem not in each.katas]
TRANSLATIONS = [path for path in sorted((ROOT / "katas").glob("*/*.toml")) if re.fullmatch("[a-z]{2}", path.stem)]


def numbers(text):
    return sorted(re.findall(r"\d+(?:[.,]\d+)*", text))


def test_no_key_and_no_question_is_there_twice():
    assert len({each.key for each in EVERY}) == len({each.question for each in EVERY}) == len(EVERY)


@pytest.mark.parametrize("kata", KATAS, ids=lambda kata: kata.stem)
def test_some_are_drawn_and_a_seed_repeats_them(kata):
    drawn = some(kata, 5, seed=1)
    assert drawn == some(kata, 5, seed=1)
    assert len({each.key for each in drawn}) == min(5, len(questions(kata)))


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
    assert questions(third) == some(third) == []


@pytest.mark.parametrize("path", TRANSLATIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_translation_has_known_keys_and_the_same_numbers(path):
    own = tomllib.loads(path.read_text(encoding="utf-8")).get("questions", {})
    known = {each.key: each for each in EVERY}
    assert set(own) <= set(known), "no question has these keys (any more)"
    for key, name in itertools.product(own, TEXTS):
        text = getattr(translated(known[key], path.stem), name)
        assert numbers(text) == numbers(getattr(known[key], name)), f"{key}, {name}"
    assert all(set(texts) <= set(TEXTS) for texts in own.values())
