"""The verb `watch`, in a pseudo-terminal: keys, saves, restarts, and the terminal afterwards."""

import os
import signal
import subprocess
import sys
import time

import pytest

from grading.catalog import ROOT
from tests.engine.katas import ATTENTION, COUNT, MASKS, ONE_KV_HEAD, numbered
from tests.engine.sessions import HANGS, SOLUTION, WRONG, at_rest, begun, children, save, saves
from tests.engine.terminals import Terminal, copied


@pytest.fixture(scope="module")
def watching(tmp_path_factory):
    """One copy and one `watch` for the tests below, as in an afternoon: the examiner's start is paid once."""
    root = copied(tmp_path_factory.mktemp("watch"))
    terminal = begun(root)
    yield terminal, root
    terminal.close()


def test_a_save_gets_its_verdict(watching):
    terminal, root = watching
    save(root, WRONG)
    terminal.until("wanted", "cause", f"0/{COUNT}", f"problems/{ATTENTION}.py")
    save(root, SOLUTION)
    terminal.until("It passes", f"1/{COUNT}", "o compare")
    save(root, "def f(:\n")
    terminal.until(f"0/{COUNT}", "broken", f"problems/{ATTENTION}.py:1")


def test_the_keys(watching):
    terminal, root = watching
    save(root, SOLUTION + "\n\nUNUSED = (\n" + "    0,\n" * 30 + ")\n")
    terminal.until("It passes", f"1/{COUNT}")
    terminal.settle()  # or a late event of that save brings the verdict back
    terminal.press("o")
    terminal.until("- yours", "+ reference", "page 1 of")
    terminal.press(" ")
    terminal.until("page 2 of")
    terminal.press("l")
    terminal.until(f" ok {numbered(ATTENTION)}", f"  - {numbered(ONE_KV_HEAD)}")
    terminal.press("h")
    terminal.until("hint 1 of 3")
    terminal.press("h")
    terminal.until("hint 2 of 3")
    terminal.press("n")
    terminal.until(f"problems/{MASKS}.py", "Not started")
    terminal.press("c")
    terminal.until(f" ok {numbered(ATTENTION)}", f"{numbered(ONE_KV_HEAD)}", "not started")
    terminal.press("x")
    terminal.until("y/n")
    terminal.press("n")
    assert "y/n" not in terminal.settle()
    terminal.press("r")
    terminal.until(f"problems/{MASKS}.py", "Not started")


def test_reset_asks_and_keeps_what_was_there(watching):
    terminal, root = watching
    save(root, WRONG)
    terminal.until("wanted", f"problems/{ATTENTION}.py")
    terminal.press("x")
    terminal.until("y/n")
    terminal.press("y")
    terminal.until("Not started")
    kept = [path.read_text() for path in (root / ".kata" / "backups").iterdir()]
    assert WRONG in kept
    assert "raise NotImplementedError" in (root / "problems" / f"{ATTENTION}.py").read_text()


def test_a_save_ends_a_grade_that_hangs(watching):
    terminal, root = watching
    save(root, HANGS)
    terminal.until("grading ...")
    time.sleep(0.5)
    began = time.monotonic()
    save(root, SOLUTION)
    terminal.until("It passes", f"1/{COUNT}")
    assert time.monotonic() - began < 4  # a call may take 5 s before it is stopped


def test_deleted_and_undecodable_files_and_a_resize(watching):
    terminal, root = watching
    path = root / "problems" / f"{ATTENTION}.py"
    path.unlink()
    terminal.until("broken", f"0/{COUNT}")
    path.write_bytes(b"\xff\xfe\x00" * 10)
    terminal.until("broken")
    terminal.settle()
    terminal.resize(12, 40)
    assert "q quit" not in terminal.settle()  # cut at 40 columns, and nothing breaks
    terminal.resize(30, 100)
    terminal.until("q quit")
    save(root, SOLUTION)
    terminal.until("It passes")


