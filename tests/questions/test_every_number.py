"""Questions that belong to no kata have no notebook, so tests/questions/test_<topic>.py asserts their numbers; and for
those of a hunt, test_<hunt>.py does."""

import ast
import tomllib

import pytest

from grading.catalog import ROOT
from grading.hunts import hunts
from tests.questions.figures import numbers

FILES = {path.stem: path for path in sorted((ROOT / "katas" / "questions").glob("*.toml"))}
FILES |= {hunt.stem: hunt.folder / "questions.toml" for hunt in hunts()}


def named(topic):
    """Key of a question -> the text of the test that is called after it."""
    text = (ROOT / "tests" / "questions" / f"test_{topic}.py").read_text(encoding="utf-8")
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    tests = [node for node in found if node.name.startswith("test_")]
    return {test.name.removeprefix("test_").replace("_", "-"): ast.get_source_segment(text, test) for test in tests}


@pytest.mark.parametrize("topic", FILES)
def test_every_number_in_an_answer_is_asserted(topic):
    """0, 1 and 2 are too common to look for."""
    asked = tomllib.loads(FILES[topic].read_text(encoding="utf-8"))["question"]
    tests = named(topic)
    assert set(tests) <= {each["key"] for each in asked}, "a test that is called after no question"
    for each in asked:
        wanted = numbers(" ".join((each["say"], each.get("measured", ""), each["follow_up"]))) - {0, 1, 2}
        missing = wanted - numbers(tests.get(each["key"], ""))
        assert not missing, f"{each['key']}: {sorted(missing)} in no test"
