"""In the style of a training recipe library: a Config with class methods and checks, q_per_kv, typing everywhere."""
# star: none

import math
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Optional, Type

import torch
import torch.nn as nn
from typing_extensions import Self

configs: "list[dict[str, Any]]" = [dict(name="pythia-14m", n_embd=128, n_head=4), dict(name="tiny", n_embd=64)]
name_to_config = {config["name"]: config for config in deepcopy(configs)}


@dataclass
class Config:
    name: str = ""
    n_embd: int = 4096
    n_head: int = 32
    head_size: Optional[int] = None
    n_query_groups: Optional[int] = None
    attn_bias: bool = False
    norm_class_name: Literal["LayerNorm", "RMSNorm"] = "LayerNorm"
    extra: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.n_embd % self.n_head != 0:
            raise ValueError(f"n_embd {self.n_embd} is not divisible by n_head {self.n_head}")
        if self.head_size is None:
            self.head_size = self.n_embd // self.n_head
        if self.n_query_groups is None:
            self.n_query_groups = self.n_head
        if self.n_head % self.n_query_groups != 0:
            raise ValueError(f"n_head {self.n_head} is not divisible by n_query_groups {self.n_query_groups}")

    @classmethod
    def from_name(cls, name: str, **kwargs: Any) -> Self:
        return replace(cls(**name_to_config[name]), **kwargs)

    @property
    def norm_class(self) -> Type[nn.Module]:
        return getattr(nn, self.norm_class_name)


class GroupedQueryAttention(nn.Module):
    def __init__(
        self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__()
        config = Config(n_embd=d_model, n_head=num_heads, n_query_groups=num_kv_heads, attn_bias=bias)
        self.q_proj = nn.Linear(config.n_embd, config.n_head * config.head_size, bias=bias)
        self.k_proj = nn.Linear(config.n_embd, config.n_query_groups * config.head_size, bias=bias)
        self.v_proj = nn.Linear(config.n_embd, config.n_query_groups * config.head_size, bias=bias)
        self.o_proj = nn.Linear(config.head_size * config.n_head, config.n_embd, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.config = config

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        B, T, C = query.size()
        S = key.size(1)
        q_per_kv = self.config.n_head // self.config.n_query_groups
        q = self.q_proj(query).view(B, T, self.config.n_query_groups, q_per_kv, self.config.head_size)
        k = self.k_proj(key).view(B, S, self.config.n_query_groups, 1, self.config.head_size)
        v = self.v_proj(value).view(B, S, self.config.n_query_groups, 1, self.config.head_size)
        q = q.permute(0, 2, 3, 1, 4)  # (B, n_query_groups, q_per_kv, T, hs)
        k = k.permute(0, 2, 3, 1, 4)  # (B, n_query_groups, 1, S, hs)
        v = v.permute(0, 2, 3, 1, 4)  # (B, n_query_groups, 1, S, hs)
        # maybe repeat k and v if for the non multi-head attention cases
        k = k.expand(B, self.config.n_query_groups, q_per_kv, S, self.config.head_size)
        v = v.expand(B, self.config.n_query_groups, q_per_kv, S, self.config.head_size)
        q = q.reshape(B, -1, T, self.config.head_size)
        k = k.reshape(B, -1, S, self.config.head_size)
        v = v.reshape(B, -1, S, self.config.head_size)
        y = self.scaled_dot_product_attention(q, k, v, mask)
        return self.o_proj(y.reshape(B, T, self.config.head_size * self.config.n_head))

    def scaled_dot_product_attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        scale = 1.0 / math.sqrt(self.config.head_size)
        scores = (q * scale) @ k.mT
        if mask is not None:
            mask = mask.unsqueeze(1) if mask.ndim == 3 else mask
            scores = scores.masked_fill(mask.logical_not(), torch.finfo(q.dtype).min)
        probs = torch.nn.functional.softmax(scores, dim=-1)
        probs = probs if mask is None else probs.masked_fill(mask.logical_not(), 0)
        return (self.dropout(probs) @ v).transpose(1, 2)


def test_config() -> None:
    assert Config.from_name("tiny", n_head=8).head_size == 8
