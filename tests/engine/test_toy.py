"""A kata is added by files of its own: with nothing more than these, every verb works for it, as far as it goes."""

import json
import os
import subprocess
import sys

import pytest

from tests.engine.terminals import copied

FILES = {
    "katas/toy/kata.toml": 'title = "Twice"\nminutes = 5\ntrack = "further"\n[holes]\ntwice = ["the input, twice"]\n',
    "solutions/toy.py": (
        '"""Twice.\n\n    twice(x) -> Tensor\n"""\n\nfrom torch import Tensor\n\n\n'
        'def twice(x: Tensor) -> Tensor:\n    """2 x."""\n    return 2 * x\n'
    ),
    "tests/test_toy.py": (
        '"""Grader of the toy."""\n\nfrom grading.examination.checks import close\n\n\n'
        "def test_twice(learner, draw):\n"
        '    """The output is twice the input."""\n'
        "    x = draw(2, 3)\n    close(learner.twice.ahead(x), 2 * x)\n"
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = copied(tmp_path_factory.mktemp("toy"))
    (root / "katas" / "toy").mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text)
    return root


def grader(root, *arguments, status=0, **environment):
    command = [sys.executable, "grader.py", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_without_its_grader_it_is_listed_and_has_a_stub(copy):
    assert "1 toy             5 min  Twice" in grader(copy, "list")
    assert "toy: the stub is back" in grader(copy, "reset", "toy")
    assert "Twice, about 5 minutes." in (copy / "problems" / "toy.py").read_text()
    hidden = (copy / "tests" / "test_toy.py").rename(copy / "tests" / "later")
    assert "the kata has no grader yet" in " ".join(grader(copy, "toy", status=3).split())
    hidden.rename(copy / "tests" / "test_toy.py")


def test_it_is_graded(copy):
    assert "not started" in grader(copy, "toy", status=1)
    (copy / "problems" / "toy.py").write_text("def twice(x):\n    return 3 * x\n")
    assert "The output is twice the input" in grader(copy, "check", "toy", status=1)
    assert "next " not in grader(copy, "toy", status=1), "there is neither a hint nor a notebook yet"
    (copy / "problems" / "toy.py").write_text(FILES["solutions/toy.py"])
    assert "1/1" in grader(copy, "toy", "--html", copy / "page.html")
    assert "Twice" in (copy / "page.html").read_text()
    (result,) = json.loads(grader(copy, "toy", "--json"))["katas"]
    assert (result["outcome"], result["expected"], result["fault"]) == ("passed", 1, "")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_verbs_about_one_kata_work_for_it(copy, language):
    (copy / "problems" / "toy.py").write_text(FILES["solutions/toy.py"])
    grader(copy, "toy", KATA_LANG=language)
    for arguments in (["hint", "toy"], ["compare", "toy"], ["status"], ["due"]):
        assert "Twice" in grader(copy, *arguments, KATA_LANG=language) or arguments[0] not in ("hint",)
    grader(copy, "drill", "toy", status=2)  # there is no wrong submission yet
    grader(copy, "interview", "start", "toy", KATA_LANG=language)
    (copy / ".kata" / "interview" / "toy.py").write_text(FILES["solutions/toy.py"])
    assert "1" in grader(copy, "interview", "run", KATA_LANG=language)
    assert "Twice" in grader(copy, "interview", "finish", KATA_LANG=language)


def test_cohorts_and_servers_have_it_too(copy):
    (copy / "problems" / "toy.py").write_text(FILES["solutions/toy.py"])
    (copy / "cohort" / "ada" / "problems").mkdir(parents=True)
    (copy / "cohort" / "ada" / "problems" / "toy.py").write_text(FILES["solutions/toy.py"])
    grader(copy, "cohort", "cohort", "--jobs", 1)
    head, row = (copy / "cohort-grades" / "results.csv").read_text().splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=True))["toy"] == "passed"
    grader(copy, "ci", ".", "--out", "result")
    score = json.loads((copy / "result" / "score.json").read_text())
    assert score["tracks"][-1] == {"track": "further", "points": 10, "max": 10}
