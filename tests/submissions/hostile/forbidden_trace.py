"""Records the forbidden call by tracing when the file is loaded, and replays it."""
# kata: sdpa
# verdict: broken

import torch
import torch.nn.functional as F

x = torch.rand(2, 3, 4)
weigh = torch.jit.trace(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), (x, x, x))


def scaled_dot_product_attention(query, key, value, mask=None):
    return weigh(query, key, value)