def test_nothing_grows(watching):
    """Sixty saves, hangs among them: benchmarks/watching.py has five hundred."""
    terminal, root = watching
    saves(terminal, root, range(12))
    before = at_rest(terminal)
    saves(terminal, root, range(12, 60))
    after = at_rest(terminal)
    assert (after.descriptors, after.processes) == (before.descriptors, before.processes)
    assert after.memory - before.memory < 16


def test_a_save_in_the_middle_is_graded_last(watching):
    terminal, root = watching
    for i in range(12):
        save(root, (WRONG, SOLUTION)[i % 2] + f"# {i} again\n")
        time.sleep(0.03 * (i % 4))
    terminal.until("It passes", f"1/{COUNT}")
    assert "wanted" not in terminal.settle()


def test_ctrl_c_leaves_the_terminal_as_it_was(watching):
    terminal, _ = watching
    pid = terminal.process.pid
    below = children(pid)
    terminal.press("\x03")
    assert terminal.finish() == 0
    assert terminal.restored()
    assert not [child for child in below if os.path.exists(f"/proc/{child}")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_it_too(tmp_path, number):
    terminal = Terminal(copied(tmp_path), "watch")
    terminal.until("Not started", f"0/{COUNT}")
    terminal.process.send_signal(number)
    assert terminal.finish() == 0
    assert terminal.restored()
    terminal.close()


def test_files_are_looked_at_where_no_events_come(tmp_path, monkeypatch):
    from grading.practice.watch import saved_files

    asked = []

    def silent(self, polling):
        asked.append(polling)
        while not self._ended.wait(0.02):
            yield set()

    monkeypatch.setattr(saved_files.SavedFiles, "_changes", silent)
    seen, polls = [], []
    thread = saved_files.SavedFiles(tmp_path, seen.append, lambda: polls.append(1))
    thread.start()
    for i in range(3):
        (tmp_path / f"k{i}.py").write_text("x = 1\n")
        time.sleep(0.15)
    thread.stop()
    assert [{f"k{i}.py"} for i in range(3)] == seen
    assert (asked, polls) == ([None, True], [1])


def test_without_a_terminal_it_says_what_to_do():
    done = subprocess.run([sys.executable, "grader.py", "watch"], cwd=ROOT, capture_output=True, text=True, input="")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr


CUT = f"""
import threading, time
from pathlib import Path
from grading.catalog import Catalog
from grading.practice.watch.stoppable_examiner import StoppableExaminer

examiner = StoppableExaminer()
threading.Timer(1.5, examiner.stop).start()
began = time.monotonic()
report = examiner.grade_unless_stopped(list(Catalog().stems), Path("problems"))
print(report is None, time.monotonic() - began < 3.5)
again = examiner.grade_unless_stopped(["{ONE_KV_HEAD}"], Path("solutions"))
print(again.katas[0].outcome)
examiner.close()
"""


def test_a_check_of_all_katas_is_cut_short_in_the_first(tmp_path):
    """All candidates are there by then, and the one that hangs is not the newest."""
    root = copied(tmp_path)
    save(root, HANGS)
    done = subprocess.run([sys.executable, "-c", CUT], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "True", "passed"], done.stderr


def test_keys_pressed_while_it_starts_are_heeded_and_the_list_marks_what_fails(tmp_path):
    root = copied(tmp_path)
    save(root, WRONG)
    terminal = Terminal(root, "watch", ATTENTION)
    try:
        terminal.until("starting ...")
        terminal.press("v")
        shown = terminal.until("wanted", "q quit") + terminal.settle(1.0)
        assert shown.rfind("more fail") < shown.rfind("wanted"), "the last screen has every failure"
        terminal.press("l")
        terminal.until(f"  x {numbered(ATTENTION)}", f"  - {numbered(MASKS)}")
        terminal.press("q")
        assert terminal.finish() == 0
        assert terminal.restored()
    finally:
        terminal.close()
