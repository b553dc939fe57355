"""Which files are saved in a folder: events of the system, or polling where these do not arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Stamps = dict[str, tuple[int, int, int]]

STEP, DEBOUNCE = 10, 50  # ms: an editor's steps of one save come within that
HEARTBEAT = 1000  # ms without events, after which the files themselves are looked at
MISSES = 2  # changes without an event, after which events are given up


class SavedFiles(threading.Thread):
    """Calls saved(names) for each save, in this thread, and polls() once where it has to poll."""

    def __init__(self, folder: Path, saved: Callable[[set[str]], None], polls: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._saved = saved
        self._polls = polls
        self._ended = threading.Event()
        self._seen = stamps(folder, "*.py")

    def run(self) -> None:
        polling = None
        while not self._ended.is_set():
            try:
                if self._follow(polling):
                    polling = True
                    self._polls()
            except (OSError, RuntimeError):  # the folder is gone, perhaps for a moment only
                self._ended.wait(0.3)

    def stop(self) -> None:
        """End the thread, and wait for that."""
        self._ended.set()
        self.join(5)

    def _follow(self, polling: bool | None) -> bool:
        """Report saves until it is stopped; True where the events turn out not to come."""
        misses, missed = 0, False
        for changes in self._changes(polling):
            now = stamps(self._folder, "*.py")
            names = {Path(path).name for _, path in changes} or _differing(self._seen, now)
            self._seen = now
            if missed and not changes and not polling:
                misses += 1
                if misses >= MISSES:
                    return True
            elif changes:
                misses = 0
            missed = bool(names) and not changes
            if names:
                self._saved(names)
        return False

    def _changes(self, polling: bool | None) -> Iterator[set[tuple[Any, str]]]:
        from watchfiles import watch

        return watch(
            self._folder,
            step=STEP,
            debounce=DEBOUNCE,
            rust_timeout=HEARTBEAT,
            yield_on_timeout=True,
            recursive=False,
            stop_event=self._ended,
            force_polling=polling,
            poll_delay_ms=100,
            watch_filter=lambda change, path: path.endswith(".py"),
        )


def _differing(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    paths = before.keys() | after.keys()
    return {Path(path).name for path in paths if before.get(path) != after.get(path)}


def stamps(folder: Path, pattern: str) -> Stamps:
    """What tells whether a file in that folder was changed, by path: time, size and inode."""
    found: Stamps = {}
    try:
        for path in folder.glob(pattern):
            stat = path.stat()
            found[str(path)] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except OSError:
        pass  # it went away meanwhile: whoever saved it saves again
    return found
