"""The NaN of an empty row is left."""
# cause: empty-row-nan

import torch
import torch.nn.functional as F


def attention_backward(grad_output, query, key, value, mask=None):
    in_dtype = query.dtype
    if in_dtype in (torch.float16, torch.bfloat16):
        grad_output, query, key, value = grad_output.float(), query.float(), key.float(), value.float()
    scale = query.shape[-1] ** -0.5

    # forward again
    S = query @ key.transpose(-2, -1) * scale
    if mask is not None:
        S = S.masked_fill(mask == False, float("-inf"))  # noqa: E712
    P = F.softmax(S, dim=-1)

    # backward
    dV = P.transpose(-2, -1) @ grad_output
    dP = grad_output @ value.transpose(-2, -1)
    D = (P * dP).sum(dim=-1, keepdim=True)
    dS = P * (dP - D)
    dQ = dS @ key * scale
    dK = dS.transpose(-2, -1) @ query * scale
    return dQ.to(in_dtype), dK.to(in_dtype), dV.to(in_dtype)
