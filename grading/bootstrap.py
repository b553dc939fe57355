"""From whatever Python started grader.py to the one in .venv, and from there to the command line.

Any Python 3 has to be able to read this file.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 11)
NEEDED = ("torch", "numpy", "pytest", "rich")
MEND = "run `make`, or see Set-up in README.md"


def start():  # type: ignore[no-untyped-def]
    """Run the command line in the right interpreter, or say in one line what is missing."""
    python = _venv_python()
    if python and os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(ROOT, ".venv")):
        _go_on_in(python)
    missing = _missing()
    if missing:
        sys.stderr.write("grader: %s: %s\n" % (missing, MEND))
        sys.exit(2)
    from grading.cli import main

    sys.exit(main(sys.argv[1:]))


def _venv_python():  # type: ignore[no-untyped-def]
    for parts in (("bin", "python"), ("Scripts", "python.exe")):
        path = os.path.join(ROOT, ".venv", *parts)
        if os.path.exists(path):
            return path
    return None


def _go_on_in(python):  # type: ignore[no-untyped-def]
    command = [python, os.path.join(ROOT, "grader.py")] + sys.argv[1:]
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(python, command)
    import subprocess

    try:
        sys.exit(subprocess.call(command))
    except KeyboardInterrupt:
        sys.exit(130)


def _missing():  # type: ignore[no-untyped-def]
    """What keeps the grader from running here, or None."""
    if sys.version_info < OLDEST:
        return "this is Python %d.%d and 3.11 or later is needed" % sys.version_info[:2]
    import importlib.util

    names = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return "%s not installed for this Python" % ", ".join(names) if names else None
