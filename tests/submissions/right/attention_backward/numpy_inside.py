"""NumPy, in float64 throughout."""
# star: none

import numpy as np
import torch


def attention_backward(grad_output, query, key, value, mask=None):
    dy, q, k, v = (x.detach().double().numpy() for x in (grad_output, query, key, value))
    d = q.shape[-1]

    z = q @ k.swapaxes(-1, -2) / np.sqrt(d)
    if mask is not None:
        z = np.where(mask.numpy(), z, -np.inf)
    top = z.max(axis=-1, keepdims=True)
    e = np.exp(z - np.where(np.isfinite(top), top, 0.0))
    n = e.sum(axis=-1, keepdims=True)
    a = np.divide(e, n, out=np.zeros_like(e), where=n > 0)

    dv = a.swapaxes(-1, -2) @ dy
    da = dy @ v.swapaxes(-1, -2)
    dz = a * (da - np.sum(a * da, axis=-1, keepdims=True))
    dz /= np.sqrt(d)
    dq = dz @ k
    dk = dz.swapaxes(-1, -2) @ q
    return tuple(torch.from_numpy(np.ascontiguousarray(x)).to(query.dtype) for x in (dq, dk, dv))
