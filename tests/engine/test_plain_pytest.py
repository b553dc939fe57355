"""`pytest tests/test_<kata>.py`, as a test explorer runs it, grades the learner's file and says why it is wrong."""

import os
import subprocess
import sys

import pytest

from grading.catalog import ROOT, Catalog
from grading.stubs import stub
from tests.engine.katas import ATTENTION, MASKS

SOLUTION = Catalog()[ATTENTION].reference


def run(*arguments):
    """pytest's exit status and screen."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


def graded(folder, stem, source, *arguments):
    (folder / f"{stem}.py").write_text(source, encoding="utf-8")
    return run(f"tests/test_{stem}.py", "--candidate", folder, "--seed", 1, *arguments)


def test_it_grades_problems_and_skips_what_is_untouched():
    status, shown = run(f"tests/test_{ATTENTION}.py")
    untouched = (ROOT / "problems" / f"{ATTENTION}.py").read_bytes() == stub(Catalog()[ATTENTION]).encode()
    assert f"katas: {ROOT / 'problems'}" in shown
    if untouched:  # in a learner's own checkout it may be written
        assert status == 0
        assert f"problems/{ATTENTION}.py: scaled_dot_product_attention is not written yet" in shown
        assert " passed" not in shown
        assert shown.count("SKIPPED") == 1, "one line says it for all checks"


def test_a_right_answer_passes(tmp_path):
    status, shown = graded(tmp_path, ATTENTION, SOLUTION)
    assert status == 0
    assert " passed" in shown
    assert "skipped" not in shown


def test_a_wrong_answer_fails_with_its_cause(tmp_path):
    status, shown = graded(tmp_path, ATTENTION, SOLUTION.replace(" / math.sqrt(query.size(-1))", ""))
    assert status == 1
    block = shown.split("_ test_scores_are_scaled_by_the_root_of_head_dim _")[1].split("\n____")[0]
    assert "these are not the weights of scores times 1/sqrt(E)" in block
    assert "wanted" in block
    assert "cause   exactly what you get when" in block
    assert f"next    python grader.py hint {ATTENTION}" in block


def test_one_check_by_itself_has_its_cause_too(tmp_path):
    """A click on one test in a test explorer."""
    wrong = SOLUTION.replace(" / math.sqrt(query.size(-1))", "")
    status, shown = graded(tmp_path, ATTENTION, wrong, "-k", "masks_of_colliding")
    assert status == 1
    assert "1 failed" in shown
    assert "cause   exactly what you get when" in shown


def test_what_is_not_written_yet_is_skipped_in_a_half_done_file(tmp_path):
    body = (
        "return torch.ones(query_len, key_len or query_len, dtype=torch.bool).tril((key_len or query_len) - query_len)"
    )
    unwritten = f'raise NotImplementedError("{Catalog()[MASKS].symbols[0]}")'
    status, shown = graded(tmp_path, MASKS, stub(Catalog()[MASKS]).replace(unwritten, body))
    assert status == 0
    assert "additive_mask is not written yet" in shown
    assert " passed, " in shown.splitlines()[-1]
    assert " skipped in " in shown.splitlines()[-1]


def test_a_file_that_does_not_load_says_so_once(tmp_path):
    status, shown = graded(tmp_path, ATTENTION, "def f(:\n")
    assert status == 1
    assert "1 failed" in shown
    details, _, summary = shown.partition("short test summary info")
    assert details.count("SyntaxError") == 1
    assert "SKIPPED [" in summary
    assert summary.count("SKIPPED") == 1, "one line says why the others did not run"


def test_it_stops_where_it_is_asked_to_and_shows_what_was_printed(tmp_path):
    wrong = SOLUTION.replace(
        "return scores.softmax(dim=-1) @ value", "print('here', scores.shape)\n        return scores"
    )
    status, shown = graded(tmp_path, ATTENTION, wrong, "-x")
    assert status == 1
    assert "1 failed" in shown
    assert "- printed -" in shown
    assert "here torch.Size(" in shown


@pytest.mark.parametrize("name", ["nowhere", "problems/nothing.py"])
def test_a_folder_that_is_not_there_is_a_usage_error(name):
    status, _ = run(f"tests/test_{ATTENTION}.py", "--candidate", name)
    assert status == 4
