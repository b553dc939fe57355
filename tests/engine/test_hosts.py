"""Where candidates come from: each host gives the same verdicts, and leaves nothing behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grading.candidate.fork import ForkHost
from grading.candidate.hosts import SpawnHost
from grading.candidate.in_process import DebugHost
from grading.candidate.limits import Limits
from grading.catalog import ROOT
from grading.examination.examiner import Examiner
from tests.engine.katas import ATTENTION, CACHED
from tests.engine.processes import forked, interruptible

SOLUTIONS = ROOT / "solutions"


@pytest.fixture
def spawning():
    """An examiner whose candidates are fresh processes, as on systems without fork."""
    host = SpawnHost(Limits(call_seconds=2.0))
    yield Examiner(host=host, limits=Limits(call_seconds=2.0))
    host.close()


def test_fresh_processes_give_the_same_verdicts(spawning, tmp_path):
    assert spawning.grade([ATTENTION], SOLUTIONS).katas[0].outcome == "passed"
    (tmp_path / f"{ATTENTION}.py").write_text(
        "def scaled_dot_product_attention(query, key, value, mask=None):\n    print('hello')\n    while True: pass\n"
    )
    result = spawning.grade([ATTENTION], tmp_path).katas[0]
    assert result.first_failure.message.startswith("stopped after 2 s")
    assert "hello" in result.first_failure.printed


def test_the_learners_process_refuses_there_too(spawning, tmp_path):
    source = (
        "import torch.nn.functional as F\n\n\ndef scaled_dot_product_attention(query, key, value, mask=None):\n"
        "    return F.scaled_dot_product_attention(query, key, value, mask)\n"
    )
    (tmp_path / f"{ATTENTION}.py").write_text(source)
    failed = spawning.grade([ATTENTION], tmp_path).katas[0].first_failure
    assert failed.kind == "forbidden"
    assert "F.scaled_dot_product_attention" in failed.message


def test_debugging_gives_the_same_verdicts():
    examiner = Examiner(host=DebugHost())
    assert examiner.grade([CACHED], SOLUTIONS).katas[0].outcome == "passed"


def children(pid: int) -> set[int]:
    """Living descendants of a process."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found |= {int(entry.name)} | children(int(entry.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_examiner_that_is_stopped_leaves_no_process(tmp_path, how):
    (tmp_path / f"{ATTENTION}.py").write_text("while True: pass\n")
    command = [sys.executable, str(ROOT / "grader.py"), "check", ATTENTION, "--problems", str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    examiner = subprocess.Popen(command, text=True, preexec_fn=interruptible, **pipes)
    deadline = time.monotonic() + 30
    while len(children(examiner.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    left = children(examiner.pid)
    assert len(left) == 2, "the server and a candidate"
    time.sleep(0.5)
    examiner.send_signal(how)
    _, errors = examiner.communicate(timeout=20)
    assert "Traceback" not in errors
    if how == signal.SIGINT:
        assert examiner.returncode == 130
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in left) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)


@pytest.mark.skipif(sys.platform != "linux", reason="candidates are forked on Linux only")
def test_of_two_hosts_in_a_process_the_earlier_may_be_closed_first():
    """A later fork server that held the earlier one's socket would keep it, and who closes it, waiting for ever."""

    def work():
        signal.alarm(20)
        first, second = ForkHost(Limits()), ForkHost(Limits())
        candidate = first.candidate()
        third = ForkHost(Limits())
        candidate.close()
        first.close()
        answered = [bool(host.candidate().fences) for host in (second, third)]
        second.close()
        third.close()
        return answered

    assert forked(work) == (["", [True, True]], 0)
