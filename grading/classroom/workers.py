"""Who grades a cohort's files: processes of this machine, or a Dask cluster, behind the same executor interface."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing.connection import wait as wait_for
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grading.records import EngineFault

if TYPE_CHECKING:
    from grading.examination.examiner import Examiner

TRIES = 2  # of a file whose worker died while it was the only one under way


@dataclass(frozen=True)
class Task:
    """One file to grade. Files with the same key are the same file."""

    key: str
    kata: str
    data: bytes


Pool = Callable[[], AbstractContextManager[Executor]]
Found = dict[str, Any]  # {"result": ..., "shape": ...}, or {"fault": words}


def grade_file(kata: str, data: bytes, seed: int) -> Found:
    """In a worker: the grade of one file, by the worker's own warm examiner."""
    with _LOCK:
        try:
            return _graded(kata, data, seed)
        except Exception:
            _examiner.cache_clear()  # its fork server may be gone: once more with a new one
            return _graded(kata, data, seed)


def _graded(kata: str, data: bytes, seed: int) -> Found:
    from grading.classroom.similarity import shape
    from grading.classroom.submissions import as_problems

    with tempfile.TemporaryDirectory(prefix="kata-cohort-") as folder:
        path = Path(folder) / f"{kata}.py"
        path.write_bytes(data)
        found = as_problems(_examiner().grade([kata], Path(folder), seed)).katas[0]
    if found.fault:
        raise EngineFault(found.message or found.fault.splitlines()[-1])
    result = asdict(found)
    result["checks"] = [check for check in result["checks"] if check["outcome"] != "passed"]
    return {"result": result, "shape": shape(data)}


_LOCK = threading.Lock()  # a Dask worker may have several threads; an examiner serves one


@cache
def _examiner() -> Examiner:
    """One a process: what an examiner costs is its start."""
    from grading.examination.examiner import Examiner

    examiner = Examiner()
    Finalize(None, examiner.close, exitpriority=10)  # a worker process does not run what atexit knows
    return examiner


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """Spawned, not forked: an examiner has to begin in a process that holds nothing yet."""
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    """In a new worker: make the examiner, and end with the parent, also when that is killed."""
    _examiner()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow(sentinel: int) -> None:
        wait_for([sentinel])
        os._exit(1)

    threading.Thread(target=follow, args=(parent.sentinel,), daemon=True).start()


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """A Dask cluster's workers, which need this repository on their PYTHONPATH. A lost worker's files go to another."""
    from distributed import Client

    with Client(address, timeout=10) as client:
        yield client.get_executor(pure=False)


def grades(pool: Pool, tasks: Iterator[Task], seed: int, window: int) -> Iterator[tuple[str, Found]]:
    """(key, what was found) in the order in which they are ready; at most `window` files are under way.

    Where a worker dies, all its pool is lost. The files that were under way then go one by one, so that the one
    that kills workers is known, and no other is held to blame.
    """
    suspects: deque[Task] = deque()
    tries: Counter[str] = Counter()
    while True:
        flying: dict[Future[Found], Task] = {}
        try:
            with pool() as executor:
                yield from _suspected(executor, suspects, tries, seed)
                yield from _fly(executor, tasks, flying, seed, window)
                return
        except BrokenExecutor:
            suspects.extend(flying.values())
            if suspects and tries[suspects[0].key] >= TRIES:
                yield suspects.popleft().key, {"fault": "the worker that graded it died"}


def _suspected(
    executor: Executor, suspects: deque[Task], tries: Counter[str], seed: int
) -> Iterator[tuple[str, Found]]:
    while suspects:
        task = suspects[0]
        tries[task.key] += 1
        found = _outcome(executor.submit(grade_file, task.kata, task.data, seed))
        suspects.popleft()
        yield task.key, found


def _fly(
    executor: Executor, tasks: Iterator[Task], flying: dict[Future[Found], Task], seed: int, window: int
) -> Iterator[tuple[str, Found]]:
    while True:
        while len(flying) < window and (task := next(tasks, None)):
            flying[_submit(executor, task, seed, flying)] = task
        if not flying:
            return
        for future in wait(flying, return_when=FIRST_COMPLETED).done:
            found = _outcome(future)
            yield flying.pop(future).key, found


def _submit(executor: Executor, task: Task, seed: int, flying: dict[Future[Found], Task]) -> Future[Found]:
    try:
        return executor.submit(grade_file, task.kata, task.data, seed)
    except BrokenExecutor:
        flying[Future()] = task  # it is among those that were under way
        raise


def _outcome(future: Future[Found]) -> Found:
    try:
        return future.result()
    except BrokenExecutor:
        raise
    except Exception as error:
        return {"fault": f"{type(error).__name__}: {error}"}
