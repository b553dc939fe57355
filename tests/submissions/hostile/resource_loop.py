"""Never answers."""
# kata: sdpa
# verdict: failed

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    while True:
        pass
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
