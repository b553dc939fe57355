"""float32 for all."""
# cause: gradients-in-float32

import torch


def attention_backward(grad_output, query, key, value, mask=None):
    L, E = query.shape[-2:]
    S, Ev = value.shape[-2:]
    lead = query.shape[:-2]
    work = torch.float32
    g = grad_output.reshape(-1, L, Ev).to(work)
    q = query.reshape(-1, L, E).to(work)
    k = key.reshape(-1, S, E).to(work)
    v = value.reshape(-1, S, Ev).to(work)
    if mask is not None:
        mask = mask.expand(*lead, L, S).reshape(-1, L, S)
    root = E**0.5

    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for n in range(len(q)):
        for i in range(L):
            seen = torch.arange(S) if mask is None else mask[n, i].nonzero().squeeze(-1)
            if len(seen) == 0:
                continue
            keys, values = k[n, seen], v[n, seen]
            p = torch.softmax(keys @ q[n, i] / root, dim=0)
            dv[n, seen] += p[:, None] * g[n, i]
            dp = values @ g[n, i]
            ds = p * (dp - p @ dp) / root
            dq[n, i] = ds @ keys
            dk[n, seen] += ds[:, None] * q[n, i]
    return (
        dq.reshape(query.shape).to(query.dtype),
        dk.reshape(key.shape).to(query.dtype),
        dv.reshape(value.shape).to(query.dtype),
    )
