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
from grading.cli import main
from grading.practice.interview import drill, interview
from grading.practice.interview.workspace import Work
from grading.practice.progress import history, review
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, EASY, GOOD, HARD, Answer, Attempt, Entry, rate
from grading.practice.progress.store import VERSION
from grading.records import Cause, KataResult, Report
from grading.texts import Texts
from tests.engine.katas import ATTENTION, GROUPS, HEADS, numbered
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
    assert json.loads(progress.file.read_text())["version"] == VERSION
    assert not list(progress.folder.glob("*.damaged*"))


def test_version_2_called_the_attempt_under_way_go(progress):
    progress.folder.mkdir()
    katas = {GROUPS: {"attempts": 2, "go": {"began": 1.0, "runs": 2}}}
    ended = {"ended": 5.0, "katas": {HEADS: {"go": None}}}
    progress.file.write_text(json.dumps({"version": 2, "katas": katas, "reviews": {}, "rounds": [ended]}))
    assert progress.kata(GROUPS).attempt == {"began": 1.0, "runs": 2}
    assert progress.rounds()[0]["katas"] == {HEADS: {"attempt": None}}
    assert not list(progress.folder.glob("*.damaged*"))


PASSED = {"at": 50.0, "rating": 2, "seconds": 600.0, "runs": 4, "hints": 2, "revealed": False}
PASSED |= {"causes": {"kv-heads-tiled": "kv heads are tiled"}, "explains": {"kv-heads-tiled": 71}}
KNOWN = {"hints": 1, "attempts": 5, "passes": 2, "first_pass": 50.0, "best_seconds": 600.0, "hints_used": 2}
KNOWN |= {"outcome": "passed", "digest": "a", "cell_outcome": "failed", "cell_digest": "b"}
KNOWN |= {"causes": {"kv-heads-tiled": 2}, "sentences": {"kv-heads-tiled": "x"}, "explains": {"kv-heads-tiled": 71}}
UNDER_WAY = {"seconds": 9.0, "runs": 2, "hints": 1, "revealed": True, "causes": {}, "explains": {}}
UNDER_WAY |= {"began": 60.0, "last": 69.0}


@pytest.mark.parametrize("version", [2, 3])
def test_nothing_that_an_earlier_version_recorded_is_lost(progress, version):
    attempt = "go" if version == 2 else "attempt"
    katas = {GROUPS: KNOWN | {"cells": 3, attempt: UNDER_WAY}, HEADS: KNOWN | {"cells": 0, attempt: None}}
    reviews = {GROUPS: [PASSED | {"cell": True}, PASSED | {"at": 20.0, "cell": False}], HEADS: [PASSED | {"at": 30.0}]}
    rounds = [{"ended": 40.0, "katas": {GROUPS: KNOWN | {"cells": 1, attempt: None}}}]
    progress.folder.mkdir()
    old = {"version": version, "katas": katas, "reviews": reviews, "rounds": rounds}
    progress.file.write_text(json.dumps(old))
    progress.set_hints(HEADS, 1)  # as many as were shown: it is written, and nothing else changes
    progress.answered("key", Answer(1.0, GOOD, 2.0))
    data = json.loads(progress.file.read_text())
    assert data["version"] == VERSION
    assert data["katas"] == {
        GROUPS: KNOWN | {"elsewhere": {"cell": 3}, "attempt": UNDER_WAY},
        HEADS: KNOWN | {"elsewhere": {}, "attempt": None},
    }
    assert data["rounds"] == [{"ended": 40.0, "katas": {GROUPS: KNOWN | {"elsewhere": {"cell": 1}, "attempt": None}}}]
    passes = [(entry.at, entry.kata, entry.kind, entry.passed) for entry in progress.history()]
    assert passes == [(20.0, GROUPS, "file", True), (30.0, HEADS, "file", True), (50.0, GROUPS, "cell", True)]
    for entry in progress.history():
        kept = {name: getattr(entry, name) for name in PASSED}
        assert kept == PASSED | {"at": entry.at}
    assert not list(progress.folder.glob("*.damaged*"))


