"""The scale is taken from the last dimension of value instead of that of query."""
# cause: scale-value-dim

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    work = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(work), key.to(work), value.to(work)
    scores = torch.einsum("...le,...se->...ls", q, k) * v.shape[-1] ** -0.5
    if mask is not None:
        # torch.where cuts the gradient of the blocked places, so NaN rows cannot leak back
        scores = torch.where(mask, scores, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    weights = torch.nan_to_num(weights, nan=0.0)
    return torch.einsum("...ls,...sv->...lv", weights, v).to(query.dtype)
