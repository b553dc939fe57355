"""Whole learner files, each with the verdict that it must get: the grader's own grader.

Each test here stands alone, so that whichever process is free may run it (conftest.py); test_hostile.py has the rest.
"""

from dataclasses import replace

import pytest

from grading.authoring.submissions import FOLDER, files, header, missed, untrue
from grading.catalog import ROOT, Catalog
from grading.diagnosis.knowledge import knowledge
from tests.engine.katas import name_of

STARS = {kata.stem: star for kata in Catalog().katas if (star := getattr(knowledge(kata), "star", None))}


@pytest.mark.parametrize("path", files("right"), ids=name_of)
def test_right_submission_passes_and_gets_its_star(examine, path):
    """A file says `# star: none` where, by reading it, each key/value head is copied for its query heads: by repeat,
    expand and reshape, indexing, expanded weights, or by PyTorch (a broadcasting matmul, vmap over a group's heads).
    """
    result = examine(path.parent.name, path)
    failed = result.first_failure
    assert result.outcome == "passed", failed or result.message
    if star := STARS.get(path.parent.name):
        assert result.star.given is not (header(path, "star") == "none"), result.star
        assert_clear(star, result)


@pytest.mark.parametrize("stem", STARS)
def test_a_reference_gets_the_star(examine, stem):
    result = examine(stem, ROOT / "solutions" / f"{stem}.py")
    assert result.outcome == "passed"
    assert result.star.given
    assert_clear(STARS[stem], result)


def assert_clear(star, result):
    """A bound that is nearly reached would be one that a right answer may miss by a little."""
    assert not star.bound / 1.4 < result.star.peak < star.bound * 1.4


@pytest.mark.parametrize("path", [*files("wrong")[::75], *FOLDER.glob("wrong/*/noise_*.py")], ids=name_of)
def test_the_same_seed_gives_the_same_report(examine, path):
    """Whatever the learner's code draws, too. The first words that are printed may be ascribed to the check before."""
    first, second = (examine(path.parent.name, path, seed=5) for _ in range(2))
    assert [replace(check, printed="") for check in first.checks] == [replace(c, printed="") for c in second.checks]
    assert (first.outcome, first.causes) == (second.outcome, second.causes)


@pytest.mark.parametrize("path", files("wrong"), ids=name_of)
def test_wrong_submission_fails_and_gets_the_causes_that_it_states(examine, path):
    result = examine(path.parent.name, path, seed=1)
    assert result.outcome == "failed", result.message
    assert result.first_failure.message
    assert not missed(path, result)
    assert not untrue(path, result)


def test_there_are_enough():
    assert len(files("wrong")) >= 40
