"""The verb `doctor`: which fences hold a submission on this machine."""

from __future__ import annotations

import argparse
import platform

from grading.console import FAIL, PASS, Verbs

KERNEL = ("landlock", "seccomp")
FENCES = {
    "process": "a process of its own, without the examiner's memory",
    "memory": "limited memory",
    "cpu": "limited CPU time",
    "file-size": "no file may grow",
    "landlock": "the kernel refuses files, signals and networks",
    "seccomp": "the kernel refuses processes, sockets and tracing",
    "audit": "Python refuses the same in plain words",
}


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    verbs.add_parser("doctor", help="what fences a submission in here").set_defaults(run=_doctor)


def missing() -> list[str]:
    """The kernel's fences that are not there."""
    found = _fences()
    return [fence for fence in KERNEL if fence not in found]


def _fences() -> tuple[str, ...]:
    from grading.examination.examiner import Examiner

    examiner = Examiner()
    try:
        return examiner.fences()
    finally:
        examiner.close()


def _doctor(arguments: argparse.Namespace) -> int:
    fences = _fences()
    import torch

    print(f"{platform.platform()}, Python {platform.python_version()}, PyTorch {torch.__version__}\n")
    for fence, what in FENCES.items():
        print(f"{'yes' if fence in fences else 'NO':>4}  {fence:<10} {what}")
    return PASS if all(fence in fences for fence in KERNEL) else FAIL
