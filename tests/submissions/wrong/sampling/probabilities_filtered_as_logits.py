"""The softmax comes first, and the filters and another one after it."""
# cause: softmax-of-probabilities


import torch
from torch import FloatTensor, LongTensor

FILTER_VALUE = -float("inf")


class TemperatureWarper:
    def __init__(self, temperature: float):
        if not temperature > 0:
            raise ValueError(f"`temperature` has to be a strictly positive float, but is {temperature}")
        self.temperature = temperature

    def __call__(self, scores: FloatTensor) -> FloatTensor:
        return scores / self.temperature


class TopKWarper:
    def __init__(self, top_k: int, filter_value: float = FILTER_VALUE):
        if top_k <= 0:
            raise ValueError(f"`top_k` has to be a strictly positive integer, but is {top_k}")
        self.top_k = top_k
        self.filter_value = filter_value

    def __call__(self, scores: FloatTensor) -> FloatTensor:
        top_k = min(self.top_k, scores.size(-1))
        sorted_indices = torch.sort(scores, descending=True, stable=True).indices
        kept = torch.zeros_like(scores, dtype=torch.bool).scatter(1, sorted_indices[:, :top_k], True)
        return scores.masked_fill(~kept, self.filter_value)


class TopPWarper:
    def __init__(self, top_p: float, filter_value: float = FILTER_VALUE, min_tokens_to_keep: int = 1):
        if top_p <= 0 or top_p > 1.0:
            raise ValueError(f"`top_p` has to be a float > 0 and <= 1, but is {top_p}")
        self.top_p = top_p
        self.filter_value = filter_value
        self.min_tokens_to_keep = min_tokens_to_keep

    def __call__(self, scores: FloatTensor) -> FloatTensor:
        # ascending; of equal scores the one with the lower id comes last
        sorted_logits, flipped = torch.sort(scores.flip(-1), descending=False, stable=True)
        sorted_indices = scores.size(-1) - 1 - flipped
        cumulative_probs = sorted_logits.softmax(dim=-1).cumsum(dim=-1)

        sorted_indices_to_remove = cumulative_probs <= (1 - self.top_p)
        sorted_indices_to_remove[..., -self.min_tokens_to_keep :] = 0

        indices_to_remove = sorted_indices_to_remove.scatter(1, sorted_indices, sorted_indices_to_remove)
        return scores.masked_fill(indices_to_remove, self.filter_value)


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    warpers = [TemperatureWarper(temperature)]
    if top_k is not None:
        warpers.append(TopKWarper(top_k))
    if top_p is not None:
        warper = TopPWarper(top_p)
        if top_p < 1.0:
            warpers.append(warper)
    scores = logits if logits.dtype == torch.float64 else logits.float()
    for warper in warpers:
        scores = warper(scores)
    probs = (logits.double() / temperature).softmax(dim=-1).masked_fill(scores == FILTER_VALUE, FILTER_VALUE)
    return probs.softmax(dim=-1).to(logits.dtype)


def sample(probs: FloatTensor, u: FloatTensor) -> LongTensor:
    cumulative = probs.double().cumsum(dim=-1)
    exceeds = (cumulative > u.double().unsqueeze(-1)) & (probs > 0)
    last = probs.size(-1) - 1 - (probs > 0).flip(-1).long().argmax(dim=-1)
    return torch.where(exceeds.any(dim=-1), exceeds.long().argmax(dim=-1), last)