def test_processes_that_record_at_once_lose_nothing(tmp_path):
    code = """
import sys
from pathlib import Path
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import Answer
progress = Progress(Path(sys.argv[1]))
for number in range(25):
    progress.answered(sys.argv[2], Answer(float(number), 3, 1.0))
    progress.set_hints(sys.argv[2], number)
"""
    names = [f"writer-{number}" for number in range(4)]
    command = [sys.executable, "-c", code, str(tmp_path)]
    writers = [subprocess.Popen([*command, name], cwd=ROOT) for name in names]
    assert [writer.wait(60) for writer in writers] == [0] * len(names)
    found = Progress(tmp_path)
    assert {key: len(given) for key, given in found.answers().items()} == dict.fromkeys(names, 25)
    assert [found.hints(name) for name in names] == [24] * len(names)


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
        '{"version": 3, "katas": {}, "reviews": {"x": [3]}, "rounds": []}',
        '{"version": 3, "katas": {}, "reviews": {"x": 3}, "rounds": []}',
        '{"version": 4, "katas": {}, "history": [], "answers": {"x": [{}]}, "goal": null, "rounds": []}',
        '{"version": 4, "katas": {}, "history": [], "answers": {}, "goal": 3, "rounds": []}',
    ],
    ids=range(16),
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
    assert f"Round 1: {Texts('en').passed([Catalog()[ATTENTION]])}\n" in shown
    assert re.search(rf"{numbered(ATTENTION)} +1  \d{{4}}-\d\d-\d\d +- +0\n", shown), shown
    assert f"Next: {ATTENTION}, " in grader(copy, "due").stdout
    assert "round 2" in grader(copy, "reset", "--all").stdout
    shown = grader(copy, "status").stdout
    assert f"Round 2: {Texts('en').passed([])}\n" in shown
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
    assert rate(attempt, 25) == rating


def test_the_worse_it_went_the_sooner_it_is_due():
    waits = [review.due_at([Entry(GROUPS, 0.0, rating=rating)]) / DAY for rating in (AGAIN, HARD, GOOD, EASY)]
    assert waits == sorted(waits)
    assert 0.9 < waits[0] < 1.1
    assert waits[3] > 5
    twice = review.due_at([Entry(GROUPS, at, rating=GOOD) for at in (0.0, 3 * DAY)]) - 3 * DAY
    assert twice / DAY > waits[2]


def test_due_says_why(progress):
    causes = {"kv-heads-tiled": "kv heads are tiled"}
    last = Entry(GROUPS, 0.0, rating=HARD, seconds=600.0, runs=4, hints=2, causes=causes)
    due = review.Due(Catalog()[GROUPS], 5 * DAY, last)
    assert review.reason(due, 9 * DAY) == f"{GROUPS}: 9 days ago, on the way: kv heads are tiled, 2 hints"
    easy = review.Due(Catalog()[HEADS], 5 * DAY, Entry(HEADS, 0.0, rating=EASY))
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
    for action in ("run", "finish", "drop"):
        assert grader(copy, "interview", action).returncode == 2
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
    # it counts as a grade of the file does, and what was written can be compared
    assert re.search(rf"in interviews: .*{ATTENTION} \(2\)", grader(copy, "status").stdout)
    assert re.search(rf"ok  \d{{4}}-.* {ATTENTION} +interview +0:\d\d +2 +0\n    ", grader(copy, "history").stdout)
    compared = grader(copy, "compare", ATTENTION)
    assert compared.returncode == 0, compared.stdout


def test_a_second_interview_does_not_end_the_first(copy):
    assert grader(copy, "interview", "start", HEADS).returncode == 0
    for words in (["start", GROUPS], ["start", HEADS], [GROUPS]):
        refused = grader(copy, "interview", *words)
        assert refused.returncode == 2
        assert re.search(r"an interview is under way since \d{4}-\S+ \d\d:\d\d: Multi-head", refused.stderr)
    assert "checks pass" in grader(copy, "interview", "run").stdout
    assert grader(copy, "interview", "drop").stdout.startswith("Given up: Multi-head")
    assert re.search(rf"x   \d{{4}}-.* {HEADS} +interview +0:\d\d +1 ", grader(copy, "history", HEADS).stdout)
    assert [each.rating for each in Progress(copy / ".kata").reviews(HEADS)] == [AGAIN]
    assert grader(copy, "interview", "finish").returncode == 2


