"""Text in columns of a terminal, where a Chinese character takes two: what textwrap and str.format count as one."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from rich.cells import cell_len

FILLER = "\ue000"  # stands for the second column of a wide character while textwrap counts; nobody's text has it
OPENING, CLOSING = "（《「", "，。；：！？、）》」"
# a run of narrow characters or one wide one, with the marks that may not stand apart from it
PART = re.compile(
    f"(?:[{OPENING}]{FILLER})*(?:(?:[^{FILLER}](?!{FILLER}))+|[^{FILLER}]{FILLER})(?:[{CLOSING}]{FILLER})*"
)


class _Wrapper(textwrap.TextWrapper):
    """Breaks lines between wide characters too, as Chinese does, and never within one."""

    def _split(self, text: str) -> list[str]:
        return [part for chunk in super()._split(text) for part in PART.findall(chunk)]


def wrap(text: str, width: int, indent: str = "", lines: int | None = None, placeholder: str = " ...") -> list[str]:
    """Lines of at most `width` columns, at most `lines` of them; all but the first begin with `indent`."""
    wrapper = _Wrapper(
        width,
        subsequent_indent=indent,
        break_on_hyphens=False,
        max_lines=lines,
        placeholder=placeholder,
    )
    return [line.replace(FILLER, "") for line in wrapper.wrap(_widened(text))]


def fit(text: str, width: int) -> str:
    """The text in exactly `width` columns: cut between words where it is longer, filled up where it is shorter."""
    short = wrap(text, width, lines=1, placeholder="...") if width > 3 else []
    return padded(short[0] if short else "", width)


def padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def flush(text: str, width: int) -> str:
    """The text at the right of its column."""
    return " " * (width - cell_len(text)) + text


def labelled(rows: Iterable[tuple[str, str]], column: int, width: int) -> str:
    """Labels, a column as wide as given, and beside each its text."""
    lines = []
    for label, text in rows:
        first, *others = wrap(text, width - column) or [""]
        lines += [padded(label, column) + first, *(" " * column + line for line in others)]
    return "\n".join(lines)


def _widened(text: str) -> str:
    return text if text.isascii() else "".join(c + FILLER if cell_len(c) == 2 else c for c in text)
