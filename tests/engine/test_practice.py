"""Progress, reviews, interview and drill: what is remembered, and what is said about it."""

import json
import re
import signal
import subprocess
import sys
import termios
import time

import pytest

from grading.catalog import ROOT, Catalog
from grading.practice.interview import drill, interview
from grading.practice.interview.workspace import Work
from grading.practice.progress import review
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, EASY, GOOD, HARD, Attempt, Review, rate
from grading.records import Cause, KataResult, Report
from tests.engine.katas import ATTENTION, COUNT, GROUPS, HEADS, numbered
from tests.engine.terminals import Terminal, copied, grader

TILED = Cause("kv-heads-tiled", "kv heads are tiled", f"{GROUPS}.ipynb")
DAY = 86400.0


@pytest.fixture
def progress(tmp_path):
    return Progress(tmp_path / ".kata")


@pytest.fixture
def graded(tmp_path):
    """graded(outcome, text): a report on a file that holds this text."""

    def report(outcome, text, *causes):
        file = tmp_path / f"{GROUPS}.py"
        file.write_text(text)
        return Report(1, (), 0.1, (KataResult(GROUPS, "", str(file), outcome, 0, 1, causes),))

    return report


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("practice"))


# ------------------------------------------------------------------------------------------------- progress


def test_a_go_ends_with_a_pass_and_becomes_a_review(progress, graded):
    progress.record(graded("not started", "stub"), now=1000.0)
    progress.record(graded("failed", "one", TILED), now=1300.0)
    progress.set_hints(GROUPS, 2)
    progress.record(graded("passed", "two"), now=1600.0)
    record, (review,) = progress.kata(GROUPS), progress.reviews(GROUPS)
    assert (record.attempts, record.passes, record.first_pass, record.best_seconds) == (2, 1, 1600.0, 600.0)
    assert (record.causes, record.hints_used, record.attempt) == ({"kv-heads-tiled": 1}, 2, None)
    assert (review.rating, review.runs, review.hints, review.seconds) == (HARD, 2, 2, 600.0)
    assert review.causes == {"kv-heads-tiled": "kv heads are tiled"}


def test_the_same_file_graded_again_counts_once(progress, graded):
    for now in (1.0, 2.0, 3.0):
        progress.record(graded("failed", "same"), now=now)
    assert progress.kata(GROUPS).attempts == 1


def test_mending_what_passed_is_no_review_and_a_fresh_stub_is(progress, graded):
    progress.record(graded("passed", "one"), now=1.0)
    progress.record(graded("failed", "two"), now=2.0)
    progress.record(graded("passed", "three"), now=3.0)
    assert len(progress.reviews(GROUPS)) == 1
    progress.set_hints(GROUPS, 3)
    progress.fresh(GROUPS, now=10.0)
    assert progress.hints(GROUPS) == 0
    progress.record(graded("passed", "four"), now=70.0)
    assert [each.seconds for each in progress.reviews(GROUPS)] == [0.0, 60.0]


def test_a_night_is_no_work(progress, graded):
    progress.record(graded("failed", "one"), now=1000.0)
    progress.record(graded("passed", "two"), now=1000.0 + DAY)
    assert progress.kata(GROUPS).best_seconds == 1800.0


def test_a_new_round_keeps_the_history(progress, graded):
    assert progress.new_round() == 1
    progress.record(graded("passed", "one"), now=1.0)
    assert progress.new_round(now=5.0) == 2
    assert progress.new_round(now=6.0) == 2
    (ended,) = progress.rounds()
    assert (ended["ended"], ended["katas"][GROUPS]["passes"]) == (5.0, 1)
    assert progress.kata(GROUPS).attempts == 0
    assert len(progress.reviews(GROUPS)) == 1


def test_version_1_is_read_and_written_as_today(progress):
    progress.folder.mkdir()
    progress.file.write_text(f'{{"version": 1, "hints": {{"{HEADS}": 2}}}}')
    assert progress.hints(HEADS) == 2
    progress.set_hints(HEADS, 3)
    assert json.loads(progress.file.read_text())["version"] == 3
    assert not list(progress.folder.glob("*.damaged*"))


