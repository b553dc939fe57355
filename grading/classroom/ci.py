"""The verb `ci`: grade a learner's checkout with this grader, and write what a CI server shows."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grading.catalog import ROOT, Catalog
from grading.console import FAIL, FAULT, Verbs, folder_named, grade, show, verdict, width

if TYPE_CHECKING:
    from grading.records import Report

OURS = (
    *("grader.py", "grading", "katas", "tests", "solutions"),
    *("pyproject.toml", "requirements.txt", ".github", "conftest.py"),
)
NAMED = 10


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("ci", help="grade a checkout and write summary, annotations, JUnit, score and badge")
    parser.add_argument("checkout", type=folder_named, metavar="CHECKOUT", help="the learner's repository")
    parser.add_argument("--out", type=Path, default=Path("ci"), metavar="DIR", help="where the files go (default: ci)")
    parser.add_argument("--before", metavar="COMMIT", help="an earlier commit: what passed there may not be gone now")
    parser.add_argument("--strict", action="store_true", help="all katas are required, and all of the kernel's fences")
    parser.set_defaults(run=_ci)


def _ci(arguments: argparse.Namespace) -> int:
    problems = arguments.checkout / "problems"
    if problems.is_symlink():
        print("grader: problems/ is a link; it has to be a folder of the repository")
        return FAIL
    if arguments.strict and (missing := _missing()):
        print(f"grader: no grade, for this system has no {' and no '.join(missing)}")
        return FAULT
    from grading.classroom.submissions import as_problems

    report = as_problems(grade((), problems))
    lost = _lost(report, arguments.checkout, arguments.before)
    notes = [f"{stem} passed before this change and is not started now." for stem in lost]
    notes += _foreign(arguments.checkout)
    _write(arguments.out, report, notes)
    _say(report, notes, lost)
    return FAIL if lost else verdict(report, named=arguments.strict)


def _missing() -> list[str]:
    from grading import doctor

    return doctor.missing()


def _lost(report: Report, checkout: Path, before: str | None) -> list[str]:
    """Katas that are not started now and passed in the earlier commit; what is wrong now is red without asking."""
    fresh = {result.kata for result in report.katas if result.outcome == "not started"}
    if not fresh or not before or not before.strip("0"):  # a new branch's earlier commit is 000...0
        return []
    from grading.classroom.entries import Unfit, in_commit
    from grading.classroom.submissions import chosen

    try:
        files = chosen("before", in_commit(checkout, f"{before}^{{commit}}")).files
    except Unfit:
        return []  # a commit that a forced push has removed: there is nothing to compare with
    with tempfile.TemporaryDirectory(prefix="kata-before-") as folder:
        old = [stem for stem in Catalog().stems if stem in fresh and stem in files]
        stems = [stem for stem in old if _differs(files[stem], checkout, stem)]
        for stem in stems:
            (Path(folder) / f"{stem}.py").write_bytes(files[stem])
        if not stems:
            return []
        return [result.kata for result in grade(stems, Path(folder)).katas if result.outcome == "passed"]


def _differs(data: bytes, checkout: Path, stem: str) -> bool:
    path = checkout / "problems" / f"{stem}.py"
    return not path.is_file() or path.read_bytes() != data


def _foreign(checkout: Path) -> list[str]:
    """A sentence on the grader's own files that are other ones in the checkout: they did not count."""
    names = sorted(name for part in OURS for name in _files(checkout, part) | _files(ROOT, part))
    other = [name for name in dict.fromkeys(names) if not _same(checkout / name, ROOT / name)]
    if not other:
        return []
    listed = ", ".join(other[:NAMED]) + (f" and {len(other) - NAMED} more" if len(other) > NAMED else "")
    return [f"The grader was not taken from this repository. Its files here differ, and did not count: {listed}."]


def _files(root: Path, part: str) -> set[str]:
    path = root / part
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    files = (each for each in inside if each.is_symlink() or each.is_file())
    return {str(each.relative_to(root)) for each in files if "__pycache__" not in each.parts}


def _same(one: Path, other: Path) -> bool:
    if any(path.is_symlink() or not path.is_file() for path in (one, other)):
        return False
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _write(folder: Path, report: Report, notes: Sequence[str]) -> None:
    """Each file is a pure function of the report; a file is complete or not there."""
    from grading.reports import annotations, badge, junit, markdown, score

    texts = {
        "report.json": json.dumps(report.as_dict(), indent=1),
        "summary.md": markdown.markdown(report, notes),
        "annotations.txt": "".join(f"{line}\n" for line in annotations.commands(report)),
        "junit.xml": junit.junit(report),
        "score.json": json.dumps(score.score(report), indent=1),
        "badge.svg": badge.svg(report),
        "badge.json": json.dumps(badge.endpoint(report)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        draft = folder / f".{name}"
        draft.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        draft.replace(folder / name)


def _say(report: Report, notes: Sequence[str], lost: Sequence[str]) -> None:
    """The screen; on GitHub also the annotations, with commands switched off while words of the learner's pass."""
    from grading.reports import annotations, terminal

    on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    token = secrets.token_hex(16)
    if on_github:
        print(f"::stop-commands::{token}")
    show(terminal.report(report, width()))
    for note in notes:
        print(terminal.clean(note))
    if on_github:
        print(f"::{token}::")
        gone = [annotations.error(f"problems/{stem}.py", 0, stem, "passed before, not started now") for stem in lost]
        for line in [*gone, *annotations.commands(report)][: annotations.MOST]:
            print(line)
