"""Never answers, and catches whatever would stop it."""
# kata: sdpa
# verdict: failed

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
