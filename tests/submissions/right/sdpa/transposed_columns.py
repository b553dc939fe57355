"""Everything transposed: scores are (S, L), the softmax runs down the columns, prints left in for debugging."""

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    print("query", tuple(query.shape), query.dtype, "key", tuple(key.shape), "value", tuple(value.shape))
    n_queries, n_keys = query.size(-2), key.size(-2)
    out_dtype = query.dtype
    compute = torch.float32 if out_dtype.itemsize == 2 else out_dtype
    columns = key.to(compute).matmul(query.to(compute).mul(query.size(-1) ** -0.5).mT)  # (..., S, L)
    if mask is None:
        probabilities = columns.softmax(dim=-2)
    else:
        seen = mask.expand(*columns.shape[:-2], n_queries, n_keys).mT
        columns = columns.where(seen, columns.new_tensor(-torch.inf))
        any_key = seen.any(dim=-2, keepdim=True)
        # columns without a key get harmless zeros before the softmax and are wiped after it
        columns = columns.where(any_key, columns.new_zeros(()))
        probabilities = columns.softmax(dim=-2).where(seen, columns.new_zeros(()))
    return value.to(compute).mT.matmul(probabilities).mT.to(out_dtype)
