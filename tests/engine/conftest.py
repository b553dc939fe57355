"""Fixtures for the engine's own tests."""

import pytest

from grading.candidate.limits import Limits
from grading.catalog import Catalog
from grading.examination.examiner import Examiner
from grading.examination.plugin import KEY


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where several processes share the tests, those of a file stay together, for the fixtures that they share; whole
    submissions, which have none and take most of the time, go one by one to whichever process is free. xdist's own
    groups are lost with pytest 9.2: https://github.com/pytest-dev/pytest-xdist/issues/1386"""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return nodeid if file.endswith("test_submissions.py") else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def examiner(request):
    """An examiner that shares the run's fork server."""
    return Examiner(host=request.config.stash[KEY].host)


@pytest.fixture(scope="session")
def checks(examiner, tmp_path_factory):
    """How many checks each kata has: they are collected whether or not there is a file to grade."""
    report = examiner.grade(Catalog().stems, tmp_path_factory.mktemp("nothing"), asked=False)
    return {result.kata: result.expected for result in report.katas}


@pytest.fixture
def examine(examiner):
    """examine(stem, path, seed=None): the result of a whole grade of that file."""
    return lambda stem, path, seed=None: examiner.grade([stem], path, seed).katas[0]


@pytest.fixture
def examine_briefly(request):
    """The same with short limits, for what has to be stopped."""
    host, limits = request.config.stash[KEY].host, Limits(call_seconds=2.0, load_seconds=2.0, kata_seconds=12.0)
    return lambda stem, path: Examiner(host=host, limits=limits).grade([stem], path).katas[0]
