"""The layers of sources A, B, D and E in one piece, with the choices that each of them makes.

A's, B's and the Annotated Transformer's multi-head layer are one program: project, view, exchange tokens and heads,
score, fill, softmax, drop, sum, merge. They differ in the fill, in what they do to a mask, and in the sizes they check.
"""

import math

import torch
from torch import nn

Cache = tuple[torch.Tensor, torch.Tensor]


class Layer(nn.Module):
    """Multi-head attention as A builds it, grouped where `kv_heads` says so; B and the Annotated layer are settings."""

    def __init__(self, heads, d_model, kv_heads=None, fill=-1e9, unsqueeze=True, dropout=0.1, scale=None):
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads or heads, d_model // heads
        self.d_model, self.fill, self.unsqueeze = d_model, fill, unsqueeze
        self.scale = scale or self.size  # E's word example takes the width of the model
        self.q, self.out = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.k, self.v = (nn.Linear(d_model, self.kv_heads * self.size) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def attend(self, q, k, v, mask=None):
        """Heads before positions; a mask gets an axis for the heads if the source gives it one, whatever its shape."""
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.scale)
        if mask is not None:
            scores = scores.masked_fill((mask.unsqueeze(1) if self.unsqueeze else mask) == 0, self.fill)
        return self.dropout(scores.softmax(-1)) @ v

    def forward(self, q, k, v, mask=None, cache: Cache | None = None):
        """(B, L, D) and twice (B, S, D); views with -1 for the length, as A and the Annotated layer have them."""
        batch = len(q)
        q = self.q(q).view(batch, -1, self.heads, self.size).transpose(1, 2)
        k, v = (project(x).view(batch, -1, self.kv_heads, self.size) for project, x in ((self.k, k), (self.v, v)))
        if cache is not None:
            k, v = (torch.cat([old, new], dim=1) for old, new in zip(cache, (k, v), strict=True))
        self.cache = k, v
        wide = (x.repeat_interleave(self.heads // self.kv_heads, dim=2).transpose(1, 2) for x in (k, v))
        merged = self.attend(q, *wide, mask).transpose(1, 2).contiguous().view(batch, -1, self.d_model)
        return self.out(merged)


def reference(layer: Layer, q, k, v, mask=None):
    """PyTorch's own function with the same weights; True in the mask: may attend."""
    split = [
        project(x).unflatten(-1, (-1, layer.size)).transpose(1, 2)
        for project, x in ((layer.q, q), (layer.k, k), (layer.v, v))
    ]
    heads = nn.functional.scaled_dot_product_attention(*split, attn_mask=mask, enable_gqa=True)
    return layer.out(heads.transpose(1, 2).flatten(2))


def group_summed(q, k, v):
    """D's scores and output: the letter of the group is missing on the right of the einsum; (K, r, L, E), (K, S, E)."""
    scores = torch.einsum("krle,kse->kls", q, k) / math.sqrt(q.shape[-1])
    return scores, scores.softmax(-1) @ v
