"""Whatever the filters, torch.topk does the sorting: ties are broken beforehand, by turning logits into ranks."""

import torch


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature = {temperature} is not positive")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k = {top_k} is not positive")
    if top_p is not None and (top_p <= 0 or top_p > 1):
        raise ValueError(f"top_p = {top_p} is not in (0, 1]")
    batch, vocab = logits.shape
    x = logits.to(torch.float64) / temperature
    # dense rank, then the id: a key that no two tokens of a row share
    keys = torch.stack([torch.unique(row, return_inverse=True)[1] for row in x]) * vocab - torch.arange(vocab)
    k = vocab if top_k is None else min(top_k, vocab)
    ids = keys.topk(k, dim=-1).indices
    top = x.gather(1, ids)
    probs = torch.softmax(top, dim=1)
    if top_p is not None and top_p != 1:
        before = torch.roll(probs.cumsum(1), 1, dims=1)
        before[:, 0] = 0
        top = torch.where(before < top_p, top, -torch.inf)
        probs = torch.softmax(top, dim=1)
    out = torch.zeros(batch, vocab, dtype=torch.float64)
    out.scatter_(1, ids, probs)
    return out.to(logits.dtype)


def sample(probs, u):
    p = probs.to(torch.float64)
    cdf = p.cumsum(1)
    hit = cdf > u.to(torch.float64).reshape(-1, 1)
    none = ~hit.any(1)
    id = hit.int().argmax(1)
    last = (p > 0).int().cumsum(1).argmax(1)
    id[none] = last[none]
    return id
