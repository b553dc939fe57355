"""An error in place of a value, and when two of them say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DO_NOT_FIT = (  # what PyTorch says of two sizes: where tensors are broadcast, then of matrix products
    r"\((\d+)\) must match .*?\((\d+)\) at non-singleton dimension (\d+)",
    r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)",
    r"to be: \[\d+, (\d+)\] but got: \[\d+, (\d+)\]",
    r"has size (\d+) for operand \d+ which does not broadcast with previously seen size (\d+)",
)


@dataclass(frozen=True)
class Raised:
    """An error in place of a value."""

    type: str
    message: str
    own_words: bool = False

    def like(self, other: Any) -> bool:
        """The same class with the same text, where that is not in words of an answer's own."""
        if not isinstance(other, Raised) or self.type != other.type:
            return False
        return self.own_words or other.own_words or other.reason in (self.reason, *self._of_other_dimensions)

    def of_a_kind_with(self, other: Raised | None) -> bool:
        """The same class in other words, where both are about shapes or neither is."""
        return other is not None and self.type == other.type and self.about_shapes == other.about_shapes

    @property
    def reason(self) -> tuple[str, ...]:
        """Its text; of two sizes that do not fit, whichever comes first, and however a line multiplies, the sizes; of
        an index that is out of range, no more than that."""
        found = next(filter(None, (re.search(words, self.message) for words in DO_NOT_FIT)), None)
        if found:
            return (*sorted(found.groups()[:2]), *found.groups()[2:])
        return ("index",) if re.search(r"index .*out of (range|bounds)", self.message) else (self.message,)

    @property
    def about_shapes(self) -> bool:
        """Whether shapes did not fit: an error whose words any mistake in a shape ends in."""
        return bool(re.search(r"\bshapes?\b|\bsizes?\b|\bdimensions?\b|to unpack", self.message))

    @property
    def _of_other_dimensions(self) -> Iterator[tuple[str, ...]]:
        """The same one dimension earlier, as scores that have groups in a dimension of their own have one more, and one
        later, as the scores of one head have one less."""
        sizes, dimension = self.reason[:2], self.reason[2:]
        return ((*sizes, *(str(int(each) + apart) for each in dimension)) for apart in (-1, 1))


class Refused(ValueError):
    """A ValueError that a call raises by contract: a program raises it so, and each answer has words of its own."""


def caught(error: BaseException) -> Raised:
    if isinstance(error, Refused):
        return Raised("ValueError", str(error), own_words=True)
    return Raised(type(error).__name__, " ".join(str(error).split())[:300])
