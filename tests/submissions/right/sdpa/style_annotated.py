"""In the style of an annotated paper: attention() with a dropout argument, the weights beside the output, a plot."""

import copy
import math
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn as nn

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Bool, Float

warnings.filterwarnings("ignore")
RUN_EXAMPLES = False


def is_interactive_notebook():
    return __name__ == "__main__"


def show_example(fn, args=[]):
    if __name__ == "__main__" and RUN_EXAMPLES:
        return fn(*args)


def clones(module, N):
    "Produce N identical layers."
    return nn.ModuleList([copy.deepcopy(module) for _ in range(N)])


def attention(query, key, value, mask=None, dropout=None):
    "Compute 'Scaled Dot Product Attention'"
    d_k = query.size(-1)
    scores = torch.matmul(query / math.sqrt(d_k), key.transpose(-2, -1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min)
    p_attn = scores.softmax(dim=-1)
    if mask is not None:
        p_attn = p_attn.masked_fill(mask == 0, 0)
    if dropout is not None:
        p_attn = dropout(p_attn)
    return torch.matmul(p_attn, value), p_attn


def scaled_dot_product_attention(
    query: "Float[torch.Tensor, '... L E']", key, value, mask: "Bool[torch.Tensor, '... L S'] | None" = None
):
    x, _ = attention(query, key, value, mask)
    return x


def example_mask():
    for row in (torch.ones(5, 5).tril() == 1).tolist():
        print("".join("#" if seen else "." for seen in row))


def inference_test():
    start = time.time()
    q = torch.rand(1, 10, 16)
    out = scaled_dot_product_attention(q, q, q, torch.ones(10, 10).tril() == 1)
    np.testing.assert_allclose(out[:, 0].numpy(), q[:, 0].numpy(), rtol=1e-5)
    print("Example output:", tuple(out.shape), "%.1f s" % (time.time() - start))
