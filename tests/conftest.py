"""What pytest needs to collect the graders' checks, and to run them by itself."""

from grading.examination.plugin import (  # noqa: F401
    pytest_collection_modifyitems,
    pytest_pycollect_makeitem,
    pytest_runtest_protocol,
)
from grading.practice.plain_pytest import pytest_addoption, pytest_configure  # noqa: F401
