"""A learner's solution beside the reference."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table

from grading.texts import word

NARROW = 110


def side_by_side(yours: str, reference: str, width: int) -> RenderableType:
    """Two columns, or one below the other on a narrow screen."""
    parts = [Syntax(text.strip(), "python", word_wrap=True, background_color="default") for text in (yours, reference)]
    if width < NARROW:
        return Group(Rule(word("yours")), parts[0], Rule(word("reference")), parts[1])
    table = Table(expand=True)
    for key in ("yours", "reference"):
        table.add_column(word(key), ratio=1)
    table.add_row(*parts)
    return table
