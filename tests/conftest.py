"""The grader's fixtures and options, for every test."""

from grading.examination.plugin import (  # noqa: F401
    draw,
    learner,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_report_header,
    pytest_runtest_protocol,
)
