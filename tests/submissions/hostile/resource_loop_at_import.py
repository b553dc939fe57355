"""Never finishes loading."""
# kata: sdpa
# verdict: broken

import torch

while True:
    pass


def scaled_dot_product_attention(query, key, value, mask=None):
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype, requires_grad=True)
