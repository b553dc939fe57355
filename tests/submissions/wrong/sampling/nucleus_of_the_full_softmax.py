"""The sum is divided by the weight of all tokens."""
# cause: top-p-of-all


import numpy as np
import torch


def to_numpy(x):
    return x.detach().double().numpy()


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError("temperature has to be positive")
    if top_k is not None and top_k < 1:
        raise ValueError("top_k has to be positive")
    if top_p is not None and not (0.0 < top_p <= 1.0):
        raise ValueError("top_p has to be in (0, 1]")
    x = to_numpy(logits) / temperature
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    order = np.argsort(-x, axis=-1, kind="stable")
    ranked = np.take_along_axis(weights, order, axis=-1)
    if top_k is not None:
        ranked[:, top_k:] = 0.0
    if top_p is not None and top_p < 1.0:
        normalised = ranked / weights.sum(axis=-1, keepdims=True)
        upto = np.cumsum(normalised, axis=-1)
        before = np.concatenate([np.zeros_like(upto[:, :1]), upto[:, :-1]], axis=-1)
        ranked = np.where(before < top_p, ranked, 0.0)
    ranked = ranked / ranked.sum(axis=-1, keepdims=True)
    probs = np.empty_like(ranked)
    np.put_along_axis(probs, order, ranked, axis=-1)
    return torch.from_numpy(probs).to(logits.dtype)


def sample(probs, u):
    ids = []
    for row, threshold in zip(to_numpy(probs), to_numpy(u)):
        at = np.searchsorted(np.cumsum(row), threshold, side="right")
        ids.append(min(int(at), int(np.flatnonzero(row)[-1])))
    return torch.tensor(ids, dtype=torch.int64)
