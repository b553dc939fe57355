"""Without a sort, the vocabulary is gone through by id."""
# cause: top-p-unsorted


import math

import torch


def softmax(values):
    largest = max(values)
    weights = [math.exp(value - largest) for value in values]
    total = sum(weights)
    return [weight / total for weight in weights]


def one_row(row, temperature, top_k, top_p):
    scores = [value / temperature for value in row]
    ranking = list(range(len(scores)))
    if top_k is not None:
        ranking = sorted(ranking, key=lambda i: -scores[i])[:top_k]
        ranking.sort()
    if top_p is not None and top_p != 1:
        probs = softmax([scores[i] for i in ranking])
        kept, before = [], 0.0
        for i, prob in zip(ranking, probs):
            if before >= top_p:
                break
            kept.append(i)
            before += prob
        ranking = kept
    probs = softmax([scores[i] for i in ranking])
    result = [0.0] * len(row)
    for i, prob in zip(ranking, probs):
        result[i] = prob
    return result


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if not temperature > 0:
        raise ValueError("temperature must be positive")
    if top_k is not None and not top_k >= 1:
        raise ValueError("top_k must be at least one")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError("top_p must be in (0, 1]")
    rows = [one_row(row, temperature, top_k, top_p) for row in logits.tolist()]
    return torch.tensor(rows, dtype=torch.float64).to(logits.dtype)


def sample(probs, u):
    ids = []
    for row, threshold in zip(probs.tolist(), u.tolist()):
        total, chosen = 0.0, None
        for i, prob in enumerate(row):
            total += prob
            if prob > 0:
                chosen = i
            if total > threshold:
                break
        ids.append(chosen)
    return torch.tensor(ids)
