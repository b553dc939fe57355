"""The query is scaled in half precision, before all is taken to float32."""
# cause: scores-in-half

import torch
import torch.nn.functional as F


def _attend(q, k, v, mask, scale):
    s = torch.matmul(q, k.transpose(-2, -1)) * scale
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    # rows of -inf alone have no softmax: they are computed as if all were zero, and dropped
    blind = (s == float("-inf")).all(dim=-1)
    s = s.masked_fill(blind[..., None], 0.0)
    lse = torch.logsumexp(s, dim=-1)
    out = torch.matmul(torch.exp(s - lse[..., None]), v)
    return out.masked_fill(blind[..., None], 0.0), lse.masked_fill(blind, float("-inf"))


def merge(output_a, lse_a, output_b, lse_b):
    only_a = lse_b == float("-inf")
    only_b = (lse_a == float("-inf")) & ~only_a
    none = (lse_a == float("-inf")) & only_a
    # where one side is blind the difference is infinite: put numbers there, and choose afterwards
    a = lse_a.masked_fill(only_a | only_b, 0.0)
    b = lse_b.masked_fill(only_a | only_b, 0.0)
    output = output_a - torch.sigmoid(b - a)[..., None] * (output_a - output_b)
    lse = a - F.logsigmoid(a - b)
    output = torch.where(only_a[..., None], output_a, torch.where(only_b[..., None], output_b, output))
    output = output.masked_fill(none[..., None], 0.0)
    lse = torch.where(only_a, lse_a, torch.where(only_b, lse_b, lse))
    return output.to(output_a.dtype), lse


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1:
        raise ValueError("block_size must be >= 1")
    dtype = query.dtype
    query = query * query.shape[-1] ** -0.5
    if dtype != torch.float64:
        query, key, value = query.float(), key.float(), value.float()
    if mask is not None:
        mask = mask.expand(query.shape[:-1] + (key.shape[-2],))
    scale = 1.0
    out = lse = None
    for k, v, step in zip(key.split(block_size, -2), value.split(block_size, -2), range(key.shape[-2])):
        part = None if mask is None else mask[..., step * block_size : (step + 1) * block_size]
        block_out, block_lse = _attend(query, k, v, part, scale)
        if out is None:
            out, lse = block_out, block_lse
        else:
            out, lse = merge(out, lse, block_out, block_lse)
    return out.to(dtype), lse
