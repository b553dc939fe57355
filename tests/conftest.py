"""The grader's fixtures, and what pytest needs to run the graders by itself."""

from grading.examination.plugin import (  # noqa: F401
    draw,
    learner,
    pytest_collection_modifyitems,
    pytest_runtest_protocol,
)
from grading.practice.plain_pytest import pytest_addoption, pytest_configure  # noqa: F401
