"""How much time, memory, processes and files a candidate may use.

The wall-clock limits are the examiner's to keep; `apply` hands the others to the operating system.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes; the memory is what may be added to what the process holds when the limits are set."""

    call_seconds: float = 5.0
    load_seconds: float = 10.0
    kata_seconds: float = 30.0
    cpu_seconds: int = 60
    memory_bytes: int = 1024 * MIB
    file_bytes: int = 0
    open_files: int = 64
    new_tasks: int = 64
    printed_bytes: int = 64 << 10
    source_bytes: int = 256 << 10


def apply(limits: Limits) -> tuple[str, ...]:
    """Bind this process and its children for good; the names of the limits that hold, none on Windows."""
    if sys.platform == "win32":
        return ()
    import resource

    wanted = {
        "core": (resource.RLIMIT_CORE, 0),
        "cpu": (resource.RLIMIT_CPU, limits.cpu_seconds),
        "file-size": (resource.RLIMIT_FSIZE, limits.file_bytes),
        "open-files": (resource.RLIMIT_NOFILE, limits.open_files),
    }
    sizes = _sizes_in_kib()
    if "VmData" in sizes:
        wanted["memory"] = (resource.RLIMIT_DATA, sizes["VmData"] * 1024 + limits.memory_bytes)
        # shared mappings are no data; twice, for what is only reserved (arenas, stacks) is address space too
        wanted["address-space"] = (resource.RLIMIT_AS, sizes["VmSize"] * 1024 + 2 * limits.memory_bytes)
    if os.geteuid() != 0:  # it does not bind root
        wanted["processes"] = (resource.RLIMIT_NPROC, _tasks() + limits.new_tasks)
    return tuple(name for name, (kind, value) in wanted.items() if _set(kind, value))


def _set(kind: int, value: int) -> bool:
    if sys.platform == "win32":
        return False
    import resource

    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        # a signal at the soft limit of CPU time can be ignored, the one at the hard limit cannot
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError):
        return False
    return True


def _sizes_in_kib() -> dict[str, int]:
    """VmData, VmSize ... of this process: empty without /proc, where such a limit is not to be relied on."""
    try:
        with open("/proc/self/status", "rb") as file:
            lines = [line.split() for line in file if line.startswith(b"Vm")]
    except OSError:
        return {}
    return {line[0].rstrip(b":").decode(): int(line[1]) for line in lines}


def _tasks() -> int:
    """At least the processes and threads of this user, which the limit counts."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[2])
    except (OSError, ValueError, IndexError):
        return 0
