"""Everything is computed in float32, float64 too, and cast back."""
# cause: all-in-float32

import torch
import torch.nn.functional as F


def scaled_dot_product_attention(query, key, value, mask=None):
    in_dtype = query.dtype
    work = torch.float32
    q, k, v = query.to(work), key.to(work), value.to(work)

    scale = q.shape[-1] ** -0.5
    logits = torch.einsum("...le,...se->...ls", q, k) * scale

    if mask is not None:
        blind = ~mask.any(dim=-1, keepdim=True)
        logits = logits.masked_fill(~mask & ~blind, float("-inf"))

    attn = F.softmax(logits, dim=-1)

    if mask is not None:
        attn = attn.masked_fill(blind, 0.0)

    out = torch.einsum("...ls,...sv->...lv", attn, v)
    return out.to(in_dtype)
