"""The backward pass of attention, about 25 minutes.

Grade it with: python grader.py check attention_backward

The backward pass of attention, by hand: from the gradient of the output to those of query, key and value.

    ... any number of leading dimensions, also none    L query length    S key length    E head_dim    Ev value dim

    grad_output (..., L, Ev)    query (..., L, E)    key (..., S, E)    value (..., S, Ev)
        ->    grad_query (..., L, E)    grad_key (..., S, E)    grad_value (..., S, Ev)      L and S at least 1

- The forward pass is that of scaled dot-product attention: scores query @ key^T / sqrt(E), a softmax over the keys that
  the mask allows, and the weights times value. A query that may attend to nothing has an output of zeros.
- grad_output is the gradient of a loss with respect to that output; what is returned are the gradients of the same loss
  with respect to the three inputs. Where one tensor is passed for several, their gradients are not added.
- mask is boolean, True means *may attend*, and broadcasts to (..., L, S). A query that may attend to nothing gets a
  gradient of zeros and adds nothing to the others; a key that no query may attend to gets zeros. Finite inputs have
  finite gradients.
- Each gradient has the dtype of the inputs, which is the same for all: float16, bfloat16, float32 or float64. The work
  is done in at least float32, in float64 for float64, and a half-precision gradient is rounded when it is finished.
- Scores up to 1e4 must not overflow, seen or masked. The inputs are not modified, and may have any strides.
- Autograd is refused when it is reached: Tensor.backward, torch.autograd, torch.func.grad and vjp, torch.enable_grad,
  autograd.Function.apply, and torch._softmax_backward_data and its relatives. torch.softmax is welcome. The star, which
  fails nobody, is for holding about two tensors of L x S elements at a time.

Example with L = 1, S = 2, E = 4 and Ev = 1: query [2, 0, 0, 0], keys [0, 0, 0, 0] and [ln 3, 0, 0, 0], values 0 and 8,
grad_output 1. The scores are 0 and ln 3, so the weights are 1/4 and 3/4, and the output is 6.

    grad_value    [0.25], [0.75]
    grad_query    [0.8240, 0, 0, 0]
    grad_key      [-1.5, 0, 0, 0], [1.5, 0, 0, 0]
"""

import math

import torch
from torch import Tensor


def attention_backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value.

    Args:
        grad_output: (..., L, Ev), floating point; it, query, key and value have the same leading dimensions and dtype.
        query: (..., L, E)
        key: (..., S, E)
        value: (..., S, Ev)
        mask: bool, broadcastable to (..., L, S), True = may attend; None lets every query attend to every key.

    Returns:
        grad_query (..., L, E), grad_key (..., S, E), grad_value (..., S, Ev), in the dtype of the inputs.

    Source: "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness", appendix B.2, where the row
    sum is called D.
    """
    # TODO:
    #   1. the weights of the forward pass, zero where nothing may be attended to
    #   2. from grad_output to the gradients of value and of the weights
    #   3. from the gradients of the weights to those of the scores, through the softmax of each row
    #   4. from the gradients of the scores to those of query and key
    raise NotImplementedError("attention_backward")
