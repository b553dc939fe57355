"""A grade collects the checks of a grader as pytest would."""

import shutil
import subprocess
import sys

from grading.catalog import ROOT, Catalog
from grading.examination.collection import checks
from grading.examination.draw import Drawer


def test_the_names_are_those_that_pytest_gives(tmp_path):
    """Elsewhere the graders are files of tests like any other, whose cases pytest itself names."""
    for kata in Catalog().katas:
        shutil.copy(kata.tests, tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    settings = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "--import-mode=importlib"]
    done = subprocess.run([*command, *settings, tmp_path], cwd=ROOT, capture_output=True, text=True)
    named = [line.partition("::") for line in done.stdout.splitlines() if "::" in line]
    for kata in Catalog().katas:
        theirs = [name for file, _, name in named if file == kata.tests.name]
        assert [check.name for check in checks(kata.stem)] == theirs


def test_each_check_has_inputs_of_its_own_that_follow_from_the_seed():
    one, again, other, later = (Drawer(*each)(3, 4) for each in ((1, "a"), (1, "a"), (1, "b"), (2, "a")))
    assert (one == again).all()
    assert not (one == other).any()
    assert not (one == later).any()
