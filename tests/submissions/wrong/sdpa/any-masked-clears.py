"""Rows that see something are told by all where any is meant."""
# cause: any-masked-clears

import torch
import torch.nn.functional as F


def scaled_dot_product_attention(query, key, value, mask=None):
    in_dtype = query.dtype
    work = torch.float32 if in_dtype in (torch.float16, torch.bfloat16) else in_dtype
    q, k, v = query.to(work), key.to(work), value.to(work)

    scale = q.shape[-1] ** -0.5
    logits = torch.einsum("...le,...se->...ls", q, k) * scale

    if mask is not None:
        blind = ~mask.any(dim=-1, keepdim=True)
        logits = logits.masked_fill(~mask & ~blind, float("-inf"))

    attn = F.softmax(logits, dim=-1)

    if mask is not None:
        attn = attn.masked_fill(~mask.all(dim=-1, keepdim=True), 0.0)

    out = torch.einsum("...ls,...sv->...lv", attn, v)
    return out.to(in_dtype)
