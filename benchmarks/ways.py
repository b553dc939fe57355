"""Ways to attend with fewer key/value heads than query heads: query (B, H, L, E), key and value (B, K, S, E)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Way = Callable[[Tensor, Tensor, Tensor], Tensor | None]


def fold(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The lines of solutions/gqa_kv_cache.py: the heads of a group become rows of one matrix."""
    (B, H, L, E), (K, S) = query.shape, key.shape[1:3]
    rows = (query / math.sqrt(E)).reshape(B, K, H // K * L, E)
    weights = (key @ rows.transpose(-2, -1)).transpose(-2, -1).reshape(B, H, L, S).softmax(dim=-1)
    return (weights.view(B, K, H // K * L, S) @ value).view(B, H, L, E)


def fold_query_first(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The lines of solutions/gqa.py: the same with the product of queries and keys the usual way round."""
    (B, H, L, E), (K, S) = query.shape, key.shape[1:3]
    rows = (query / math.sqrt(E)).reshape(B, K, H // K * L, E)
    weights = (rows @ key.transpose(-2, -1)).view(B, H, L, S).softmax(dim=-1)
    return (weights.view(B, K, H // K * L, S) @ value).view(B, H, L, E)


def repeat_interleave(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    group = query.size(1) // key.size(1)
    return _heads(query, key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1))


def expand(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    group = query.size(1) // key.size(1)
    key, value = (x.unsqueeze(2).expand(-1, -1, group, -1, -1).flatten(1, 2) for x in (key, value))
    return _heads(query, key, value)


def broadcast(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    query = query.unflatten(1, (key.size(1), -1))
    return _heads(query, key.unsqueeze(2), value.unsqueeze(2)).flatten(1, 2)


def einsum(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    query = query.unflatten(1, (key.size(1), -1)) / math.sqrt(query.size(-1))
    weights = torch.einsum("bkgle,bkse->bkgls", query, key).softmax(dim=-1)
    return torch.einsum("bkgls,bkse->bkgle", weights, value).flatten(1, 2)


def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, enable_gqa=True)


def floor(query: Tensor, key: Tensor, value: Tensor) -> None:
    """No attention at all: every key and value is read once."""
    read(key, value)


def read(*tensors: Tensor) -> None:
    """Move as many bytes as the tensors have: a sum reads them; on a GPU one half is copied, read and written."""
    for tensor in tensors:
        if tensor.is_cuda:
            tensor.flatten()[: tensor.numel() // 2].clone()
        else:
            tensor.sum()


def _heads(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query / math.sqrt(query.size(-1)) @ key.transpose(-2, -1)).softmax(dim=-1) @ value


WAYS: dict[str, Way] = {
    "fold": fold,
    "fold, query first": fold_query_first,
    "einsum": einsum,
    "F.sdpa(enable_gqa)": fused,
    "repeat_interleave": repeat_interleave,
    "expand": expand,
    "broadcast": broadcast,
    "floor": floor,
}
