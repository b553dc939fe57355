"""The product of query and key is taken as they come; all that follows is float32 or better."""
# cause: scores-in-half

import torch

NEG = float("-inf")


def one_block(q, k, v, allowed):
    wide = torch.promote_types(q.dtype, torch.float32)
    scores, v = (q @ k.transpose(-1, -2)).to(wide) / q.size(-1) ** 0.5, v.to(wide)
    if allowed is None:
        return scores.softmax(-1) @ v, scores.logsumexp(-1)
    some = allowed.any(-1)
    # a row without keys keeps its scores here, so that its softmax exists, and is taken out afterwards
    scores = scores.masked_fill(~allowed & some.unsqueeze(-1), NEG)
    out = scores.softmax(-1).masked_fill(~some.unsqueeze(-1), 0.0) @ v
    return out, scores.logsumexp(-1).masked_fill(~some, NEG)


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1:
        raise ValueError(block_size)
    kind = query.dtype
    if mask is not None:
        mask = mask.expand(*query.shape[:-1], key.size(-2))
    out, lse = None, None
    for i in range(0, key.size(-2), block_size):
        j = i + block_size
        allowed = None if mask is None else mask[..., i:j]
        block = one_block(query, key[..., i:j, :], value[..., i:j, :], allowed)
        out, lse = block if out is None else merge(out, lse, *block)
    return out.to(kind), lse


def merge(output_a, lse_a, output_b, lse_b):
    nothing = (lse_a == NEG) & (lse_b == NEG)
    both = torch.stack([lse_a, lse_b], dim=-1).masked_fill(nothing.unsqueeze(-1), 0.0)
    weights = both.softmax(-1).masked_fill(nothing.unsqueeze(-1), 0.0)
    out = weights[..., :1] * output_a + weights[..., 1:] * output_b
    lse = both.logsumexp(-1).masked_fill(nothing, NEG)
    return out.to(output_a.dtype), lse
