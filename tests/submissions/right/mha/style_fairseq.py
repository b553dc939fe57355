"""In the style of a sequence-to-sequence toolkit: time first, heads folded into the batch, bmm, xavier initialisation."""

from __future__ import annotations

import logging
import math
from typing import Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

logger = logging.getLogger(__name__)


class FairseqDropout(nn.Module):
    def __init__(self, p, module_name=None):
        super().__init__()
        self.p = p
        self.module_name = module_name

    def forward(self, x, inplace: bool = False):
        if self.p > 0 and self.training:
            return F.dropout(x, p=self.p, training=True, inplace=inplace)
        return x


class MultiHeadAttention(nn.Module):
    """See "Attention Is All You Need" for more details."""

    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        self.embed_dim = d_model
        self.num_heads = num_heads
        self.dropout_module = FairseqDropout(dropout, module_name=self.__class__.__name__)
        self.head_dim = d_model // num_heads
        if self.head_dim * num_heads != self.embed_dim:
            raise ValueError(f"embed_dim ({d_model}) must be divisible by num_heads ({num_heads})")
        self.scaling = self.head_dim**-0.5
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.bias_k: Optional[Parameter] = None
        self.beam_size = 1
        self.reset_parameters()

    def reset_parameters(self):
        for proj in (self.k_proj, self.v_proj, self.q_proj):
            nn.init.xavier_uniform_(proj.weight, gain=1 / math.sqrt(2))
        nn.init.xavier_uniform_(self.o_proj.weight)
        if self.o_proj.bias is not None:
            nn.init.constant_(self.o_proj.bias, 0.0)

    def _fold(self, x: Tensor, length: int, bsz: int) -> Tensor:
        return x.contiguous().view(length, bsz * self.num_heads, self.head_dim).transpose(0, 1)

    def _attn_mask(self, mask: Tensor, bsz: int, tgt_len: int, src_len: int) -> Tensor:
        if mask.dim() == 2:
            mask = mask.unsqueeze(0).unsqueeze(0)
        elif mask.dim() == 3:
            mask = mask.unsqueeze(1)
        return mask.expand(bsz, self.num_heads, tgt_len, src_len).reshape(bsz * self.num_heads, tgt_len, src_len)

    def forward(self, query, key: Optional[Tensor], value: Optional[Tensor], mask: Optional[Tensor] = None) -> Tensor:
        # batch first -> time first
        query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        tgt_len, bsz, embed_dim = query.size()
        src_len = key.size(0)
        assert embed_dim == self.embed_dim, f"query dim {embed_dim} != {self.embed_dim}"
        q = self._fold(self.q_proj(query) * self.scaling, tgt_len, bsz)
        k = self._fold(self.k_proj(key), src_len, bsz)
        v = self._fold(self.v_proj(value), src_len, bsz)
        attn_weights = torch.bmm(q, k.transpose(1, 2))
        assert list(attn_weights.size()) == [bsz * self.num_heads, tgt_len, src_len]
        keep: Optional[Tensor] = None
        if mask is not None:
            keep = self._attn_mask(mask, bsz, tgt_len, src_len)
            attn_weights = attn_weights.masked_fill(~keep, torch.finfo(attn_weights.dtype).min)
        attn_weights_float = F.softmax(attn_weights, dim=-1, dtype=torch.promote_types(q.dtype, torch.float32))
        if keep is not None:
            attn_weights_float = attn_weights_float * keep
        attn_probs = self.dropout_module(attn_weights_float.type_as(attn_weights))
        attn = torch.bmm(attn_probs, v)
        attn = attn.transpose(0, 1).contiguous().view(tgt_len, bsz, self.embed_dim)
        return self.o_proj(attn).transpose(0, 1)

    def upgrade_state_dict_named(self, state_dict: Dict[str, Tensor], name: str) -> Tuple[str, ...]:
        prefix = name + "." if name != "" else ""
        return tuple(k for k in state_dict.keys() if k.endswith(prefix + "in_proj_weight"))