def test_version_2_called_the_attempt_under_way_go(progress):
    progress.folder.mkdir()
    katas = {GROUPS: {"attempts": 2, "go": {"began": 1.0, "runs": 2}}}
    ended = {"ended": 5.0, "katas": {HEADS: {"go": None}}}
    progress.file.write_text(json.dumps({"version": 2, "katas": katas, "reviews": {}, "rounds": [ended]}))
    assert progress.kata(GROUPS).attempt == {"began": 1.0, "runs": 2}
    assert progress.rounds()[0]["katas"] == {HEADS: {"attempt": None}}
    assert not list(progress.folder.glob("*.damaged*"))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "\x00",
        '{"version": 9}',
        '{"version": 1, "hints": 3}',
        "[" * 100000,
        f'{{"version": 2, "katas": {{"{GROUPS}": {{"attempts": "many"}}}}, "reviews": {{}}, "rounds": []}}',
        f'{{"version": 3, "katas": {{"{GROUPS}": {{"attempt": {{"runs": true}}}}}}, "reviews": {{}}, "rounds": []}}',
        f'{{"version": 2, "katas": {{"{GROUPS}": {{"go": {{"runs": true}}}}}}, "reviews": {{}}, "rounds": []}}',
        f'{{"version": 2, "katas": {{"{GROUPS}": 3}}, "reviews": {{}}, "rounds": 3}}',
        f'{{"version": 2, "katas": {{}}, "reviews": {{"{GROUPS}": [{{"rating": 3}}]}}, "rounds": []}}',
        '{"version": 2, "katas": {}, "reviews": {}, "rounds": [3]}',
    ],
    ids=range(12),
)
def test_a_damaged_file_is_set_aside_with_a_message(progress, capsys, text):
    progress.folder.mkdir()
    for name in ("progress.damaged", "progress.damaged-2"):
        progress.file.write_text(text)
        assert progress.hints(HEADS) == 0
        assert (progress.folder / name).read_text() == text
        assert name in capsys.readouterr().err


def test_a_write_that_fails_does_not_break_the_grade(tmp_path, graded, capsys):
    (tmp_path / "file").write_text("")
    Progress(tmp_path / "file" / ".kata").record(graded("passed", "one"))
    assert "could not be written" in capsys.readouterr().err


def test_a_grade_is_recorded_and_status_shows_it(copy):
    (copy / "problems" / f"{ATTENTION}.py").write_text((copy / "solutions" / f"{ATTENTION}.py").read_text())
    assert grader(copy, ATTENTION).returncode == 0
    grader(copy, ATTENTION, "--problems", "solutions")
    shown = grader(copy, "status").stdout
    assert f"Round 1: 1 of {COUNT} katas passed" in shown
    assert re.search(rf"{numbered(ATTENTION)} +1  \d{{4}}-\d\d-\d\d +- +0\n", shown), shown
    assert f"Next: {ATTENTION}, " in grader(copy, "due").stdout
    assert "round 2" in grader(copy, "reset", "--all").stdout
    shown = grader(copy, "status").stdout
    assert f"Round 2: 0 of {COUNT}" in shown
    assert f"passed {ATTENTION}" in shown


def test_a_grade_does_not_import_what_only_due_needs():
    code = "import sys; import grading.cli; print(sorted({'fsrs', 'watchfiles', 'rich', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n"


# -------------------------------------------------------------------------------------------------- reviews


@pytest.mark.parametrize(
    ("attempt", "rating"),
    [
        (Attempt(runs=1, seconds=300), EASY),
        (Attempt(runs=3, seconds=300), GOOD),
        (Attempt(runs=1, seconds=1200), GOOD),
        (Attempt(runs=1, seconds=300, causes={"a": "b"}), GOOD),
        (Attempt(runs=9, seconds=300), HARD),
        (Attempt(runs=1, seconds=4000), HARD),
        (Attempt(runs=1, seconds=300, hints=1), HARD),
        (Attempt(runs=1, seconds=300, hints=1, revealed=True), AGAIN),
    ],
)
def test_a_pass_is_rated_by_what_happened(attempt, rating):
    assert rate(attempt, 25, 0.0).rating == rating


def test_the_worse_it_went_the_sooner_it_is_due():
    waits = [review.due_at([Review(0.0, rating)]) / DAY for rating in (AGAIN, HARD, GOOD, EASY)]
    assert waits == sorted(waits)
    assert 0.9 < waits[0] < 1.1
    assert waits[3] > 5
    twice = review.due_at([Review(0.0, GOOD), Review(3 * DAY, GOOD)]) - 3 * DAY
    assert twice / DAY > waits[2]


def test_due_says_why(progress):
    last = Review(0.0, HARD, seconds=600.0, runs=4, hints=2, causes={"kv-heads-tiled": "kv heads are tiled"})
    due = review.Due(Catalog()[GROUPS], 5 * DAY, last)
    assert review.reason(due, 9 * DAY) == f"{GROUPS}: 9 days ago, on the way: kv heads are tiled, 2 hints"
    easy = review.Due(Catalog()[HEADS], 5 * DAY, Review(0.0, EASY))
    assert review.reason(easy, 1.5 * DAY) == f"{HEADS}: yesterday, it went easily"


