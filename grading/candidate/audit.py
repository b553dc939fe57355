"""The fence that every system has: an audit hook that refuses what a solution has no business with, in plain words.

A tripwire: code of other languages does not pass by it. Where the system has a wall, that is `sandbox`.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(PermissionError):
    """Something that a solution may not do: the text says what."""


Judge = Callable[[tuple[Any, ...]], str]


def install(roots_allowed: Sequence[str]) -> None:
    """Refuse from now on, for good. Files below the roots (interpreter, packages) may be read, for late imports.

    The grader's modules leave sys.modules: they go on working, and a solution does not come by them by name.
    """
    _forget("grading")
    judges = _judges(_Files(roots_allowed))
    groups = {"ctypes": _fixed("use ctypes"), "socket": _fixed("open sockets"), "winreg": _fixed("use the registry")}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        judge = judges.get(event) or groups.get(event.partition(".")[0])
        what = judge(arguments) if judge else ""
        if what:
            raise Refused(f"a solution may not {what}")

    sys.addaudithook(hook)


def _forget(package: str) -> None:
    # by way of the package: in a forked process, to look at every name in sys.modules would copy much memory
    module = sys.modules.pop(package, None)
    for value in list(vars(module).values()) if module else []:
        if isinstance(value, types.ModuleType) and value.__name__.startswith(f"{package}."):
            _forget(value.__name__)


def _judges(files: _Files) -> dict[str, Judge]:
    """What happens -> what may not be done about it; an empty text lets it happen."""
    judges: dict[str, Judge] = {
        "open": files.open,
        "os.listdir": files.list,
        "os.scandir": files.list,
        "os.kill": _kill,
        "mmap.__new__": lambda arguments: "map files into memory" if arguments[0] != -1 else "",
    }
    for what, events in _REFUSED.items():
        judges |= {event: _fixed(what) for event in events.split()}
    return judges


_REFUSED = {
    "start processes": """os.fork os.forkpty os.exec os.posix_spawn os.spawn os.system os.startfile os.startfile/2
        subprocess.Popen pty.spawn _winapi.CreateProcess cpython.PyInterpreterState_New""",
    "signal other processes": "os.killpg signal.pthread_kill _winapi.OpenProcess _winapi.TerminateProcess",
    "change files": """os.remove os.rename os.rmdir os.mkdir os.link os.symlink os.truncate os.chmod os.chown os.chflags
        os.utime os.setxattr os.removexattr os.lockf shutil.rmtree shutil.move shutil.copyfile tempfile.mkstemp
        tempfile.mkdtemp sqlite3.connect _winapi.CreateFile _winapi.CreateNamedPipe _winapi.CreateJunction""",
    "search the interpreter's memory": "gc.get_objects gc.get_referrers gc.get_referents sys._current_frames",
    "change the process's limits": "resource.setrlimit resource.prlimit",
    "add audit hooks": "sys.addaudithook",
}


def _fixed(what: str) -> Judge:
    return lambda _: what


def _kill(arguments: tuple[Any, ...]) -> str:
    return "" if arguments[0] == os.getpid() else "signal other processes"


class _Files:
    """Which files may be read."""

    def __init__(self, roots: Sequence[str]) -> None:
        both = {form(root).rstrip(os.sep) + os.sep for root in roots for form in (os.path.abspath, os.path.realpath)}
        self.repository = _ROOT + os.sep
        # an environment inside the repository is readable, a repository inside an allowed folder is not
        self.inner = tuple(root for root in both if root.startswith(self.repository))
        self.outer = tuple(both - set(self.inner))

    def open(self, arguments: tuple[Any, ...]) -> str:
        path, _, flags = arguments
        if isinstance(path, int):  # a descriptor that is open already
            return ""
        return "write files" if flags & _WRITING else self.read(path)

    def list(self, arguments: tuple[Any, ...]) -> str:
        return "" if isinstance(arguments[0], int) else self.read(arguments[0] or ".")

    def read(self, path: Any) -> str:
        # normalised, for the sake of ".."; and as a folder, for the sake of the roots themselves
        path = os.path.abspath(os.fsdecode(path)) + os.sep
        if path.startswith(self.inner):
            return ""
        if path.startswith(self.repository):
            return "open files of the repository"
        return "" if path.startswith(self.outer) else "open files"
