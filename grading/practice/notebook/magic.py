"""Grading in a notebook: `%load_ext grading`, then `%%kata KATA` for a cell's text or `%kata KATA` for the file.

`%kata` has the verbs of a learner, too: `%kata hint KATA`. Hosts without magics call `check("KATA")` or
`check("KATA", source)`; the last value of a cell shows itself.
"""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from grading.catalog import ROOT, Catalog
from grading.practice.notebook.warm_examiner import WarmExaminer
from grading.stubs import stub
from grading.texts import COMMAND, word

VERBS = ("hint", "compare", "reset", "status", "due", "plan", "history", "questions", "list")
WIDTH = 100


class Verdict:
    """A grade that a notebook shows as HTML and everything else as text. `report` is what --json prints."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.report: dict[str, Any] = answer["report"]
        self._html = str(answer["html"])
        self._text = str(answer["text"])

    @property
    def passed(self) -> bool:
        return all(kata["outcome"] == "passed" for kata in self.report["katas"])

    @property
    def undefined(self) -> str:
        """A name that the learner's code uses and that is nowhere in it; empty where there is none."""
        results = [each for kata in self.report["katas"] for each in (kata, *kata["checks"])]
        messages = " ".join(each["message"] for each in results)
        found = re.search(r"NameError: name '(\w+)' is not defined", messages)
        return found[1] if found else ""

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


EXAMINER = WarmExaminer()
atexit.register(EXAMINER.close)


def check(kata: str, source: str | None = None, seed: int | None = None) -> Verdict:
    """Grade the text of a submission, or problems/<kata>.py. Raises ValueError for an unknown kata, EngineFault."""
    stem = Catalog().find(kata).stem
    language = os.environ.get("KATA_LANG", "")
    request = {"kata": stem, "source": source, "seed": seed, "language": language, "width": WIDTH}
    return Verdict(EXAMINER.ask(request))


class Magic:
    """What `%kata` and `%%kata` do in a shell of IPython's. `cells` are the texts that were graded last, by kata."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.cells: dict[str, str] = {}

    def kata(self, line: str, cell: str | None = None) -> Verdict | None:
        """Grade a kata: the cell under `%%kata KATA`, or the file with `%kata KATA`.

        A cell that passes is run here, too. `%kata hint KATA`, `%kata compare KATA`, `%kata reset KATA`, `%kata status`
        and the others of VERBS are the grader's verbs; compare takes the cell graded last, and questions asks here.
        """
        words = line.split()
        if cell is None and words and words[0] in VERBS:
            self._do(words)
            return None
        if len(words) != 1:
            print(word("magic-usage", verbs=", ".join(VERBS), katas=", ".join(Catalog().stems)))
            return None
        try:
            stem = Catalog().find(words[0]).stem
        except ValueError as error:
            print(error)
            return None
        return check(stem) if cell is None else self._grade(stem, cell)

    def _grade(self, stem: str, cell: str) -> Verdict:
        """Grade a cell. Its first line is the magic itself: an empty line in its place keeps the numbers right."""
        self.cells[stem] = cell
        verdict = check(stem, f"\n{cell}")
        if verdict.passed:
            self.shell.run_cell(cell, store_history=False)
        elif verdict.undefined in self.shell.user_ns:
            print(word("cell-alone", name=verdict.undefined))
        return verdict

    def _do(self, words: list[str]) -> None:
        """A verb of the command line, in a process of its own: what it imports stays out of the kernel."""
        if words[0] == "questions":
            _ask(words[1:])
            return
        verb, stem = words[0], next((each for each in words[1:] if each in Catalog().stems), "")
        with tempfile.TemporaryDirectory(prefix="kata-") as folder:
            command = [sys.executable, str(ROOT / "grader.py"), *words]
            if verb == "compare" and stem in self.cells:
                file = Path(folder) / f"{stem}.py"
                file.write_text(self.cells[stem], encoding="utf-8", errors="surrogatepass", newline="\n")
                command += ["--file", str(file)]
            environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONIOENCODING": "utf-8"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8")
        print((done.stdout + done.stderr).rstrip())
        if verb == "reset" and stem and not done.returncode:
            self.cells.pop(stem, None)
            print(word("stub-cell", kata=stem))
            self.shell.set_next_input(f"%%kata {stem}\n{stub(Catalog()[stem])}")


def _ask(words: list[str]) -> None:
    """The deck, in the kernel itself: only there is a keyboard, and it takes nothing that is heavy."""
    from grading.practice.interview import deck

    try:
        deck.run(words)
    except SystemExit:  # what argparse does where it does not understand; it has said so
        pass


def load(shell: Any) -> None:
    """Register the magic and start the examiner, so that it is warm when the first cell wants it."""
    os.environ[COMMAND] = "%kata"
    shell.register_magic_function(Magic(shell).kata, magic_kind="line_cell", magic_name="kata")
    EXAMINER.start()