def test_due_lists_what_is_due(copy):
    entry = {"at": time.time() - 30 * DAY, "rating": 3, "causes": {"kv-heads-tiled": "kv heads are tiled"}}
    data = {"version": 2, "katas": {}, "reviews": {GROUPS: [entry]}, "rounds": []}
    (copy / ".kata").mkdir(exist_ok=True)
    (copy / ".kata" / "progress.json").write_text(json.dumps(data))
    shown = grader(copy, "due").stdout
    assert shown.startswith(f"{GROUPS}: 30 days ago, on the way: kv heads are tiled\n")
    assert f"python grader.py reset {GROUPS}" in shown


# ------------------------------------------------------------------------------------------------ interview


def test_an_interview_in_steps(copy):
    assert grader(copy, "interview", "finish").returncode == 2
    started = grader(copy, "interview", "start", ATTENTION, "--minutes", "5")
    assert started.returncode == 0
    assert "5 minutes" in started.stdout
    file = copy / ".kata" / "interview" / f"{ATTENTION}.py"
    assert "TODO" not in file.read_text()
    solution = (copy / "solutions" / f"{ATTENTION}.py").read_text()
    file.write_text(solution.replace("/ math", "* math"))
    run = grader(copy, "interview", "run")
    assert run.returncode == 1
    assert "checks pass" in run.stdout
    assert "exactly what you get" not in run.stdout
    file.write_text(solution)
    done = grader(copy, "interview", "finish")
    assert done.returncode == 0, done.stderr
    for row in (r"time +0:\d\d of 5:00", r"first run +after 0:\d\d", r"runs to green +2", r"mistakes +\w+ \w+"):
        assert re.search(row, done.stdout), row
    assert done.stdout.count("\n1. ") == done.stdout.count("\n5. ") == 2
    assert grader(copy, "interview", "run").returncode == 2


def test_the_card_says_what_went_over_time():
    work = Work(ATTENTION, 1000.0, 10.0, runs=3, first_run=1300.0)
    card = interview.card(work, KataResult(ATTENTION, "", "", "failed", 4, 49), ended=1660.0)
    for row in ("11:00 of 10:00, 1:00 over", "after 5:00", "not green after 3", "4 of 49", "none named"):
        assert row in card


def test_an_interview_on_a_terminal(copy):
    terminal = Terminal(copy, "interview", ATTENTION, "--minutes", "5")
    terminal.until("left   r run")
    (copy / ".kata" / "interview" / f"{ATTENTION}.py").write_text((copy / "solutions" / f"{ATTENTION}.py").read_text())
    terminal.press("r")
    terminal.until("checks pass", "left   r run")
    terminal.press("f")
    text = terminal.until("runs to green  1", "1. ")
    assert "2. " not in text
    for number in range(1, 6):
        terminal.press("\n")
        terminal.until("   ", f"{number + 1}. " if number < 5 else "")
    assert terminal.finish() == 0
    terminal.close()


def test_a_signal_leaves_an_interview_under_way_and_the_terminal_as_it_was(copy):
    terminal = Terminal(copy, "interview", ATTENTION, "--minutes", "5")
    terminal.until("left   r run")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.finish() == 1
    assert termios.tcgetattr(terminal.slave) == terminal.before
    terminal.close()
    assert grader(copy, "interview", "finish").returncode == 1


# ---------------------------------------------------------------------------------------------------- drill


def test_a_drill(copy):
    assert grader(copy, "drill", "check").returncode == 2
    assert grader(copy, "drill", GROUPS, "--seed", "1").returncode == 0
    file = copy / ".kata" / "drill" / f"{GROUPS}.py"
    given = file.read_text()
    assert "#" not in given
    failed = grader(copy, "drill", "check")
    assert failed.returncode == 1
    assert "cause  " not in failed.stdout
    file.write_text((copy / "solutions" / f"{GROUPS}.py").read_text())
    mended = grader(copy, "drill", "check")
    assert mended.returncode == 0
    for row in ("mistake", "time ", "runs           2", "lines changed"):
        assert row in mended.stdout


def test_comments_go_and_the_code_stays():
    source = '"""Why."""\n# cause: x\nimport math  # y\n\n\ndef f():\n    """Doc # no."""\n    # z\n    return "#"\n'
    assert drill.bare(source) == 'import math\n\n\ndef f():\n    """Doc # no."""\n    return "#"\n'


def test_changed_lines_are_counted_once():
    assert drill.changed("a\nb\nc\n", "a\nB\nc\n") == 1
    assert drill.changed("a\nb\n", "a\nb\nc\nd\n") == 2
    assert drill.changed("a\nb\n", "a\n") == 1
