"""Text in columns of a terminal, where a Chinese character takes two: what textwrap and str.format count as one."""

from __future__ import annotations

import textwrap

from rich.cells import cell_len

FILLER = "\ue000"  # stands for the second column of a wide character while textwrap counts; nobody's text has it


def wrap(text: str, width: int, indent: str = "", lines: int | None = None, placeholder: str = " ...") -> list[str]:
    """Lines of at most `width` columns, at most `lines` of them; all but the first begin with `indent`."""
    wrapped = textwrap.wrap(
        _widened(text),
        width,
        subsequent_indent=indent,
        break_on_hyphens=False,
        max_lines=lines,
        placeholder=placeholder,
        drop_whitespace=not text.startswith(" "),
    )
    return [line.replace(FILLER, "") for line in wrapped]


def fit(text: str, width: int) -> str:
    """The text in exactly `width` columns: cut between words where it is longer, filled up where it is shorter."""
    short = wrap(text, width, lines=1, placeholder="...") if width > 3 else []
    return padded(short[0] if short else "", width)


def padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _widened(text: str) -> str:
    return text if text.isascii() else "".join(c + FILLER if cell_len(c) == 2 else c for c in text)
