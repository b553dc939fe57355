"""exp of the scores without their maximum."""
# cause: softmax-without-maximum

import math

import torch


def attention_backward(grad_output, query, key, value, mask=None):
    T, hs = query.size(-2), query.size(-1)
    S, vs = value.size(-2), value.size(-1)
    high = query.dtype if query.dtype.itemsize >= 4 else torch.float32
    dout = grad_output.reshape(-1, T, vs).to(high)
    q = query.reshape(-1, T, hs).to(high)
    k = key.reshape(-1, S, hs).to(high)
    v = value.reshape(-1, S, vs).to(high)
    scale = 1.0 / math.sqrt(hs)

    preatt = torch.bmm(q, k.transpose(1, 2)) * scale
    if mask is not None:
        allowed = mask.expand(*query.shape[:-1], S).reshape(-1, T, S)
        preatt[~allowed] = -math.inf
    maxval = preatt.max(dim=-1, keepdim=True).values
    if mask is not None:
        maxval[maxval == -math.inf] = 0.0
    expv = torch.exp(preatt)
    expsum = expv.sum(-1, keepdim=True)
    att = expv / torch.where(expsum == 0.0, 1.0, expsum)

    # backward through the value accumulation
    datt = torch.bmm(dout, v.transpose(1, 2))
    dv = torch.bmm(att.transpose(1, 2), dout)
    # backward through the softmax
    total = torch.bmm(att.reshape(-1, 1, S), datt.reshape(-1, S, 1)).reshape(-1, T, 1)
    dpreatt = att * (datt - total)
    # backward through q @ k
    dq = scale * torch.bmm(dpreatt, k)
    dk = scale * torch.bmm(dpreatt.transpose(1, 2), q)
    grads = zip((dq, dk, dv), (query, key, value), strict=True)
    return tuple(grad.reshape(x.shape).to(x.dtype) for grad, x in grads)
