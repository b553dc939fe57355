"""The verb `cohort`: grade a folder of submissions, in parallel, and go on where a killed run stopped."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from grading.catalog import ROOT, Catalog, Kata
from grading.console import FAULT, PASS, USAGE, Verbs, folder_named
from grading.records import Cause, CheckResult, KataResult, Outcome
from grading.stubs import stub

if TYPE_CHECKING:
    from grading.classroom.journal import Journal
    from grading.classroom.overview import Row
    from grading.classroom.workers import Found, Pool, Task

GRADER = ("grading", "katas", "tests", "solutions")


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("cohort", help="grade a folder of submissions: folders, zips or git bundles")
    parser.add_argument("folder", type=folder_named, metavar="FOLDER")
    parser.add_argument("--jobs", type=_positive, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the tables go (default: FOLDER-grades)")
    parser.add_argument("--seed", type=int, help="of the random inputs, the same ones for everybody")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="grade on a Dask cluster instead")
    parser.set_defaults(run=_cohort)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _cohort(arguments: argparse.Namespace) -> int:
    from grading.classroom.journal import Journal, Mismatch
    from grading.classroom.overview import write
    from grading.classroom.submissions import found

    folder: Path = arguments.folder
    out = arguments.out or folder.with_name(f"{folder.name}-grades")
    paths = found(folder)
    if not paths or (arguments.scheduler and not _has_dask()):
        missing = (
            "--scheduler needs Dask: pip install distributed" if paths else f"no folder, zip or git bundle in {folder}"
        )
        print(f"grader: {missing}", file=sys.stderr)
        return USAGE
    out.mkdir(parents=True, exist_ok=True)
    try:
        with Journal(out / "journal.jsonl", fingerprint(), arguments.seed, _new_seed()) as journal:
            entrants, faults = run(paths, journal, _pool(arguments), 2 * arguments.jobs)
            write(out, rows(entrants, journal))
    except Mismatch as mismatch:
        print(f"grader: {out / 'journal.jsonl'} {mismatch}", file=sys.stderr)
        return USAGE
    print(f"{len(entrants)} submissions, {len(journal)} different files: see {out / 'overview.html'}, results.csv")
    for key, words in faults.items():
        print(f"grader: not graded, run this again: {key}: {words}", file=sys.stderr)
    return FAULT if faults else PASS


def _pool(arguments: argparse.Namespace) -> Pool:
    from grading.classroom import workers

    if arguments.scheduler:
        return partial(workers.cluster, arguments.scheduler)
    return partial(workers.processes, arguments.jobs)


def run(paths: list[Path], journal: Journal, pool: Pool, window: int) -> tuple[list[Entrant], dict[str, str]]:
    """Grade what the journal does not have yet; every different file once, however many handed it in."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from grading.classroom import workers

    entrants: list[Entrant] = []
    faults: dict[str, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        reading = progress.add_task("submissions read", total=len(paths))
        grading = progress.add_task("files graded", total=0)
        tasks = _tasks(paths, journal, entrants, lambda: progress.advance(reading))
        counted = _counted(tasks, lambda count: progress.update(grading, total=count))
        for key, found in workers.grades(pool, counted, journal.seed, window):
            _keep(journal, faults, key, found)
            progress.advance(grading)
    return entrants, faults


def _keep(journal: Journal, faults: dict[str, str], key: str, found: Found) -> None:
    """A fault is not kept: it says something about the machine, and the next run tries again."""
    if "fault" in found:
        faults[key] = found["fault"]
    else:
        journal.add(key, found)


def _tasks(paths: list[Path], journal: Journal, entrants: list[Entrant], read: Callable[[], object]) -> Iterator[Task]:
    """What is to be graded, while the submissions are read; entrants fills up on the way."""
    from grading.classroom.submissions import take
    from grading.classroom.workers import Task

    seen: set[str] = set()
    for path in paths:
        submission = take(path)
        keys = {kata: key_of(kata, data) for kata, data in submission.files.items()}
        entrants.append(Entrant(submission.name, keys, submission.refused, submission.fault))
        read()
        for kata, key in keys.items():
            if key not in seen and key not in journal:
                seen.add(key)
                yield Task(key, kata, submission.files[kata])


def _counted(tasks: Iterator[Task], show: Callable[[int], object]) -> Iterator[Task]:
    for count, task in enumerate(tasks, start=1):
        show(count)
        yield task


def key_of(kata: str, data: bytes) -> str:
    """Two files with the same key get the same grade, for the inputs are the same, too."""
    return f"{kata}-{hashlib.sha256(data).hexdigest()[:32]}"


def fingerprint() -> str:
    """Of the grader's own files: grades of different graders do not belong in one table."""
    total = hashlib.sha256()
    for folder in GRADER:
        files = (path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".toml"))
        for path in sorted(path for path in files if "submissions" not in path.parts and "engine" not in path.parts):
            total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:32]


def _has_dask() -> bool:
    import importlib.util

    return importlib.util.find_spec("distributed") is not None


def _new_seed() -> int:
    import secrets

    return secrets.randbelow(2**31)


# ------------------------------------------------------------------------------ from the journal to the table


@dataclass(frozen=True)
class Entrant:
    """One submission without its bytes: the key of each file, what was refused, why nothing could be read."""

    name: str
    keys: dict[str, str]
    refused: dict[str, str]
    fault: str


def rows(entrants: Sequence[Entrant], journal: Journal) -> Iterator[Row]:
    """The table, in order of names; a file's grade is read from the journal when its row comes."""
    from grading.classroom.overview import Row
    from grading.classroom.similarity import groups, shape

    shapes = {key: journal[key]["shape"] for entrant in entrants for key in entrant.keys.values() if key in journal}
    written = [(kata, shapes.get(key, ""), entrant.name) for entrant in entrants for kata, key in entrant.keys.items()]
    given = [(kata.stem, shape(kata.solution.read_bytes()), "the reference") for kata in Catalog().sound]
    stubs = {(kata.stem, shape(stub(kata).encode())) for kata in Catalog().sound}
    shared = {key: names for key, names in groups([*written, *given]).items() if key not in stubs}
    for entrant in entrants:
        results = tuple(_result(kata, entrant, journal) for kata in Catalog().katas)
        alike = [
            f"{kata}: {', '.join(name for name in shared[kata, shapes[key]] if name != entrant.name)}"
            for kata, key in entrant.keys.items()
            if (kata, shapes.get(key, "")) in shared
        ]
        yield Row(entrant.name, results, entrant.fault, tuple(alike))


def _result(kata: Kata, entrant: Entrant, journal: Journal) -> KataResult | None:
    """Of one kata; None where the grader failed."""
    message = entrant.fault or entrant.refused.get(kata.stem, "")
    key = entrant.keys.get(kata.stem)
    if message or key is None:
        outcome: Outcome = "broken" if message else "not started"
        return KataResult(kata.stem, kata.title, f"problems/{kata.stem}.py", outcome, 0, 0, message=message)
    if key not in journal:
        return None
    found = journal[key]["result"]
    found["causes"] = tuple(Cause(**cause) for cause in found["causes"])
    found["checks"] = tuple(CheckResult(**check) for check in found["checks"])
    return KataResult(**found)
