"""The probability of the last token that is kept is the threshold."""
# cause: top-p-ties-kept


import torch


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"out of range: {temperature=}, {top_k=}, {top_p=}")
    x = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    V = x.shape[1]
    i = torch.arange(V)
    higher = x[:, None, :] > x[:, :, None]  # [b, i, j]: j beats i
    earlier = (x[:, None, :] == x[:, :, None]) & (i[None, :] < i[:, None])
    beats = higher | earlier
    keep = torch.ones_like(x, dtype=torch.bool)
    if top_k is not None:
        keep = beats.sum(-1) < top_k
    weights = torch.exp(x - x.amax(-1, keepdim=True)) * keep
    probs = weights / weights.sum(-1, keepdim=True)
    if top_p is not None and top_p < 1:
        before = torch.einsum("bij,bj->bi", beats.to(probs.dtype), probs)
        probs = probs * (probs >= torch.where(before < top_p, probs, 2.0).amin(-1, keepdim=True))
        probs = probs / probs.sum(-1, keepdim=True)
    return probs.to(logits.dtype)


def sample(probs, u):
    V = probs.shape[1]
    p = probs.double()
    i = torch.arange(V)
    upto = torch.stack([p[:, : j + 1].sum(-1) for j in range(V)], dim=-1) if V < 100 else p.cumsum(-1)
    far = torch.full_like(i, V)
    first = torch.where(upto > u.double()[:, None], i, far).amin(-1)
    last = torch.where(p > 0, i, -1).amax(-1)
    return torch.where(first < V, torch.minimum(first, last), last)
