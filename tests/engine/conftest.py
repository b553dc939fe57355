"""Fixtures for the engine's own tests."""

import pytest

from grading.candidate.limits import Limits
from grading.catalog import Catalog
from grading.examination.examiner import Examiner
from grading.examination.plugin import KEY


def pytest_collection_modifyitems(items):
    """Where several processes share the tests, those of a file stay together, for the fixtures that they share. Whole
    submissions have none, and take most of the time: each of them goes to whichever process is free."""
    for item in items:
        if item.get_closest_marker("apart") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


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
