"""Mistakes in errors raised, inputs changed, gradients and cost: no output shows them."""

from collections.abc import Callable

from grading.diagnosis.evidence import Decode, Facts
from grading.diagnosis.mistakes.record import CACHED, GROUPED, LAYERS, MASKED, Mistake


def _raises(argument: str, *classes: str) -> Callable[[str, Facts], bool]:
    return lambda kata, facts: facts.raised.get(argument) in classes


def _asserts(kata: str, facts: Facts) -> bool:
    return "AssertionError" in facts.raised.values()


def _modified(*names: str) -> Callable[[str, Facts], bool]:
    return lambda kata, facts: bool(set(names) & set(facts.modified))


def _nan_gradient(kata: str, facts: Facts) -> bool:
    # the softmax of an empty row: its NaN goes back to the scores, and so to query and key, and never to value
    return {"query", "key"} <= set(facts.nan_gradients) and "value" not in facts.nan_gradients


def _flops(decode: Decode, projected: int, queries: int = 1) -> int:
    """Of one step when keys and values are projected for `projected` tokens and queries for `queries`."""
    D, E = decode.d_model, decode.d_model // decode.num_heads
    attend = 4 * queries * (decode.past + 1) * D
    return 4 * queries * D * D + 4 * projected * D * decode.num_kv_heads * E + attend


def _all_projected(kata: str, facts: Facts) -> bool:
    seen = facts.decode
    if seen is None:
        return False
    S = seen.past + 1
    return seen.flops in (_flops(seen, S), _flops(seen, S, S))


MISTAKES = (
    Mistake(
        "divisibility-unchecked",
        LAYERS,
        "constructor",
        "nothing is raised when num_heads does not divide d_model (6 and 25)",
        "The error comes later and says less, or never comes.",
        "mha.ipynb#Split-and-merge",
        proof=_raises("d_model", ""),
    ),
    Mistake(
        "groups-unchecked",
        GROUPED,
        "constructor",
        "nothing is raised when num_kv_heads does not divide num_heads (4 and 6)",
        "The error comes later and says less, or never comes.",
        "gqa.ipynb#Break-it",
        proof=_raises("num_heads", ""),
    ),
    Mistake(
        "assert-instead-of-error",
        LAYERS,
        "constructor",
        "the sizes are checked with assert, which raises AssertionError instead of ValueError",
        "python -O takes the check away.",
        "mha.ipynb#Split-and-merge",
        proof=_asserts,
    ),
    Mistake(
        "query-changed-in-place",
        MASKED,
        "input",
        "query, key or value is changed in place, such as by query /= sqrt(head_dim)",
        "The result is right once, and the caller's tensor is not what it was.",
        "sdpa.ipynb#Inputs",
        proof=_modified("query", "key", "value"),
    ),
    Mistake(
        "mask-changed-in-place",
        MASKED,
        "input",
        "the mask is changed in place, such as by mask.logical_not_()",
        "The result is right once, and the caller's mask is not what it was.",
        "sdpa.ipynb#Inputs",
        proof=_modified("mask"),
    ),
    Mistake(
        "cache-changed-in-place",
        CACHED,
        "input",
        "the cache that was handed in is changed in place",
        "A prefix cannot be continued twice.",
        "gqa_kv_cache.ipynb#Break-it",
        proof=_modified("kv_cache", "keys", "values"),
    ),
    Mistake(
        "empty-row-nan-gradient",
        MASKED,
        "gradient",
        "the NaN of a query that may attend to nothing is repaired when it is there: the gradient stays NaN",
        "The output is right, and one training step makes all weights NaN.",
        "sdpa.ipynb#Empty-rows",
        proof=_nan_gradient,
    ),
    Mistake(
        "all-tokens-projected",
        CACHED,
        "cost",
        "the keys and values of all tokens are projected at each step instead of those of the new tokens",
        "The output is right, and a step costs as much as the sequence is long.",
        "gqa_kv_cache.ipynb#Cost",
        proof=_all_projected,
    ),
)
