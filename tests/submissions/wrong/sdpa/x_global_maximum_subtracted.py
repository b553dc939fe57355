"""The hand-made softmax subtracts one maximum of the whole tensor, so rows far below it underflow to zero."""
# cause: none

import functools
import typing as t

import torch
from torch import Tensor

HALF: t.Final = (torch.float16, torch.bfloat16)


def at_least_float32(fn: t.Callable[..., Tensor]) -> t.Callable[..., Tensor]:
    @functools.wraps(fn)
    def wrapper(query: Tensor, key: Tensor, value: Tensor, mask: t.Optional[Tensor] = None) -> Tensor:
        if query.dtype not in HALF:
            return fn(query, key, value, mask)
        return fn(query.float(), key.float(), value.float(), mask).to(dtype=query.dtype)

    return wrapper


class Steps:
    @staticmethod
    def logits(q, k):
        return torch.matmul(q, torch.swapaxes(k, -1, -2)).div(q.size(-1) ** 0.5)

    @staticmethod
    def forbid(x, mask):
        return x if mask is None else x.masked_fill(torch.logical_not(mask), float("-inf"))

    @staticmethod
    def normalise(x):
        biggest = x.max()
        biggest = torch.where(torch.isinf(biggest), torch.zeros_like(biggest), biggest)
        e = torch.exp(x - biggest)
        total = e.sum(-1, keepdim=True)
        return e / total.masked_fill(total == 0, 1.0)


@at_least_float32
def scaled_dot_product_attention(query, key, value, mask=None):
    return Steps.normalise(Steps.forbid(Steps.logits(query, key), mask)) @ value
