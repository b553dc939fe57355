"""delta is subtracted without the weight as its factor."""
# cause: row-sum-outside-the-weight

import math

from torch import Tensor, einsum, float32, promote_types, zeros_like


def weights_of(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    scores = einsum("...ld,...sd->...ls", query, key)
    if mask is None:
        return scores.softmax(-1)
    hidden = mask.logical_not().expand_as(scores)
    scores = scores.masked_fill(hidden, -1e30)
    weights = scores.softmax(-1)
    return weights.where(~hidden, zeros_like(weights))


def attention_backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, ...]:
    kind = promote_types(query.dtype, float32)
    go, q, k, v = (t.to(kind) for t in (grad_output, query, key, value))
    factor = 1 / math.sqrt(q.size(-1))
    q = q * factor
    w = weights_of(q, k, mask)
    out = einsum("...ls,...se->...le", w, v)
    delta = einsum("...le,...le->...l", go, out)
    gw = einsum("...le,...se->...ls", go, v)
    gs = w * gw - delta[..., None]
    gq = einsum("...ls,...sd->...ld", gs, k) * factor
    gk = einsum("...ls,...ld->...sd", gs, q)
    gv = einsum("...ls,...le->...se", w, go)
    return tuple(t.to(query.dtype) for t in (gq, gk, gv))
