"""In half types the lowest finite number is used instead of -inf."""
# cause: additive-finite

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
        marks = torch.zeros(self.new, self.total, dtype=torch.long)
        marks[torch.arange(self.new), torch.arange(self.past, self.total)] = 1
        return marks.flip(1).cumsum(1).flip(1).bool()


def causal_mask(query_len, key_len=None):
    return Window(query_len, query_len if key_len is None else key_len).mask()


def additive_mask(mask, dtype=torch.float32):
    low = torch.finfo(dtype).min if dtype in (torch.float16, torch.bfloat16) else -torch.inf
    table = torch.tensor([low, 0.0], dtype=dtype)
    return table[mask.long()]
