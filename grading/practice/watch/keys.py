"""A terminal that gives single keys, and is left as it was found."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

END = "q"  # what Ctrl-C, Ctrl-D and a terminal that is gone stand for
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
SPECIAL = {"\x03": END, "\x04": END, "\r": "\n", "\x1b[6~": " ", "\x1b[B": " "}
WINDOWS_SPECIAL = {"Q": " ", "P": " "}  # what follows \xe0: page down and arrow down, as above


class Terminal(Protocol):
    """What a system has for single keys."""

    def open(self) -> None:
        """From now on keys come one by one and are not shown, Ctrl-C is a key."""
        ...

    def read(self) -> list[str] | None:
        """Wait for keys; none once the terminal is gone or `wake` was called, which is None."""
        ...

    def wake(self) -> None:
        """End the read that waits, and those that follow."""
        ...

    def close(self) -> None:
        """Put the terminal back into the mode that it was found in."""
        ...


class Keys:
    """While it is entered, calls pressed(key) for each key, in a thread of its own; a signal to end is the key q.

    Ctrl-C comes as a key, not as a signal: the fork server and the candidates are in the same group and would get it.
    """

    def __init__(self, pressed: Callable[[str], None]) -> None:
        self._pressed = pressed
        self._terminal = terminal()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Keys:
        self._terminal.open()
        self._thread.start()
        self._signals = {number: signal.signal(number, lambda *_: self._pressed(END)) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._signals.items():
            signal.signal(number, handler)
        self._terminal.wake()
        self._thread.join(5)
        self._terminal.close()

    def _read(self) -> None:
        while (keys := self._terminal.read()) is not None:
            for key in keys or [END]:
                self._pressed(SPECIAL.get(key, key.lower()))
            if not keys:
                return


def terminal() -> Terminal:
    """This system's."""
    return Console() if sys.platform == "win32" else Posix(sys.stdin.fileno())


class Posix:
    """A terminal of Linux or macOS."""

    def __init__(self, descriptor: int) -> None:
        self._input = descriptor

    def open(self) -> None:
        import termios

        self._found = termios.tcgetattr(self._input)
        self._wake = os.pipe()
        mode = termios.tcgetattr(self._input)
        mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
        termios.tcsetattr(self._input, termios.TCSADRAIN, mode)

    def read(self) -> list[str] | None:
        import select

        ready, _, _ = select.select([self._input, self._wake[0]], [], [])
        if self._wake[0] in ready:
            return None
        try:
            typed = os.read(self._input, 64).decode("utf-8", "replace")
        except OSError:
            return []
        return [typed] if typed[:1] == "\x1b" else list(typed)

    def wake(self) -> None:
        os.write(self._wake[1], b".")

    def close(self) -> None:
        import termios

        for descriptor in self._wake:
            os.close(descriptor)
        try:
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._found)
        except termios.error:
            pass  # the terminal is gone


class Console:
    """A console of Windows. It has no way to wait for a key or an end, so that it looks for both, often."""

    INPUT = -10  # STD_INPUT_HANDLE
    PROCESSED = 0x1  # ENABLE_PROCESSED_INPUT: Ctrl-C is a signal
    PAUSE = 0.03

    def __init__(self) -> None:
        import ctypes
        import msvcrt

        self._console: Any = msvcrt
        self._kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
        self._mode = ctypes.c_ulong()
        self._pointer = ctypes.byref(self._mode)
        self._ended = threading.Event()

    def open(self) -> None:
        self._handle = self._kernel.GetStdHandle(self.INPUT)
        self._kernel.GetConsoleMode(self._handle, self._pointer)
        self._kernel.SetConsoleMode(self._handle, self._mode.value & ~self.PROCESSED)

    def read(self) -> list[str] | None:
        while not self._ended.wait(self.PAUSE):
            if self._console.kbhit():
                return [self._key()]
        return None

    def _key(self) -> str:
        typed = str(self._console.getwch())
        if typed in ("\x00", "\xe0"):
            return WINDOWS_SPECIAL.get(self._console.getwch(), "")
        return typed

    def wake(self) -> None:
        self._ended.set()

    def close(self) -> None:
        self._kernel.SetConsoleMode(self._handle, self._mode.value)
