"""Sleeps for an hour."""
# kata: sdpa
# verdict: failed

import time

import torch


def scaled_dot_product_attention(query, key, value, mask=None):
    time.sleep(3600)
    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)
