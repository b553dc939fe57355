"""Multi-head attention, about 25 minutes.

Grade it with: python grader.py check mha

Multi-head attention: H attentions side by side, each in its own head_dim of the model.

    B batch    L query length    S key length    D d_model    H num_heads    E head_dim = D / H

    query (B, L, D)    key (B, S, D)    value (B, S, D)    ->    output (B, L, D)

- Layers q_proj, k_proj, v_proj, o_proj: nn.Linear(D, D), all with a bias or all without.
- Head h owns the h-th block of E features of q_proj, k_proj and v_proj, and of the input of o_proj.
- mask is boolean, True means *may attend*: (L, S), (B, L, S) or (B, 1 or H, L, S).
- A query that may attend to nothing: every head contributes zeros, so its row is o_proj's bias. The gradients stay
  finite in every dtype, whatever its scores.
- Dropout acts on the attention weights, each for itself, in training only, with a mask and without one.
- The dtype is kept (float16, bfloat16, float32, float64). Scores of 1e4 are safe, seen or masked, in float16 up to
  head_dim = 128. float64 in, float64 precision out, the root of head_dim and the softmax too.
- A call changes neither its inputs nor the parameters.
- ValueError when num_heads does not divide d_model.
"""

import math

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """Multi-head attention.

    Args:
        d_model: D, features of query, key, value and output.
        num_heads: H, divides d_model.
        dropout: probability of dropping an attention weight, in training.
        bias: whether the four projections have a bias.

    Raises:
        ValueError: num_heads does not divide d_model.

    Source: "Attention Is All You Need", section 3.2.2.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        # TODO:
        #   1. ValueError unless num_heads divides d_model
        #   2. the four projections, with or without bias, and the dropout
        raise NotImplementedError("MultiHeadAttention.__init__")

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D), (B, S, D), (B, S, D), bool mask (L, S) | (B, L, S) | (B, 1 or H, L, S) -> (B, L, D)."""
        # TODO:
        #   1. project query, key and value, and split each into heads
        #   2. scores of each head, scaled
        #   3. apply the mask: (L, S), (B, L, S) or (B, 1 or H, L, S)
        #   4. weights, with dropout in training
        #   5. weighted mean of the values, heads joined, projected out
        raise NotImplementedError("MultiHeadAttention.forward")
