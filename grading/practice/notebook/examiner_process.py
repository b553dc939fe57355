"""An examiner in a process of its own that is asked by lines of JSON: for hosts that must not fork, such as a notebook.

Forking a kernel that runs threads and an event loop can hang, and PyTorch stays out of the kernel's memory this way.
Run as `python -m grading.practice.notebook.examiner_process`: requests on standard input, a line each, and as many on
standard output.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from grading.catalog import ROOT
from grading.records import CELL

if TYPE_CHECKING:
    from grading.examination.examiner import Examiner
    from grading.records import Report


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an interrupt, which cleans up
    requests, answers = _pipes()
    examiner = None
    with tempfile.TemporaryDirectory(prefix="kata-") as folder:
        try:
            for line in requests:
                try:
                    examiner = examiner or _examiner()
                    answer = answer_to(json.loads(line), examiner, Path(folder)) if line.strip() else {}
                except Exception:
                    answer = {"fault": traceback.format_exc()}
                answers.write(json.dumps(answer).encode() + b"\n")
                answers.flush()
                if examiner:
                    examiner.tidy()
        except KeyboardInterrupt:
            pass
        finally:
            if examiner:
                examiner.close()


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, out of reach for all that reads standard input or prints: nothing else may come between."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return requests, answers


def _examiner() -> Examiner:
    from grading.examination.examiner import Examiner

    return Examiner()


def answer_to(request: Mapping[str, Any], examiner: Examiner, folder: Path) -> dict[str, Any]:
    """The report on a kata, as data, as HTML and as text; it counts in the learner's progress.

    Args:
        request: kata; source, the text of a submission, or None for problems/<kata>.py; seed or None; language; width.
        folder: where the text is put for the examiner.
    """
    from grading.practice.progress.progress import Progress
    from grading.reports import html, terminal
    from grading.texts import Texts

    stem, source = str(request["kata"]), request.get("source")
    path = ROOT / "problems"
    if source is not None:
        path = folder / f"{stem}.py"
        path.write_text(source, encoding="utf-8", errors="surrogatepass", newline="\n")
    report = examiner.grade([stem], path, request.get("seed"))
    Progress().record(report, cell=source)
    if source is not None:
        report = _renamed(report, str(path.resolve()))
    os.environ["KATA_LANG"] = str(request.get("language") or "en")
    read = Progress().hints_read()
    text = terminal.report(report, int(request["width"]), hints_read=read).plain
    return {"report": report.as_dict(), "html": html.cell(report, Texts(), read), "text": text}


def _renamed(report: Report, path: str) -> Report:
    """The report with the scratch file called what it is for the reader: the cell."""
    katas = []
    for result in report.katas:
        checks = tuple(replace(check, where=check.where.replace(path, CELL)) for check in result.checks)
        where = result.where.replace(path, CELL)
        katas.append(replace(result, file=CELL, where=where, checks=checks))
    return replace(report, katas=tuple(katas))


if __name__ == "__main__":
    main()
