"""A single query is treated as the first position: it sees one key of many."""
# cause: none

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Window:
    new: int
    total: int

    @property
    def past(self) -> int:
        return self.total - self.new

    def mask(self) -> torch.Tensor:
        if self.new == 1:
            return torch.arange(self.total)[None] < 1
        marks = torch.zeros(self.new, self.total, dtype=torch.long)
        marks[torch.arange(self.new), torch.arange(self.past, self.total)] = 1
        return marks.flip(1).cumsum(1).flip(1).bool()


def causal_mask(query_len, key_len=None):
    return Window(query_len, query_len if key_len is None else key_len).mask()


def additive_mask(mask, dtype=torch.float32):
    table = torch.tensor([-torch.inf, 0.0], dtype=dtype)
    return table[mask.long()]
