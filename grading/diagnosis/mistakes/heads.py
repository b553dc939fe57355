"""Mistakes in splitting and merging heads."""

from collections.abc import Callable

from torch import Tensor

from grading.diagnosis.mistakes.record import CROSS, LAYERS, Mistake
from grading.diagnosis.pipeline import State, Step

_SPLIT = "mha.ipynb#Split-and-merge"
Cut = Callable[[Tensor, int], Tensor]


def _split(cut: Cut) -> Step:
    def split(state: State) -> State:
        query, key = cut(state.query, state.heads), cut(state.key, state.kv_heads)
        return state._replace(query=query, key=key, value=cut(state.value, state.kv_heads))

    return split


def _untransposed(x: Tensor, heads: int) -> Tensor:
    return x.reshape(x.size(0), heads, x.size(1), -1)


def _interleaved(x: Tensor, heads: int) -> Tensor:
    return x.reshape(x.size(0), x.size(1), -1, heads).permute(0, 3, 1, 2)


def _positions(x: Tensor, heads: int) -> Tensor:
    return x.reshape(x.size(0), x.size(1), heads, -1)


def _share_positions(state: State) -> State:
    key = state.key.repeat_interleave(state.heads // state.kv_heads, dim=2)
    return state._replace(key=key, value=state.value.repeat_interleave(state.heads // state.kv_heads, dim=2))


def _exchanged(new_scale: bool) -> Step:
    """As many heads as a head has features, each of as many features as there are heads."""

    def split(state: State) -> State:
        parts = [
            x.reshape(*x.shape[:-1], -1, state.heads).transpose(1, 2) for x in (state.query, state.key, state.value)
        ]
        dim = state.heads if new_scale else state.head_dim
        return state._replace(query=parts[0], key=parts[1], value=parts[2], head_dim=dim)

    return split


def _merge_untransposed(state: State) -> State:
    B, _, L, _ = state.output.shape
    return state._replace(output=state.output.reshape(B, L, -1))


def _merge_interleaved(state: State) -> State:
    B, _, L, _ = state.output.shape
    return state._replace(output=state.output.permute(0, 2, 3, 1).reshape(B, L, -1))


def _merge_positions(state: State) -> State:
    return state._replace(output=state.output.reshape(state.output.size(0), state.output.size(1), -1))


MISTAKES = (
    Mistake(
        "split-without-transpose",
        LAYERS,
        "split",
        "the heads are split by view(B, H, L, E) alone, without view(B, L, H, E) and transpose(1, 2)",
        "A head is a stretch of tokens: features of different tokens are mixed.",
        _SPLIT,
        ({"split": _split(_untransposed)},),
    ),
    Mistake(
        "split-interleaved",
        LAYERS,
        "split",
        "head h takes every H-th feature (h, h + H, ...) instead of the h-th block of head_dim features",
        "Trains, and cannot read weights that others have trained.",
        _SPLIT,
        ({"split": _split(_interleaved)},),
    ),
    Mistake(
        "heads-as-positions",
        CROSS,
        "split",
        "the heads stay behind the tokens, (B, L, H, E), so that heads attend to heads and no token sees another",
        "The shape is right where L == S, and every token is alone.",
        _SPLIT,
        ({"split": _split(_positions), "share": _share_positions, "merge": _merge_positions},),
    ),
    Mistake(
        "head-count-and-head-dim-exchanged",
        ("mha",),
        "split",
        "the features are split into head_dim heads of num_heads features instead of num_heads heads of head_dim",
        "The shapes are right, and the heads are others.",
        _SPLIT,
        ({"split": _exchanged(False)}, {"split": _exchanged(True)}),
    ),
    Mistake(
        "merge-without-transpose",
        LAYERS,
        "merge",
        "the heads are merged by reshape(B, L, D) alone, without transpose(1, 2) before it",
        "A row of the output mixes several tokens of one head.",
        _SPLIT,
        ({"merge": _merge_untransposed},),
    ),
    Mistake(
        "merge-interleaved",
        LAYERS,
        "merge",
        "the heads are merged feature by feature (E, H) instead of head by head (H, E)",
        "o_proj gets the right numbers in the wrong places.",
        _SPLIT,
        ({"merge": _merge_interleaved},),
    ),
)
