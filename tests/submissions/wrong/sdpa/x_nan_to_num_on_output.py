"""nan_to_num is applied to the output instead of the weights, so NaN weights reach the gradient of value."""
# cause: empty-row-nan-gradient

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    work = torch.promote_types(query.dtype, torch.float32)
    q, k, v = query.to(work), key.to(work), value.to(work)
    scores = torch.einsum("...le,...se->...ls", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        # torch.where cuts the gradient of the blocked places, so NaN rows cannot leak back
        scores = torch.where(mask, scores, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    output = torch.einsum("...ls,...sv->...lv", weights, v)
    return torch.nan_to_num(output, nan=0.0).to(query.dtype)
