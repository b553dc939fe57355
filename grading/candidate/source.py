"""The learner's file as text: read once, with care, and never imported."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Unreadable(Exception):
    """There is no source text at that path; the text says why."""


def read(path: Path, limit: int) -> str:
    """The text of a regular UTF-8 file of at most `limit` bytes, with something in it. Raises Unreadable."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if path.is_symlink():
            raise Unreadable("the file is a link; it has to be the file itself")
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise Unreadable("there is no such file") from None
    except OSError as error:
        raise Unreadable(f"the file cannot be opened: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise Unreadable(f"the file has more than {limit // 1024} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"the file is not UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise Unreadable("the file is empty")
    return text
