"""Looking into one's own code: prints, some of the checks, and the debugger."""

import json
import re
import sys

import pytest

from grading.catalog import ROOT
from tests.engine.katas import ATTENTION, GROUPS, HEADS
from tests.engine.terminals import Terminal, copied, grader

SOLUTION = (ROOT / "solutions" / f"{ATTENTION}.py").read_text(encoding="utf-8")
WRONG = SOLUTION.replace("math.sqrt(query.size(-1))", "math.sqrt(value.size(-1))")
PRINTING = WRONG.replace("    # scaled before", "    for i in range(30): print(i, 'y' * 90)\n    # scaled before")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("debug"))


def grade(copy, *arguments, text="", given=""):
    (copy / "problems" / f"{ATTENTION}.py").write_text(text, encoding="utf-8")
    return grader(copy, *arguments, given=given)


def test_what_was_printed_is_shown_wrapped_twenty_lines_of_it(copy):
    out = grade(copy, ATTENTION, text=PRINTING).stdout
    lines = [line for line in out.splitlines() if re.match(r" {5,}(printed)? *\|", line)]
    assert len(lines) == 21
    assert max(map(len, out.splitlines())) <= 100
    assert lines[-1].endswith("... 40 more lines: -v shows all")
    assert lines[0].split("| ")[1].startswith("0 yyy")
    assert "y" * 5 in lines[1].split("| ")[1]


def test_verbose_shows_all_that_was_printed(copy):
    assert "| 29 yyy" in grade(copy, ATTENTION, "-v", text=PRINTING).stdout


def test_what_the_last_check_printed_is_shown_though_all_pass(copy):
    out = grade(
        copy, ATTENTION, text=SOLUTION.replace("    # scaled before", "    print('seen', query.shape)\n    #")
    ).stdout
    assert "printed | seen torch.Size(" in out
    assert "All pass." in out


def test_some_checks_are_no_verdict_and_no_progress(copy):
    known = copy / ".kata" / "progress.json"
    before = known.read_bytes() if known.is_file() else None
    done = grade(copy, ATTENTION, "-k", "DTYPE", text=SOLUTION)
    assert done.returncode == 0
    assert re.search(rf"  - 1 {ATTENTION} .* (\d+)/\1 of \d+\n", done.stdout)
    assert 'Only the checks with "DTYPE" in their name or title ran: this is no verdict.' in done.stdout
    assert (known.read_bytes() if known.is_file() else None) == before
    report = json.loads(grade(copy, ATTENTION, "-k", "dtype", "--json", text=SOLUTION).stdout)
    assert report["only"] == "dtype"
    assert report["katas"][0]["left_out"] > 0
    assert all("dtype" in f"{check['name']} {check['title']}" for check in report["katas"][0]["checks"])


def test_the_name_of_a_check_runs_that_one(examiner):
    name = examiner.grade([ATTENTION], ROOT / "solutions").katas[0].checks[3].name
    assert [check.name for check in examiner.grade([ATTENTION], ROOT / "solutions", only=name).katas[0].checks] == [
        name
    ]


def test_no_check_with_that_word_is_said(copy):
    done = grade(copy, ATTENTION, "-k", "nonsense", text=SOLUTION)
    assert (done.returncode, done.stderr) == (2, "grader: no check has 'nonsense' in its name or title\n")


def test_the_debugger_stops_in_the_first_failing_check_and_shows_its_inputs(copy):
    checks = json.loads(grade(copy, ATTENTION, "--json", text=WRONG).stdout)["katas"][0]["checks"]
    title = next(check["title"] for check in checks if check["outcome"] == "failed")
    done = grade(copy, "--debug", ATTENTION, text=WRONG, given="p query.shape\nc\n")
    head, _, rest = done.stdout.partition("(debug) ")
    assert head.startswith(f"stops in: {title}\n")
    shape = re.search(r"query: Tensor \((.*)\) float64\n", head)
    assert "-> scores = (query / math.sqrt(value.size(-1)))" in head
    assert rest.startswith(f"torch.Size([{shape[1]}])\n")
    assert rest.count("(debug)") == 1, "it stops once"
    assert "cause" in rest


