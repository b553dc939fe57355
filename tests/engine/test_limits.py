"""What a candidate may use at most: each limit alone, on and off, in a process of its own."""

import mmap
import os
import signal
import sys
import tempfile
import threading
from dataclasses import replace

import pytest
import torch

from grading.candidate.limits import MIB, Limits, apply
from tests.engine.processes import forked

resource = pytest.importorskip("resource", reason="this system has no such limits")

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the size of the process is known from /proc only")
FREE = Limits(cpu_seconds=600, memory_bytes=1 << 40, file_bytes=1 << 40, open_files=4096, new_tasks=1 << 20)


def under(limits, work):
    def limited():
        apply(limits)
        return work()

    return forked(limited)


def write_a_file():
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 65536)
        file.flush()


def open_many():
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(100)]
    return len(descriptors)


SMALL = 64 * MIB
HOGS = {
    "a large tensor": (replace(FREE, memory_bytes=SMALL), lambda: torch.ones(256 * MIB, dtype=torch.uint8).numel()),
    "a large bytearray": (replace(FREE, memory_bytes=SMALL), lambda: len(bytearray(256 * MIB))),
    "a shared mapping": (replace(FREE, memory_bytes=SMALL), lambda: len(mmap.mmap(-1, 512 * MIB))),
    "a file": (replace(FREE, file_bytes=0), write_a_file),
    "descriptors": (replace(FREE, open_files=64), open_many),
}
NAMES = {"a large tensor": "RuntimeError", "a large bytearray": "MemoryError"}


@pytest.mark.parametrize("hog", HOGS)
def test_too_much_is_an_error_of_pythons(hog):
    if "mapping" in hog or "large" in hog:
        _needs_linux()
    limits, work = HOGS[hog]
    (kind, _), code = under(limits, work)
    assert kind == NAMES.get(hog, "OSError")
    assert code == 0


@pytest.mark.parametrize("hog", HOGS)
def test_without_the_limit_it_works(hog):
    (kind, text), code = under(FREE, HOGS[hog][1])
    assert (kind, code) == ("", 0), text


def test_cpu_time_ends_a_loop_even_where_the_signal_is_ignored():
    def spin():
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        while True:
            pass

    answer, code = under(replace(FREE, cpu_seconds=1), spin)
    assert answer == ["", None]
    assert code in (-signal.SIGKILL, -signal.SIGXCPU)


def test_no_core_is_left():
    assert under(Limits(), lambda: resource.getrlimit(resource.RLIMIT_CORE)[1])[0] == ["", 0]


@on_linux
def test_tasks_are_limited_for_an_ordinary_user():
    if os.geteuid() != 0:
        pytest.skip("becoming another user, whose tasks can be counted, takes root")

    def many():
        os.setuid(54321)
        # the kernel counts this user's tasks alone, the limit all of the machine's
        apply(replace(Limits(), new_tasks=-_tasks_everywhere() + 4))
        gate = threading.Event()
        try:
            for _ in range(8):
                threading.Thread(target=gate.wait, daemon=True).start()
        finally:
            gate.set()

    (kind, text), _ = forked(many)
    assert (kind, text) == ("RuntimeError", "can't start new thread")


def _tasks_everywhere():
    with open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[3].partition(b"/")[2])


def test_the_names_are_those_of_what_holds():
    names = forked(lambda: apply(Limits()))[0][1]
    assert {"core", "cpu", "file-size", "open-files"} <= set(names)
    assert ("memory" in names) == (sys.platform == "linux")
    assert ("processes" in names) == (os.geteuid() != 0)


def test_a_limit_is_never_raised():
    def lowered():
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        apply(Limits(open_files=64))
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    assert forked(lowered)[0] == ["", [32, 32]]


def test_torch_lives_under_the_limits():
    def work():
        x = torch.rand(8, 64, 64, requires_grad=True)
        (x @ x.mT).softmax(-1).sum().backward()
        threads = [threading.Thread(target=lambda: torch.rand(64, 64).exp()) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return list(x.grad.shape)

    assert under(Limits(), work) == (["", [8, 64, 64]], 0)


def _needs_linux():
    if sys.platform != "linux":
        pytest.skip("the size of the process is known from /proc only")
