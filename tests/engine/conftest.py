"""Fixtures for the engine's own tests."""

import pytest

from grading.candidate.limits import Limits
from grading.examine import Examiner
from grading.plugin import KEY


@pytest.fixture(scope="session")
def examiner(request):
    """An examiner that shares the run's fork server."""
    return Examiner(host=request.config.stash[KEY].host)


@pytest.fixture
def examine(examiner):
    """examine(stem, path): the result of a whole grade of that file."""
    return lambda stem, path: examiner.grade([stem], path).katas[0]


@pytest.fixture
def examine_briefly(request):
    """The same with short limits, for what has to be stopped."""
    host, limits = request.config.stash[KEY].host, Limits(call_seconds=2.0, load_seconds=2.0, kata_seconds=12.0)
    return lambda stem, path: Examiner(host=host, limits=limits).grade([stem], path).katas[0]
