"""From whatever Python started grader.py to the one in .venv, and from there to the command line.

Any Python 3 has to be able to read this file: no annotations.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 11)
NEEDED = ("torch", "numpy", "pytest", "rich", "watchfiles", "fsrs", "jinja2")
MEND = "run `make`, or see Set-up in README.md"
CHECKOUT = ("grader.py", "grading", "problems", "tests")
SAMPLE = "\u9898"  # a letter of a language other than English


def start():
    """Run the command line in the right interpreter, or say in one line what is missing."""
    python = _venv_python()
    if python and os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(ROOT, ".venv")):
        _go_on_in(python, ROOT)
    missing = _missing()
    if missing:
        sys.stderr.write(f"grader: {missing}: {MEND}\n")
        sys.exit(2)
    _make_printable()
    from grading.cli import main

    _leave(main(sys.argv[1:]))


def command():
    """The console script `katas`: run the grader of the clone that one is in, or that was installed with `pip -e`."""
    for folder in [*_upwards(os.getcwd()), ROOT]:
        if all(os.path.exists(os.path.join(folder, part)) for part in CHECKOUT):
            _go_on_in(sys.executable, folder)
    sys.stderr.write(
        "katas: no exercises here. They are files of a clone of the repository, which the installed package does not "
        "hold: call katas in a clone.\n"
    )
    sys.exit(2)


def _upwards(folder):
    """That folder and those that it lies in."""
    folders = [folder]
    while os.path.dirname(folders[-1]) != folders[-1]:
        folders.append(os.path.dirname(folders[-1]))
    return folders


def _make_printable():
    """Let no character end a grade that this terminal, or whatever reads the output, has no code for."""
    if os.environ.get("KATA_LANG"):
        try:
            SAMPLE.encode(sys.stdout.encoding or "ascii")
        except UnicodeError:
            os.environ["KATA_LANG"] = "en"
            sys.stderr.write("grader: in English, for this terminal has no other letters (PYTHONIOENCODING=utf-8?)\n")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _leave(status):
    """Exit. With PyTorch loaded, to take the interpreter down first costs 0.1 s and does nothing that is needed."""
    if "torch" not in sys.modules:
        sys.exit(status)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # whoever read it is gone
    os._exit(status)


def _venv_python():
    for parts in (("bin", "python"), ("Scripts", "python.exe")):
        path = os.path.join(ROOT, ".venv", *parts)
        if os.path.exists(path):
            return path
    return None


def _go_on_in(python, root):
    """Become that Python with that checkout's grader; where that cannot be, wait for it."""
    command = [python, os.path.join(root, "grader.py"), *sys.argv[1:]]
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(python, command)
    import subprocess

    try:
        sys.exit(subprocess.call(command))
    except KeyboardInterrupt:
        sys.exit(130)


def _missing():
    """What keeps the grader from running here, or None."""
    if sys.version_info < OLDEST:
        return "this is Python {}.{} and 3.11 or later is needed".format(*sys.version_info[:2])
    import importlib.util

    names = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return "{} not installed for this Python".format(", ".join(names)) if names else None
