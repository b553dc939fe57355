"""Mistakes in building a causal mask."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from grading.diagnosis.mistakes.record import Mistake, Swap
from grading.diagnosis.pipeline import State

_BUILD = "causal_mask.ipynb#Triangle"
_ALIGN = "causal_mask.ipynb#Alignment"
_POLARITY = "causal_mask.ipynb#Polarity"
_KATA = ("causal_mask",)


def _ones(state: State) -> tuple[Tensor, int, int]:
    L, S = state.lengths
    assert S is not None
    return torch.ones(L, S, dtype=torch.bool), L, S


def _triangle(cut: Callable[[Tensor, int, int], Tensor]) -> Swap:
    return {"triangle": lambda state: state._replace(output=cut(*_ones(state)))}


def _polarity(change: Callable[[Tensor], Tensor]) -> Swap:
    return {"polarity": lambda state: state._replace(output=change(state.output))}


def _cast(dtype: torch.dtype) -> Swap:
    return _polarity(lambda mask: mask.to(dtype))


def _lengths(L: Callable[[int, int], tuple[int, int]]) -> Swap:
    def lengths(state: State) -> State:
        query_len, key_len = state.lengths
        return state._replace(lengths=L(query_len, query_len if key_len is None else key_len))

    return {"lengths": lengths}


def _to_float(mask: Tensor) -> Tensor:
    return torch.zeros(mask.shape).masked_fill(~mask, -math.inf)


MISTAKES = (
    Mistake(
        "triangle-top-left",
        _KATA,
        "triangle",
        "query i sees keys 0..i (top-left) although the queries are the last of the positions (bottom-right)",
        "Right for key_len == query_len; with more keys the queries see only the oldest.",
        _ALIGN,
        (_triangle(lambda ones, L, S: ones.tril()),),
    ),
    Mistake(
        "triangle-upper",
        _KATA,
        "triangle",
        "the upper triangle is allowed (triu) instead of the lower one (tril)",
        "A position sees itself and what comes after it.",
        _BUILD,
        (
            _triangle(lambda ones, L, S: ones.triu(S - L)),
            _triangle(lambda ones, L, S: ones.triu()),
        ),
    ),
    Mistake(
        "triangle-strict",
        _KATA,
        "triangle",
        "the triangle is off by one: a position does not see itself",
        "The first of the positions sees nothing.",
        _BUILD,
        (_triangle(lambda ones, L, S: ones.tril(S - L - 1)),),
    ),
    Mistake(
        "triangle-one-ahead",
        _KATA,
        "triangle",
        "the triangle is off by one: a position sees the one after it",
        "What comes next leaks into each position.",
        _BUILD,
        (_triangle(lambda ones, L, S: ones.tril(S - L + 1)),),
    ),
    Mistake(
        "triangle-missing",
        _KATA,
        "triangle",
        "every query may attend to every key",
        "Nothing is hidden.",
        _BUILD,
        (_triangle(lambda ones, L, S: ones),),
    ),
    Mistake(
        "key-length-ignored",
        _KATA,
        "lengths",
        "key_len is ignored and the mask is (query_len, query_len)",
        "Right for key_len == query_len, of the wrong shape otherwise.",
        _ALIGN,
        (_lengths(lambda L, S: (L, L)),),
    ),
    Mistake(
        "mask-for-all-positions",
        _KATA,
        "lengths",
        "the mask is (key_len, key_len): the rows of the positions that are not queries are not cut away",
        "Right for key_len == query_len, of the wrong shape otherwise.",
        _ALIGN,
        (_lengths(lambda L, S: (S, S)),),
    ),
    Mistake(
        "lengths-exchanged",
        _KATA,
        "lengths",
        "the mask is (key_len, query_len) instead of (query_len, key_len)",
        "Right for key_len == query_len, of the wrong shape otherwise.",
        _ALIGN,
        (
            _lengths(lambda L, S: (S, L)),
            {
                **_lengths(lambda L, S: (S, L)),
                **_triangle(lambda ones, L, S: ones.tril()),
            },
        ),
    ),
    Mistake(
        "polarity-inverted",
        _KATA,
        "polarity",
        "True means hidden instead of may attend",
        "The mask is the complement of the right one.",
        _POLARITY,
        (_polarity(lambda mask: ~mask),),
    ),
    Mistake(
        "mask-not-bool",
        _KATA,
        "polarity",
        "the mask has 1 and 0 instead of True and False: its dtype is not bool",
        "~mask and masked_fill do not work with it, and adding it changes the scores by 1.",
        _POLARITY,
        tuple(_cast(dtype) for dtype in (torch.float32, torch.int64, torch.uint8, torch.int32)),
    ),
    Mistake(
        "mask-additive",
        _KATA,
        "polarity",
        "causal_mask returns the additive form, 0 and -inf, instead of True and False",
        "It has to be added to scores, and nobody expects that of a boolean mask.",
        _POLARITY,
        (_polarity(_to_float),),
    ),
)
