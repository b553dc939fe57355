"""Broadcast products and sums instead of matmul, in very long one-liners, with a main block that compares."""

import torch, math
import torch.nn.functional as F


def scaled_dot_product_attention(query, key, value, mask=None):
    dt = torch.double if query.dtype == torch.double else torch.float
    w = torch.softmax(((query.to(dt)[..., :, None, :] / math.sqrt(query.shape[-1])) * key.to(dt)[..., None, :, :]).sum(-1).masked_fill(torch.zeros((), dtype=torch.bool, device=query.device) if mask is None else ~mask, torch.finfo(dt).min), -1)
    return ((w if mask is None else w.masked_fill(~mask, 0))[..., :, :, None] * value.to(dt)[..., None, :, :]).sum(-2).type_as(query)


if __name__ == "__main__":
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 6)
    m = torch.rand(5, 7) > 0.3
    print((scaled_dot_product_attention(q, k, v, m) - F.scaled_dot_product_attention(q, k, v, attn_mask=m)).abs().max())
