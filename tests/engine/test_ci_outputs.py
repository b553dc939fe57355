"""What a CI server shows, as functions of a report."""

import shutil
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import xmlschema

from grading.catalog import ROOT, Catalog
from grading.records import CheckResult, KataResult, Report
from grading.reports import annotations, badge, junit, markdown, score
from grading.stubs import stub
from tests.engine.katas import ATTENTION, GROUPS, HEADS, MASKS, ONE_KV_HEAD, SAME_TRACK

WRONG = ROOT / "tests" / "submissions" / "wrong"
EXPECTED = 63
EVIL = "x]]></failure>\n::error file=a::b\r::add-mask::c</pre><script>|%0A\x00\x1b[2J\ud800 ##[error]"


def kata(stem, outcome="passed", checks=None, **more):
    each = Catalog()[stem]
    if checks is None:
        checks = [CheckResult(f"test_{i}", "a rule", "passed") for i in range(EXPECTED)]
    passed = sum(check.outcome == "passed" for check in checks)
    return KataResult(stem, each.title, f"problems/{stem}.py", outcome, passed, EXPECTED, (), tuple(checks), **more)


@pytest.fixture(scope="module")
def hostile():
    """A report in which every word that may come from a learner is a bad one."""
    evil = CheckResult("test_0", "a rule", "failed", EVIL, EVIL, EVIL, f"problems/{GROUPS}.py:3", EVIL, EVIL, "differs")
    broken = kata(ONE_KV_HEAD, "broken", (), message=EVIL, where=f"problems/{ONE_KV_HEAD}.py:7", printed=EVIL)
    good = [kata(stem) for stem in (ATTENTION, MASKS)]
    return Report(
        7, ("process",), 1.0, (*good, kata(HEADS, "not started", ()), kata(GROUPS, "failed", [evil] * 20), broken)
    )


@pytest.fixture(scope="module")
def reports(examiner, hostile, tmp_path_factory):
    stubs, mixed = (tmp_path_factory.mktemp(name) for name in ("stubs", "mixed"))
    for each in Catalog().katas:
        (stubs / f"{each.stem}.py").write_text(stub(each))
    shutil.copy(WRONG / GROUPS / "kv-heads-tiled.py", mixed / f"{GROUPS}.py")
    shutil.copy(ROOT / "solutions" / f"{ATTENTION}.py", mixed / f"{ATTENTION}.py")
    (mixed / f"{ONE_KV_HEAD}.py").write_text("def f(:\n")
    folders = {"right": ROOT / "solutions", "stubs": stubs, "mixed": mixed}
    graded = {name: examiner.grade(Catalog().stems, folder, asked=False) for name, folder in folders.items()}
    return {**graded, "hostile": hostile}


NAMES = ["right", "stubs", "mixed", "hostile"]


@pytest.mark.parametrize("name", NAMES)
def test_junit_is_valid_and_counts_right(reports, name):
    text = junit.junit(reports[name])
    xmlschema.XMLSchema(ROOT / "tests" / "engine" / "junit.xsd").validate(text)
    root = ElementTree.fromstring(text)
    assert int(root.get("tests")) == len(root.findall(".//testcase"))
    failing = int(root.get("failures")) + int(root.get("errors"))
    assert bool(failing) == any(result.outcome in ("failed", "broken") for result in reports[name].katas)


@pytest.mark.parametrize("name", NAMES)
def test_annotations_are_few_and_each_is_one_command(reports, name):
    lines = annotations.commands(reports[name])
    assert len(lines) <= 10
    for line in lines:
        assert line.startswith("::error file=problems/")
        assert not set(line) & set("\r\n\x00\x1b")
        assert line.count("::") - line.partition("title=")[2].partition("::")[2].count("::") == 2
    assert bool(lines) == (name in ("mixed", "hostile"))


def test_every_failing_kata_is_annotated_before_any_a_second_time(hostile):
    lines = annotations.commands(hostile)
    assert f"problems/{GROUPS}.py,line=3," in lines[0]
    assert f"problems/{ONE_KV_HEAD}.py,line=7," in lines[1]
    assert annotations.error("a:b,c.py", 1, "t", "50%\nx") == "::error file=a%3Ab%2Cc.py,line=1,title=t::50%25%0Ax"


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_holds_board_and_score_and_no_markup_of_a_learner(reports, name):
    text = markdown.markdown(reports[name], ["a note"])
    assert text.count("| problems/") + text.count("(`problems/") == len(reports[name].katas)
    assert "points" in text.splitlines()[0]
    assert "> a note" in text
    assert "<script>" not in text
    assert text.count("</pre>") == text.count("<pre>")
    assert not set(text) & set("\x00\x1b\r\ud800")


def test_the_summary_names_cause_and_first_difference(reports):
    text = markdown.markdown(reports["mixed"])
    first = next(result for result in reports["mixed"].katas if result.kata == GROUPS).first_failure
    for words in (
        f"### {GROUPS}: ",
        f"wanted  {first.wanted}",
        "cause   exactly what you get when",
        "SyntaxError",
        "more checks",
    ):
        assert words in text


def test_the_score_is_full_only_for_a_pass(reports):
    full = score.score(reports["right"])
    core = sum(each.points for each in Catalog().katas if each.track == "core")
    assert full["tracks"][0] == {"track": "core", "points": core, "max": core}
    assert all(each["points"] == 0 for each in score.score(reports["stubs"])["tracks"])
    for each in score.score(reports["mixed"])["katas"]:
        worth = sum(check["points"] for check in each["checks"])
        assert each["points"] == pytest.approx(worth, abs=0.01)
    more = kata(ATTENTION, "failed", [CheckResult(f"t{i}", "a rule", "passed") for i in range(99)])
    assert score.points(more) < Catalog()[ATTENTION].points


@pytest.mark.parametrize(("name", "color"), [("right", "brightgreen"), ("stubs", "lightgrey"), ("mixed", "red")])
def test_the_badge(reports, name, color):
    data = badge.endpoint(reports[name])
    assert data["color"] == color
    assert ElementTree.fromstring(badge.svg(reports[name])).get("aria-label") == f"katas: {data['message']}"
    passed = [replace(result, outcome="not started") for result in reports["right"].katas[1:]]
    some = replace(reports["right"], katas=(reports["right"].katas[0], *passed))
    assert badge.endpoint(some) == {
        "schemaVersion": 1,
        "label": "katas",
        "message": f"1/{SAME_TRACK}",
        "color": "yellow",
    }
