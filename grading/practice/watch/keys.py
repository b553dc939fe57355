"""A terminal that gives single keys, and is left as it was found."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

END = "q"  # what Ctrl-C, Ctrl-D and a terminal that is gone stand for
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SPECIAL = {"\x03": END, "\x04": END, "\r": "\n", "\x1b[6~": " ", "\x1b[B": " "}


@contextmanager
def collecting() -> Iterator[None]:
    """Keys wait, unseen, for whoever reads them in here: what is pressed while a program starts is not lost."""
    terminal = sys.stdin.fileno()
    found, mode = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
    try:
        yield
    finally:
        try:
            termios.tcsetattr(terminal, termios.TCSADRAIN, found)
        except termios.error:
            pass  # the terminal is gone


class Keys:
    """While it is entered, calls pressed(key) for each key, in a thread of its own; a signal to end is the key q.

    Ctrl-C comes as a key, not as a signal: the fork server and the candidates are in the same group and would get it.
    """

    def __init__(self, pressed: Callable[[str], None]) -> None:
        self._pressed = pressed
        self._input = sys.stdin.fileno()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Keys:
        self._found = termios.tcgetattr(self._input)
        self._wake = os.pipe()
        mode = termios.tcgetattr(self._input)
        mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
        termios.tcsetattr(self._input, termios.TCSADRAIN, mode)
        self._thread.start()
        self._signals = {number: signal.signal(number, lambda *_: self._pressed(END)) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._signals.items():
            signal.signal(number, handler)
        os.write(self._wake[1], b".")
        self._thread.join(5)
        for descriptor in self._wake:
            os.close(descriptor)
        try:
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._found)
        except termios.error:
            pass  # the terminal is gone

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._input, self._wake[0]], [], [])
            if self._wake[0] in ready:
                return
            try:
                typed = os.read(self._input, 64).decode("utf-8", "replace")
            except OSError:
                typed = ""
            if not typed:
                self._pressed(END)
                return
            for key in [typed] if typed[0] == "\x1b" else typed:
                self._pressed(SPECIAL.get(key, key.lower()))
