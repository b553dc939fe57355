"""The verb `doctor`: which layers fence a submission in on this machine."""

from __future__ import annotations

import argparse
import platform

from grading.console import FAIL, PASS, Verbs

KERNEL = ("landlock", "seccomp")
LAYERS = {
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
    """The kernel's layers that are not there."""
    found = _layers()
    return [layer for layer in KERNEL if layer not in found]


def _layers() -> tuple[str, ...]:
    from grading.examine import Examiner

    examiner = Examiner()
    try:
        return examiner.layers()
    finally:
        examiner.close()


def _doctor(arguments: argparse.Namespace) -> int:
    layers = _layers()
    import torch

    print(f"{platform.platform()}, Python {platform.python_version()}, PyTorch {torch.__version__}\n")
    for layer, what in LAYERS.items():
        print(f"{'yes' if layer in layers else 'NO':>4}  {layer:<10} {what}")
    return PASS if all(layer in layers for layer in KERNEL) else FAIL
