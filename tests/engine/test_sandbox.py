"""What a candidate may do to files, processes and the network: each fence alone, on and off.

Every test confines a process of its own, and what it tries would do no harm if it worked.
"""

import ctypes
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import timeit
from pathlib import Path

import pytest
import torch

from grading.candidate import audit, sandbox
from grading.candidate.permitted import NOT_READ
from tests.engine.katas import ATTENTION
from tests.engine.processes import forked

if not hasattr(os, "fork"):
    pytest.skip("this system cannot fork", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
SECRET = ROOT / "solutions" / f"{ATTENTION}.py"


def confined(work, fences):
    """work() below the named fences alone."""

    def inside():
        os.chdir(tempfile.gettempdir())
        for name in ("landlock", "seccomp"):
            if name not in fences:
                setattr(sandbox, f"_{name}", lambda syscall: False)
        active = sandbox.confine()
        if "audit" in fences:
            audit.install((sys.prefix, sys.base_prefix))
        assert set(active) == set(fences) - {"audit"}
        return work()

    return forked(inside)[0]


ACTIVE = forked(lambda: list(sandbox.confine()))[0][1]
EVERYTHING = ("landlock", "seccomp", "audit")


def need(*fences):
    for fence in fences:
        if fence not in (*ACTIVE, "audit"):
            pytest.skip(f"this system has no {fence}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")
    monkeypatch.setenv("FOLDER", str(tmp_path))
    return tmp_path


def target(name):
    return os.path.join(os.environ["FOLDER"], name)


def start_a_process():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def over_ctypes(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read_by_torch():
    torch.UntypedStorage.from_file(str(SECRET), False, 16)


def map_a_file():
    descriptor = os.open(SECRET, os.O_RDONLY)
    mmap.mmap(descriptor, 16, access=mmap.ACCESS_READ)


# what is tried, and the fences that stop it by themselves
ATTEMPTS = {
    "read a solution": (lambda: len(SECRET.read_text()), "landlock audit"),
    "read a test": (lambda: len(Path(__file__).read_bytes()), "landlock audit"),
    "read the grader": (lambda: len((ROOT / "grading" / "records.py").read_text()), "landlock audit"),
    "read it by a detour": (lambda: len(open(ROOT / f"tests/../solutions/{ATTENTION}.py").read()), "landlock audit"),
    "read through torch": (read_by_torch, "landlock"),
    "map a file": (map_a_file, "landlock audit"),
    "list the repository": (lambda: len(os.listdir(ROOT)), "landlock audit"),
    "read passwords": (lambda: len(open("/etc/passwd").read()), "landlock audit"),
    "read own memory's map": (lambda: len(open("/proc/self/maps").read()), "landlock audit"),
    "read the parent's environment": (lambda: len(open(f"/proc/{os.getppid()}/environ").read()), "landlock audit"),
    "write a file": (lambda: open(target("new"), "w").close(), "landlock seccomp audit"),
    "append to a file": (lambda: open(target("file"), "a").close(), "landlock seccomp audit"),
    "truncate a file": (lambda: os.truncate(target("file"), 0), "landlock seccomp audit"),
    "remove a file": (lambda: os.unlink(target("file")), "landlock seccomp audit"),
    "rename a file": (lambda: os.rename(target("file"), target("other")), "landlock seccomp audit"),
    "make a folder": (lambda: os.mkdir(target("folder")), "landlock seccomp audit"),
    "make a link": (lambda: os.symlink("file", target("link")), "landlock seccomp audit"),
    "change rights": (lambda: os.chmod(target("file"), 0o777), "seccomp audit"),
    "change times": (lambda: os.utime(target("file")), "seccomp audit"),
    "share memory": (lambda: torch.ones(2).share_memory_() is None, "landlock seccomp"),
    "fork": (start_a_process, "seccomp audit"),
    "start a program": (lambda: subprocess.run([sys.executable, "-c", ""]).returncode, "seccomp audit"),
    "replace the program": (lambda: os.execv("/bin/true", ["true"]), "landlock seccomp audit"),
    "open a socket": (lambda: socket.socket().close(), "seccomp audit"),
    "open a Unix socket": (lambda: socket.socketpair()[0].close(), "seccomp audit"),
    "signal the parent": (lambda: os.kill(os.getppid(), 0), "landlock seccomp audit"),
    "signal the group": (lambda: os.killpg(0, 0), "seccomp audit"),
    "leave the session": (lambda: os.setsid() and None, "seccomp"),
    "a nameless file": (lambda: os.memfd_create("x"), "seccomp"),
    "raise the priority": (lambda: os.nice(1), "seccomp"),
    "a system call by hand": (lambda: over_ctypes(101, 16, os.getppid(), 0, 0), "seccomp audit"),
    "a system call of tomorrow": (lambda: over_ctypes(4000), "seccomp audit"),
    "readable memory again": (lambda: ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0 or 1 / 0, "seccomp audit"),
    "look for objects": (lambda: len(__import__("gc").get_objects()), "audit"),
    "time code that is text": (lambda: timeit.timeit("1", number=1), "audit"),
    "set up timing by text": (lambda: timeit.timeit(lambda: 1, setup="import os", number=1), "audit"),
}
ONLY_LINUX = {"leave the session", "a nameless file", "read own memory's map", "read the parent's environment"}
# these fail anyway, or end the process that should report
NOT_OFF = {"replace the program", "a system call by hand", "a system call of tomorrow", "signal the group"}
REASON = f"it computes with the tensors that it is given; {NOT_READ}"
REFUSALS = ("PermissionError", "Refused", "RuntimeError", "ZeroDivisionError", "OSError")
PAIRS = [(attempt, fence) for attempt, (_, fences) in ATTEMPTS.items() for fence in fences.split()]


@pytest.mark.parametrize(("attempt", "fence"), PAIRS)
def test_a_fence_alone_refuses(attempt, fence, folder):
    need(fence)
    if attempt == "a system call by hand" and os.uname().machine != "x86_64":
        pytest.skip("the number is that of x86_64")
    before = snapshot(folder)
    kind, text = confined(ATTEMPTS[attempt][0], [fence])
    assert kind in REFUSALS, text
    assert snapshot(folder) == before


def snapshot(folder):
    return {(path.name, path.read_text(), path.stat().st_mtime_ns, path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("attempt", [name for name in ATTEMPTS if name not in NOT_OFF])
def test_without_a_fence_it_works(attempt, folder):
    if attempt in ONLY_LINUX and sys.platform != "linux":
        pytest.skip("this system has nothing of the kind")
    (kind, text), _ = forked(lambda: ATTEMPTS[attempt][0]() is None or True)
    assert kind == "", text


@pytest.mark.parametrize(
    ("attempt", "text"),
    {
        "read a solution": "a solution may not open files of the repository",
        "read it by a detour": "a solution may not open files of the repository",
        "read passwords": "a solution may not open files",
        "write a file": "a solution may not write files",
        "remove a file": "a solution may not change files",
        "fork": "a solution may not start processes",
        "start a program": "a solution may not start processes",
        "open a socket": "a solution may not open sockets",
        "signal the parent": "a solution may not signal other processes",
        "a system call of tomorrow": "a solution may not use ctypes",
        "look for objects": "a solution may not search the interpreter's memory",
        "time code that is text": "a solution may not time code that is text, only functions",
    }.items(),
)
def test_the_refusal_says_what_it_is_about(attempt, text, folder):
    need("landlock", "seccomp")
    assert confined(ATTEMPTS[attempt][0], EVERYTHING) == ["Refused", f"{text}: {REASON}"]


def backward():
    x = torch.rand(2, 8, 8, requires_grad=True)
    (x @ x.mT).softmax(-1).sum().backward()
    return list(x.grad.shape)


def threads():
    done = []
    running = [threading.Thread(target=lambda: done.append(torch.rand(8, 8).exp())) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return len(done)


def two_torch_threads():
    torch.set_num_threads(2)
    return bool(torch.rand(300_000).exp().sum() + (torch.rand(300, 300) @ torch.rand(300, 300)).sum())


def late_imports():
    import decimal
    import sqlite3
    import xml.dom.minidom
    import zoneinfo

    return [str(decimal.Decimal(1) / 4), sqlite3.__name__, xml.dom.minidom.__name__, zoneinfo.__name__]


def checkpointed():
    from torch.utils.checkpoint import checkpoint

    x = torch.rand(3, requires_grad=True)
    checkpoint(torch.exp, x, use_reentrant=False).sum().backward()
    return list(x.grad.shape)


def a_channel():
    here, there = channel
    here.sendall(b"hello")
    return there.recv(5).decode()


def a_signal_to_itself():
    signal.signal(signal.SIGUSR1, lambda *_: caught.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    return len(caught)


channel = socket.socketpair()
caught = []
WORK = {
    "backward": (backward, [2, 8, 8]),
    "threads": (threads, 4),
    "two of torch's threads": (two_torch_threads, True),
    "late imports": (late_imports, ["0.25", "sqlite3", "xml.dom.minidom", "zoneinfo"]),
    "checkpoint": (checkpointed, [3]),
    "script": (lambda: list(torch.jit.script(torch.nn.Linear(4, 2))(torch.rand(1, 4)).shape), [1, 2]),
    "vmap": (lambda: list(torch.vmap(torch.matmul)(torch.rand(2, 3, 3), torch.rand(2, 3, 3)).shape), [2, 3, 3]),
    "half": (lambda: list((torch.rand(3, 3).half() @ torch.rand(3, 3).half()).softmax(-1).shape), [3, 3]),
    "random": (lambda: bool(torch.seed()), True),
    "the time": (lambda: bool(__import__("time").localtime()), True),
    "the channel it has": (a_channel, "hello"),
    "a signal to itself": (a_signal_to_itself, 1),
}


@pytest.mark.parametrize("work", WORK)
def test_work_goes_on_below_every_layer(work):
    function, wanted = WORK[work]
    fences = [*ACTIVE, "audit"]
    if work != "checkpoint":  # it imports for a second: once is enough
        for fence in ACTIVE:
            assert confined(function, [fence]) == ["", wanted]
    assert confined(function, fences) == ["", wanted]


def test_the_grader_cannot_be_reached_by_name():
    def names():
        audit.install((sys.prefix, sys.base_prefix))
        return [name for name in sys.modules if name.startswith("grading")]

    assert forked(names)[0] == ["", []]


def test_an_ordinary_user_is_confined_as_well():
    need("landlock", "seccomp")
    if os.geteuid() != 0:
        pytest.skip("the other tests have shown it")

    def inside():
        os.setgid(65534)
        os.setuid(65534)
        fences = sandbox.confine()
        try:
            SECRET.read_text()
        except PermissionError:
            return [*fences, backward()]
        return []

    assert forked(inside)[0] == ["", ["landlock", "seccomp", [2, 8, 8]]]


def test_a_system_without_the_walls_says_so(monkeypatch):
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    assert sandbox.confine() == ()


def test_an_old_kernel_gets_what_it_knows(monkeypatch):
    need("landlock", "seccomp")
    calls = []

    def kernel(function, *arguments):
        calls.append([argument for argument in arguments if isinstance(argument, int)])
        return {444: 1}.get(arguments[0], 0) if len(arguments) > 1 else 0

    monkeypatch.setattr(sandbox, "_call", kernel)
    monkeypatch.setattr(sandbox.os, "close", lambda descriptor: None)
    assert sandbox._landlock(None)
    assert [444, 8, 0] in calls, "ABI 1 knows only the file system's part of the attributes"


def test_an_unknown_machine_has_no_filter(monkeypatch):
    monkeypatch.setattr(sandbox.platform, "machine", lambda: "riscv64")
    assert not sandbox._seccomp(None)


@pytest.mark.parametrize(("column", "architecture"), sandbox._ARCHITECTURES.values())
def test_every_jump_of_the_filter_lands_inside(column, architecture):
    program = sandbox._program(column, architecture)
    for index, (code, yes, no, value) in enumerate(program):
        assert 0 <= yes < 256
        assert 0 <= no < 256
        assert 0 <= value < 1 << 32
        if code != sandbox._RETURN:
            assert index + 1 + max(yes, no) < len(program)
    assert program[-1][0] == sandbox._RETURN


@pytest.mark.parametrize(("column", "architecture"), sandbox._ARCHITECTURES.values())
def test_the_filter_decides_as_the_tables_say(column, architecture):
    program = sandbox._program(column, architecture)
    numbers = dict(zip(sandbox._REFUSED.split()[::3], sandbox._REFUSED.split()[1 + column :: 3], strict=True))
    for name in ("socket", "execve", "ptrace", "unlinkat", "mount", "io_uring_setup", "fsetxattr"):
        assert verdict(program, architecture, int(numbers[name])) == "EPERM"
    read, kill, clone, openat, prctl = ((0, 62, 56, 257, 157), (63, 129, 220, 56, 167))[column]
    assert verdict(program, architecture, read) == "allow"
    assert verdict(program, 0, read) == "EPERM", "another architecture's numbers mean other things"
    assert verdict(program, architecture, 435) == verdict(program, architecture, 5000) == "ENOSYS"
    assert verdict(program, architecture, kill, os.getpid()) == "allow"
    assert verdict(program, architecture, kill, os.getppid()) == verdict(program, architecture, kill, 0) == "EPERM"
    assert verdict(program, architecture, clone, 0x10F00) == "allow"
    assert verdict(program, architecture, clone, 17) == "EPERM"
    assert verdict(program, architecture, openat, 0, 0, os.O_RDONLY | os.O_CLOEXEC) == "allow"
    assert verdict(program, architecture, openat, 0, 0, os.O_WRONLY | os.O_CREAT) == "EPERM"
    assert verdict(program, architecture, prctl, 15) == "allow"
    assert {verdict(program, architecture, prctl, option) for option in (1, 4, 35, 36)} == {"EPERM"}


def verdict(program, architecture, number, *arguments):
    """The filter, run by hand."""
    data = [number, architecture, 0, 0]
    for argument in (*arguments, *[0] * (6 - len(arguments))):
        data += [argument & 0xFFFFFFFF, argument >> 32]
    at, loaded = 0, 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == sandbox._RETURN:
            return {0x7FFF0000: "allow", 0x50001: "EPERM", 0x50026: "ENOSYS"}[value]
        if code == sandbox._LOAD:
            loaded = data[value // 4]
            continue
        holds = {
            sandbox._EQUAL: loaded == value,
            sandbox._GREATER: loaded > value,
            sandbox._ANY_BIT: bool(loaded & value),
        }
        at += yes if holds[code] else no
