"""Whole learner files, each with the verdict that it must get: the grader's own grader."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.watched import HOLDING
from grading.authoring.submissions import FOLDER, files, header, missed, untrue
from grading.catalog import ROOT, Catalog
from grading.diagnosis.knowledge import knowledge
from grading.examination.plugin import KEY
from tests.engine.katas import ATTENTION, COUNT


def name_of(path: Path) -> str:
    return str(path.relative_to(FOLDER).with_suffix(""))


STARS = {kata.stem: star for kata in Catalog().katas if (star := getattr(knowledge(kata), "star", None))}


@pytest.mark.apart
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


@pytest.mark.apart
@pytest.mark.parametrize("stem", STARS)
def test_a_reference_gets_the_star(examine, stem):
    result = examine(stem, ROOT / "solutions" / f"{stem}.py")
    assert result.outcome == "passed"
    assert result.star.given
    assert_clear(STARS[stem], result)


def assert_clear(star, result):
    """A bound that is nearly reached would be one that a right answer may miss by a little."""
    assert not star.bound / 1.4 < result.star.peak < star.bound * 1.4


@pytest.mark.apart
@pytest.mark.parametrize("path", [*files("wrong")[::75], *FOLDER.glob("wrong/*/noise_*.py")], ids=name_of)
def test_the_same_seed_gives_the_same_report(examine, path):
    """Whatever the learner's code draws, too. The first words that are printed may be ascribed to the check before."""
    first, second = (examine(path.parent.name, path, seed=5) for _ in range(2))
    assert [replace(check, printed="") for check in first.checks] == [replace(c, printed="") for c in second.checks]
    assert (first.outcome, first.causes) == (second.outcome, second.causes)


@pytest.mark.apart
@pytest.mark.parametrize("path", files("wrong"), ids=name_of)
def test_wrong_submission_fails_and_gets_the_causes_that_it_states(examine, path):
    result = examine(path.parent.name, path, seed=1)
    assert result.outcome == "failed", result.message
    assert result.first_failure.message
    assert not missed(path, result)
    assert not untrue(path, result)


@pytest.fixture(scope="module")
def tree_before():
    """The repository's files as they were."""
    return tree()


@pytest.fixture(scope="module")
def children_before(request):
    """The candidates that the fork server has already: those of the graders, where they are part of the same run."""
    return children(request)


def children(request) -> set[str]:
    """The processes that the fork server has started and not ended."""
    host = request.config.stash[KEY].host
    host.settle()
    return set(Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split())


def tree() -> dict[str, tuple[int, int]]:
    """Size and time of each file of the repository, without what Python and the tools write there."""
    folders = ("problems", "solutions", "tests", "grading", "katas", "docs", "notebooks")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts]
    paths += [path for path in ROOT.iterdir() if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.is_file()}


@pytest.mark.parametrize("path", files("hostile"), ids=name_of)
def test_hostile_submission_gets_its_verdict(examine_briefly, tree_before, children_before, path):
    began = time.monotonic()
    result = examine_briefly(header(path, "kata"), path)
    assert time.monotonic() - began < 3 * 12  # the limit of examine_briefly is 12 s: beyond that, something hangs
    assert result.outcome in header(path, "verdict").split("|")
    failed = result.first_failure
    assert (failed.message if failed else result.message).strip()


def test_hostile_submissions_left_nothing_behind(request, tree_before, children_before):
    assert tree() == tree_before
    assert children(request) <= children_before


def test_the_other_katas_keep_their_verdicts_beside_hostile_ones(examiner, tmp_path):
    for kata in Catalog().katas:
        shutil.copy(kata.solution, tmp_path)
    shutil.copy(FOLDER / "hostile" / "tamper_left_behind.py", tmp_path / f"{ATTENTION}.py")
    outcomes = [result.outcome for result in examiner.grade(Catalog().stems, tmp_path).katas]
    assert outcomes[0] != "passed"
    assert outcomes[1:] == ["passed"] * (COUNT - 1)


def test_there_are_enough_of_each():
    assert len(files("wrong")) >= 40
    assert len(files("hostile")) >= 60


def test_what_keeps_a_hostile_file_from_the_harm_that_it_states_is_known():
    """benchmarks/fences.py runs it only where one of these layers is on."""
    assert {header(path, "harm") for path in files("hostile")} - {""} == HOLDING.keys()
