"""Tensor methods in a chain, with the prints of somebody who looks for a mistake."""

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    print("query", tuple(query.shape), query.dtype, "key", tuple(key.shape), "value", tuple(value.shape))
    n_queries, n_keys = query.size(-2), key.size(-2)
    out_dtype = query.dtype
    compute = torch.float32 if out_dtype.itemsize == 2 else out_dtype
    scores = query.to(compute).mul(query.size(-1) ** -0.5).matmul(key.to(compute).mT)
    if mask is None:
        return scores.softmax(dim=-1).matmul(value.to(compute)).to(out_dtype)
    seen = mask.expand(*scores.shape[:-2], n_queries, n_keys)
    scores = scores.masked_fill(~seen, torch.finfo(compute).min)
    probabilities = scores.softmax(dim=-1).masked_fill(~seen, 0.0)
    return probabilities.matmul(value.to(compute)).to(out_dtype)
