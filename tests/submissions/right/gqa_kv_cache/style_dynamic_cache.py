"""In the style of a model library: a DynamicCache object inside, cache_position, a sliding minimum dtype, deprecations."""
# star: none

import copy
import functools
import logging
import warnings
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import nn

logger = logging.getLogger(__name__)


def deprecate(version: str):
    def decorator(fn):
        @functools.wraps(fn)
        def inner(*args, **kwargs):
            if "past_key_value" in kwargs:
                warnings.warn(f"past_key_value is deprecated, removed in {version}", FutureWarning)
            return fn(*args, **kwargs)

        return inner

    return decorator


class DynamicCache:
    """A cache that grows dynamically as more tokens are generated."""

    def __init__(self) -> None:
        self.key_cache: List[torch.Tensor] = []
        self.value_cache: List[torch.Tensor] = []

    def __len__(self) -> int:
        return len(self.key_cache)

    @classmethod
    def from_legacy_cache(cls, past_key_values: Optional[Tuple[torch.Tensor, torch.Tensor]] = None) -> "DynamicCache":
        cache = cls()
        if past_key_values is not None:
            cache.update(*past_key_values, layer_idx=0)
        return cache

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, cache_kwargs: Dict[str, Any] = {}
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        if len(self.key_cache) <= layer_idx:
            self.key_cache.append(key_states)
            self.value_cache.append(value_states)
        else:
            self.key_cache[layer_idx] = torch.cat([self.key_cache[layer_idx], key_states], dim=-2)
            self.value_cache[layer_idx] = torch.cat([self.value_cache[layer_idx], value_states], dim=-2)
        return self.key_cache[layer_idx], self.value_cache[layer_idx]

    def get_seq_length(self, layer_idx: Optional[int] = 0) -> int:
        return 0 if len(self) <= layer_idx else self.key_cache[layer_idx].shape[-2]


class CachedGroupedQueryAttention(nn.Module):
    def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
        super().__init__()
        if (d_model % num_heads) != 0:
            raise ValueError(f"hidden_size must be divisible by num_heads (got {d_model} and {num_heads}).")
        if (num_heads % num_kv_heads) != 0:
            raise ValueError(f"num_heads must be divisible by num_kv_heads (got {num_heads} and {num_kv_heads}).")
        self.head_dim = d_model // num_heads
        self.num_key_value_groups = num_heads // num_kv_heads
        self.q_proj = nn.Linear(d_model, num_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(num_heads * self.head_dim, d_model, bias=bias)

    @deprecate("5.0")
    def forward(self, x, kv_cache=None):
        cache = DynamicCache.from_legacy_cache(copy.copy(kv_cache))
        past_seen_tokens = cache.get_seq_length()
        hidden_shape = (*x.shape[:-1], -1, self.head_dim)
        query_states = self.q_proj(x).view(hidden_shape).transpose(1, 2)
        key_states = self.k_proj(x).view(hidden_shape).transpose(1, 2)
        value_states = self.v_proj(x).view(hidden_shape).transpose(1, 2)
        key_states, value_states = cache.update(key_states, value_states, 0)
        cache_position = torch.arange(past_seen_tokens, past_seen_tokens + x.shape[1], device=x.device)
        logger.debug("cache_position %s", cache_position)
        attn_output = self._attend(query_states, key_states, value_states, cache_position)
        attn_output = self.o_proj(attn_output.transpose(1, 2).reshape(*x.shape[:-1], -1))
        return attn_output, (cache.key_cache[0], cache.value_cache[0])

    def _attend(self, query, key, value, cache_position):
        min_dtype = torch.finfo(query.dtype).min
        causal_mask = torch.full((cache_position.shape[0], key.shape[-2]), min_dtype, dtype=query.dtype)
        causal_mask = causal_mask * (torch.arange(key.shape[-2]) > cache_position.reshape(-1, 1))
        key = key.repeat_interleave(self.num_key_value_groups, dim=1)
        value = value.repeat_interleave(self.num_key_value_groups, dim=1)
        attn_weights = torch.matmul(query * self.head_dim**-0.5, key.transpose(2, 3))
        # the lowest number is put in, not added: two very low numbers add up to -inf
        attn_weights = torch.where(causal_mask < 0, causal_mask, attn_weights)
        attn_weights = nn.functional.softmax(attn_weights, dim=-1)
        return torch.matmul(attn_weights, value)