def test_the_card_says_what_went_over_time():
    work = Work(ATTENTION, 1000.0, 10.0, runs=3, first_run=1300.0, passed=4, expected=49, missed=[*"abcde"])
    card = interview.card(work, ended=1660.0)
    for row in ("11:00 of 10:00, 1:00 over", "after 5:00", "not green after 3", "4 of 49", "none named"):
        assert row in card
    assert "missed first a; b; c; 2 more" in " ".join(card.split())


def test_an_interview_on_a_terminal(copy):
    terminal = Terminal(copy, "interview", ATTENTION, "--minutes", "5")
    terminal.until("left   r run")
    (copy / ".kata" / "interview" / f"{ATTENTION}.py").write_text((copy / "solutions" / f"{ATTENTION}.py").read_text())
    terminal.press("r")
    terminal.until("checks pass", "left   r run")
    terminal.press("f")
    text = terminal.until("runs to green  1", "1/5 ", "Enter shows")
    assert "2/5 " not in text
    for number in range(2, 7):
        terminal.press("\n")
        terminal.until("Red flag: ", "y knew it")
        terminal.press("h\n")
        terminal.until("Enter shows" if number < 6 else "", f"{number}/5 " if number < 6 else "")
    assert terminal.finish() == 0
    terminal.close()
    assert len(Progress(copy / ".kata").answers()) == 5


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
    assert re.search(rf"in drills: {GROUPS} \(2\)", grader(copy, "status").stdout)
    assert re.search(rf"ok  \d{{4}}-.* {GROUPS} +drill +0:\d\d +2 ", grader(copy, "history", GROUPS).stdout)


def test_a_drill_that_another_follows_is_in_the_history(copy):
    grader(copy, "drill", HEADS, "--seed", "1")
    assert "Given up: the drill before, Multi-head" in grader(copy, "drill", GROUPS, "--seed", "1").stdout
    assert re.search(rf"x   \d{{4}}-.* {HEADS} +drill ", grader(copy, "history", HEADS).stdout)


def test_to_mend_a_drill_is_a_review_and_no_pass(progress):
    for runs, rating in ((1, GOOD), (3, GOOD), (4, HARD)):
        work = Work(GROUPS, 10.0, runs=runs, green=20.0, first_run=15.0)
        entry = work.entry("drill", 30.0)
        assert (entry.rating, entry.seconds, entry.first_run, entry.passed) == (rating, 10.0, 5.0, True)
    assert Work(GROUPS, 10.0, runs=1).entry("drill", 30.0).rating == 0
    progress.ended(entry)
    assert (progress.kata(GROUPS).passes, progress.kata(GROUPS).attempts) == (0, 4)
    assert [each.rating for each in progress.reviews(GROUPS)] == [HARD]


def test_history_says_whether_it_gets_better(progress):
    minutes = Catalog()[GROUPS].minutes * 60.0
    entries = [
        Entry(GROUPS, float(at), seconds=share * minutes, runs=9 - at) for at, share in enumerate((2, 1, 1, 0.5))
    ]
    first, last = history.trend([*entries, Entry(GROUPS, 9.0, "drill", seconds=1.0)])
    assert first.startswith(f"{GROUPS}: ")
    assert first.endswith("; runs 9 -> 8 -> 7 -> 6")
    assert last.startswith("The last 2 took 75% of the minutes")
    assert "the 2 before them 150%" in last
    assert history.trend(entries[:1]) == []


def test_an_attempt_under_way_is_in_the_history(progress, graded, monkeypatch, capsys):
    monkeypatch.setattr(history, "Progress", lambda: progress)
    assert main(["history"]) == 0
    assert capsys.readouterr().out == "Nothing has been done yet.\n"
    progress.record(graded("failed", "one", TILED), now=1300.0)
    main(["history"])
    assert re.search(rf"\n\.\.  .*{GROUPS} +file +0:00 +1 +0\n    kv heads are tiled", capsys.readouterr().out)


def test_comments_go_and_the_code_stays():
    source = '"""Why."""\n# cause: x\nimport math  # y\n\n\ndef f():\n    """Doc # no."""\n    # z\n    return "#"\n'
    assert drill.bare(source) == 'import math\n\n\ndef f():\n    """Doc # no."""\n    return "#"\n'


def test_changed_lines_are_counted_once():
    assert drill.changed("a\nb\nc\n", "a\nB\nc\n") == 1
    assert drill.changed("a\nb\n", "a\nb\nc\nd\n") == 2
    assert drill.changed("a\nb\n", "a\n") == 1
