"""The uniform numbers are rounded to float32."""
# cause: none

import torch


def sample_top_k(probs, k):
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True, stable=True)
    probs_sort[..., k:] = 0.0
    probs_sort.div_(probs_sort.sum(dim=-1, keepdim=True))
    return torch.zeros_like(probs).scatter_(-1, probs_idx, probs_sort)


def sample_top_p(probs, p):
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True, stable=True)
    probs_sum = torch.cumsum(probs_sort, dim=-1)
    mask = probs_sum - probs_sort >= p
    probs_sort[mask] = 0.0
    probs_sort.div_(probs_sort.sum(dim=-1, keepdim=True))
    return torch.zeros_like(probs).scatter_(-1, probs_idx, probs_sort)


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError("temperature")
    if top_k is not None and top_k < 1:
        raise ValueError("top_k")
    if top_p is not None and (top_p <= 0 or top_p > 1):
        raise ValueError("top_p")
    work = logits.to(torch.promote_types(logits.dtype, torch.float32))
    probs = torch.softmax(work / temperature, dim=-1)
    if top_k is not None:
        probs = sample_top_k(probs, top_k)
    if top_p is not None and top_p < 1.0:
        probs = sample_top_p(probs, top_p)
    return probs.to(logits.dtype)


def sample(probs, u):
    probs_sum = torch.cumsum(probs.to(torch.promote_types(probs.dtype, torch.float32)), dim=-1)
    token = torch.searchsorted(probs_sum.double(), u.float().double().unsqueeze(-1), right=True)
    token = token.squeeze(-1)
    last = (probs != 0).cumsum(dim=-1).argmax(dim=-1)
    return torch.minimum(token, last)
