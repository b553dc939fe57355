"""The screen: a pure function of the report, at every width."""

import pytest

from grading.records import Cause, CheckResult, KataResult, Report
from grading.reports import terminal
from tests.engine.katas import GROUPS, numbered

CALL = "GroupedQueryAttention(d_model=24, num_heads=6, num_kv_heads=2)(query (2, 5, 24), key (2, 7, 24))"


def check(title="each query head reads its own kv head", **fields):
    given = {
        "call": CALL,
        "wanted": "0 0 1 1",
        "got": "0 1 0 1",
        "where": f"problems/{GROUPS}.py:31",
        "message": "differs",
    }
    return CheckResult("test_x", title, "failed", **{**given, **fields})


def report(*checks, causes=(), outcome="failed", **fields):
    result = KataResult(
        GROUPS,
        "Grouped-query attention",
        f"problems/{GROUPS}.py",
        outcome,
        3,
        3 + len(checks),
        causes,
        checks,
        **fields,
    )
    return Report(1, ("process",), 0.1, (result,))


@pytest.mark.parametrize("width", range(40, 121, 8))
def test_no_line_is_wider_than_the_screen(width):
    causes = (Cause("a", "kv heads are tiled instead of repeated in place, which is a long story", f"{GROUPS}.ipynb"),)
    for shown in (
        report(check(), check("another rule " * 9), causes=causes),
        report(check(wanted="x .\nx x", got="x x\nx x"), check(printed="word " * 50)),
        report(outcome="broken", message="SyntaxError: '(' was never closed " * 3, where=f"problems/{GROUPS}.py:3"),
    ):
        for verbose in (False, True):
            lines = terminal.report(shown, width, verbose).plain.splitlines()
            assert max(map(len, lines)) <= width
            assert len(lines) > 3


def test_masks_stand_side_by_side():
    text = terminal.report(report(check(wanted="x .\nx x", got="x x\nx x")), 80).plain
    assert "     wanted  x .       got  x x\n             x x            x x\n" in text


def test_causes_that_each_suffice_are_joined_by_or_and_pairs_by_and():
    causes = (Cause("a", "A", "", 0), Cause("b", "B", "", 0), Cause("c", "C", "", 1))
    assert terminal.cause_text(causes) == "A; and B; or when C"


def test_a_learners_words_cannot_move_the_cursor_or_forge_a_line():
    shown = report(check(got="\x1b[2J ok\r", printed=f"\x1b]0;title\x07\n  ok {numbered(GROUPS)}  70/70\n"))
    text = terminal.report(shown, 80).plain
    assert "\x1b" not in text
    assert "\r" not in text
    assert "| " in next(line for line in text.splitlines() if "70/70" in line)
