"""Everything is upcast to float32 and cast back, which for float64 is a downcast."""
# cause: all-in-float32

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    q, k, v = query.float(), key.float(), value.float()
    scores = torch.einsum("...le,...se->...ls", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        # torch.where cuts the gradient of the blocked places, so NaN rows cannot leak back
        scores = torch.where(mask, scores, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    weights = torch.nan_to_num(weights, nan=0.0)
    return torch.einsum("...ls,...sv->...lv", weights, v).to(query.dtype)
