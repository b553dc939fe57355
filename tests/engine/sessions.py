"""A session of `watch`: saves of every kind, hangs among them, and what the program holds meanwhile."""

import os
import time
from dataclasses import dataclass

from grading.catalog import ROOT
from tests.engine.katas import ATTENTION, COUNT
from tests.engine.terminals import Terminal

SOLUTION = (ROOT / "solutions" / f"{ATTENTION}.py").read_text()
WRONG = SOLUTION.replace("/ math", "* math")
BROKEN = "def f(:\n"
HANGS = SOLUTION.replace("def scaled", "import time\n\n\ndef scaled", 1).replace(
    "    # scaled before", "    time.sleep(600)\n    # scaled before"
)
# what is saved in turn, and what the screen then shows; the save after a hang cuts it short
KINDS = (
    (SOLUTION, f"1/{COUNT}"),
    (BROKEN, f"0/{COUNT}"),
    (SOLUTION, f"1/{COUNT}"),
    (WRONG, f"0/{COUNT}"),
    (HANGS, "grading ..."),
    (SOLUTION, f"1/{COUNT}"),
)


@dataclass(frozen=True)
class Held:
    """What a program holds: MiB, open descriptors, and processes below it."""

    memory: float
    descriptors: int
    processes: int


def begun(root):
    """A session in that copy of the repository, in which nothing is saved yet."""
    terminal = Terminal(root, "watch", ATTENTION)
    terminal.until("q quit", "Not started")
    return terminal


def save(root, text, stem=ATTENTION):
    """As an editor does: beside it, then over it."""
    path = root / "problems" / f"{stem}.py"
    beside = path.with_suffix(".swp")
    beside.write_text(text)
    os.replace(beside, path)


def saves(terminal, root, numbers):
    """Saves of every kind in turn, each followed by its verdict. After the last, which is right, all comes to rest."""
    for number in numbers:
        text, shown = KINDS[number % len(KINDS)]
        save(root, f"{text}# {number}\n")
        terminal.until(shown)
    for text, shown in (KINDS[1], KINDS[0]):
        save(root, f"{text}# the last after {numbers}\n")
        terminal.until(shown)


def at_rest(terminal, seconds=10):
    """What the program holds when the last candidate has ended, after its verdict: the fork server alone is left."""
    end = time.monotonic() + seconds
    terminal.settle()
    while held(terminal.process.pid).processes > 1 and time.monotonic() < end:
        time.sleep(0.05)
    return held(terminal.process.pid)


def held(pid):
    return Held(round(memory(pid), 1), len(os.listdir(f"/proc/{pid}/fd")), len(children(pid)))


def children(pid):
    """The processes below that one."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += [int(word) for word in file.read().split()]
    return found + [each for child in found for each in children(child)]


def memory(pid):
    """MiB that the process holds."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))
