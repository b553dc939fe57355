"""What differs from system to system, as far as one can show it: nothing here needs fork or a POSIX terminal."""

import ctypes
import os
import queue
import subprocess
import sys
import types

import pytest

from grading.candidate.hosts import SpawnHost
from grading.candidate.limits import Limits
from grading.catalog import ROOT, Catalog
from grading.examination.examiner import Examiner
from grading.practice.watch import keys
from grading.stubs import stub

FIRST = Catalog().katas[0]
RIGHT = FIRST.solution.read_text(encoding="utf-8")


def run(*command, **environment):
    """A program in the repository; its output is decoded as it says."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        timeout=120,
    )


# ------------------------------------------------------------------------------------------------- candidates


@pytest.fixture(scope="module")
def spawning():
    """An examiner whose candidates are fresh processes."""
    host = SpawnHost(Limits())
    yield Examiner(host=host)
    host.close()


def outcome(examiner, folder, data):
    (folder / f"{FIRST.stem}.py").write_bytes(data)
    return examiner.grade([FIRST.stem], folder).katas[0].outcome


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_a_file_of_another_systems_editor_is_graded_as_any_other(spawning, tmp_path, mark):
    assert outcome(spawning, tmp_path, mark + RIGHT.replace("\n", "\r\n").encode()) == "passed"


def test_an_untouched_stub_with_other_line_ends_is_not_started(spawning, tmp_path):
    assert outcome(spawning, tmp_path, stub(FIRST).replace("\n", "\r\n").encode()) == "not started"


def test_fresh_processes_start_ahead_and_those_that_nobody_asked_for_end(monkeypatch):
    monkeypatch.setattr("grading.candidate.hosts.os.cpu_count", lambda: 4)
    host = SpawnHost(Limits())
    host.expect(3)
    started = [one.process for one in host.started]
    assert len(started) == 2, "half of the cores"
    host.candidate().close()
    assert len(host.started) == 1
    host.close()
    assert all(process.poll() is not None for process in started)


WITHOUT = """
import sys
import torch
from grading.candidate import hosts

for name in ("fcntl", "termios", "resource", "pty", "tty"):
    sys.modules[name] = None
hosts.ForkHost = hosts.SpawnHost
from grading.cli import main

sys.exit(main(sys.argv[1:]))
"""


def test_nothing_of_posix_is_needed_for_a_grade():
    done = run("-c", WITHOUT, "check", FIRST.stem, "--problems", "solutions")
    assert done.returncode == 0, done.stderr
    assert FIRST.title in done.stdout


@pytest.mark.parametrize("words", [["watch"], ["status"], ["--help"]], ids=" ".join)
def test_nor_to_begin_with_the_others(words):
    done = run("-c", WITHOUT, *words)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if words == ["watch"] else 0), "watch says that it needs a terminal"


# ------------------------------------------------------------------------------------------------------- output


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_chinese_is_spoken_to_in_english(encoding):
    done = run("grader.py", "list", KATA_LANG="zh", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert FIRST.title in done.stdout
    assert "in English" in done.stderr


def test_no_letter_of_a_learners_file_stops_a_report(tmp_path):
    (tmp_path / f"{FIRST.stem}.py").write_text("raise ValueError('\u9519\u8bef \U0001f600')\n", encoding="utf-8")
    done = run("grader.py", FIRST.stem, "--problems", str(tmp_path), PYTHONIOENCODING="ascii")
    assert done.returncode == 1, done.stderr
    assert "ValueError" in done.stdout


# --------------------------------------------------------------------------------------------------------- keys


class Kernel:
    """The two functions of Windows that give and set a console's mode."""

    def __init__(self):
        self.mode = 0x1F7

    def GetStdHandle(self, number):
        return number

    def GetConsoleMode(self, handle, pointer):
        pointer._obj.value = self.mode

    def SetConsoleMode(self, handle, mode):
        self.mode = mode


@pytest.fixture
def console(monkeypatch):
    """A console of Windows: its kernel, and a queue of what is typed."""
    kernel, typed = Kernel(), queue.Queue()
    module = types.ModuleType("msvcrt")
    module.kbhit = lambda: not typed.empty()
    module.getwch = typed.get
    monkeypatch.setitem(sys.modules, "msvcrt", module)
    monkeypatch.setattr(ctypes, "windll", types.SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(keys, "terminal", keys.Console)
    return kernel, typed


def test_the_keys_of_a_windows_console(console):
    kernel, typed = console
    pressed = queue.Queue()
    with keys.Keys(pressed.put):
        assert not kernel.mode & keys.Console.PROCESSED, "Ctrl-C has to come as a key"
        for each in ("H", "\r", "\xe0", "Q", "\x00", "P", "\x03"):
            typed.put(each)
        assert [pressed.get(timeout=5) for _ in range(5)] == ["h", "\n", " ", " ", keys.END]
    assert kernel.mode == 0x1F7


def test_after_the_last_key_what_is_typed_is_left_for_others(console):
    _, typed = console
    with keys.Keys(queue.Queue().put):
        pass
    typed.put("y")
    assert typed.get(timeout=1) == "y"
