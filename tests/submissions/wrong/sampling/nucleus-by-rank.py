"""The mask of the sorted order indexes the row as it is."""
# cause: nucleus-by-rank


import torch
import torch.nn.functional as F


def top_k_top_p_filtering(logits, top_k=0, top_p=0.0, filter_value=-float("Inf")):
    """Filter one row of logits; 0 means no filter."""
    assert logits.dim() == 1
    top_k = min(top_k, logits.size(-1))
    if top_k > 0:
        sorted_indices = torch.argsort(logits, descending=True, stable=True)
        logits[sorted_indices[top_k:]] = filter_value

    if top_p > 0.0:
        sorted_logits, sorted_indices = torch.sort(logits, descending=True, stable=True)
        cumulative_probs = torch.cumsum(F.softmax(sorted_logits, dim=-1), dim=-1)

        # Remove tokens with cumulative probability above the threshold
        sorted_indices_to_remove = cumulative_probs >= top_p
        # Shift the indices to the right to keep also the first token above the threshold
        sorted_indices_to_remove[..., 1:] = sorted_indices_to_remove[..., :-1].clone()
        sorted_indices_to_remove[..., 0] = 0

        indices_to_remove = sorted_indices_to_remove
        logits[indices_to_remove] = filter_value
    return logits


def next_token_probs(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError("temperature <= 0")
    if top_k is not None and top_k <= 0:
        raise ValueError("top_k <= 0")
    if top_p is not None and (top_p <= 0 or top_p > 1):
        raise ValueError("top_p not in (0, 1]")
    if top_p == 1:
        top_p = None
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    rows = []
    for row in logits:
        row = row.to(dtype) / temperature
        row = top_k_top_p_filtering(row, top_k or 0, top_p or 0.0)
        rows.append(F.softmax(row, dim=-1))
    return torch.stack(rows).to(logits.dtype)


def sample(probs, u):
    tokens = []
    for row, threshold in zip(probs, u):
        above = (row.double().cumsum(0) > threshold.double()).nonzero()
        tokens.append(above[0, 0] if len(above) else row.nonzero()[-1, 0])
    return torch.stack(tokens)