def test_the_debugger_stops_at_a_breakpoint_once(copy):
    text = WRONG.replace("    if mask is None:", "    breakpoint()\n    if mask is None:")
    done = grade(copy, "--debug", ATTENTION, text=text, given="p scores.shape\nc\n")
    assert re.search(r"scores: Tensor \(.*\) float64", done.stdout)
    assert done.stdout.count("(debug) ") == 2
    assert "--debug KATA does" in " ".join(grade(copy, ATTENTION, text=text).stdout.split())


def test_where_all_pass_the_last_check_is_stopped_in(copy):
    done = grade(copy, "--debug", ATTENTION, text=SOLUTION, given="c\n")
    assert done.stdout.startswith("All checks pass; stops in the last: ")
    assert done.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("keys", ["q\n", "\x03", "\x04"], ids=["q", "Ctrl-C", "Ctrl-D"])
def test_the_debugger_is_left_at_once(copy, keys):
    (copy / "problems" / f"{ATTENTION}.py").write_text(WRONG, encoding="utf-8")
    terminal = Terminal(copy, "--debug", ATTENTION)
    try:
        terminal.until("(debug) ")
        terminal.press(keys)
        assert terminal.finish() == 130
        assert "Traceback" not in terminal.text
        assert "(debug)" not in terminal.text
    finally:
        terminal.close()


def test_hints_can_be_read_again_and_the_last_says_so(copy):
    hints = [grade(copy, "hint", HEADS, text=SOLUTION).stdout for _ in range(4)]
    count = int(re.search(r"hint 1 of (\d)", hints[0])[1])
    assert "The next one: python grader.py hint" in hints[0]
    assert "That was the last hint." in hints[count - 1]
    assert grade(copy, "hint", HEADS, "1", text=SOLUTION).stdout == hints[0]
    refused = grade(copy, "hint", GROUPS, "3", text=SOLUTION)
    assert (refused.returncode, refused.stderr) == (2, f"grader: of the 3 hints of {GROUPS}, 0 were shown so far\n")


def test_next_names_no_hint_after_the_last(copy):
    assert f"next    python grader.py hint {ATTENTION}" in grade(copy, ATTENTION, text=WRONG).stdout
    for _ in range(3):
        grade(copy, "hint", ATTENTION, text=WRONG)
    assert re.search(r"next    python grader\.py read \w+#Scale\n", grade(copy, ATTENTION, text=WRONG).stdout)


def test_compare_is_a_difference_of_the_code_alone_with_nothing_cut():
    from grading.reports.compare import differences

    long = "x = 1  # " + "y" * 150
    shown = differences(
        f'"""Doc."""\ndef f(a):\n    """Doc\n    of f."""\n    {long}\n    return a\n', SOLUTION, 80
    ).plain
    assert "Doc" not in shown
    assert "Source:" not in shown
    assert shown.count("y") >= 150
    assert max(map(len, shown.splitlines())) <= 80
    assert "-     return a\n" in shown
    assert "+     return weights @ value  # (..., L, Ev)\n" in shown
    text = differences(SOLUTION, SOLUTION, 120)
    assert not text.style, "what both have is in nobody's colour"
    same = text.plain.split("\n\n", 1)[1]
    assert all(line.startswith("  ") for line in same.splitlines())


def test_after_the_last_kata_it_says_what_to_do_next(examiner):
    from grading.catalog import Catalog
    from grading.reports.terminal import summary
    from grading.texts import Texts

    report = examiner.grade(Catalog().stems, ROOT / "solutions")
    text = summary(report, Texts("en"))
    assert text.startswith("All pass. Compare with the reference")
    assert "python grader.py interview" in text
    assert "python grader.py due" in text
