"""Einsum throughout, with a helper for the weights."""
# star: none

import torch
from torch import Tensor


def _up(t: Tensor) -> Tensor:
    return t if t.dtype == torch.float64 else t.float()


def _weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    logits = torch.einsum("...id,...jd->...ij", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
    weights = logits.softmax(-1)
    return weights if mask is None else weights * mask


def attention_backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    dt = query.dtype
    go, q, k, v = map(_up, (grad_output, query, key, value))
    a = _weights(q, k, mask)

    gv = torch.einsum("...ij,...if->...jf", a, go)
    ga = torch.einsum("...if,...jf->...ij", go, v)
    delta = (a * ga).sum(-1, keepdim=True)  # one number for each query
    gs = (a * ga - a * delta) * q.shape[-1] ** -0.5
    gq = torch.einsum("...ij,...jd->...id", gs, k)
    gk = torch.einsum("...ij,...id->...jd", gs, q)
    return gq.to(dt), gk.to(dt), gv.to(dt)
