"""Hostile files: each gets its verdict, and leaves nothing behind."""

import shutil
import time
from pathlib import Path

import pytest

from benchmarks.watched import HOLDING
from grading.authoring.submissions import FOLDER, files, header
from grading.catalog import ROOT, Catalog
from grading.examination.plugin import KEY
from tests.engine.katas import ATTENTION, COUNT, name_of


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


def test_what_keeps_a_hostile_file_from_the_harm_that_it_states_is_known():
    """benchmarks/fences.py runs it only where one of these layers is on."""
    assert {header(path, "harm") for path in files("hostile")} - {""} == HOLDING.keys()


def test_there_are_enough():
    assert len(files("hostile")) >= 60
