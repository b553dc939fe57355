"""Mistakes in sharing key/value heads."""

from collections.abc import Callable

from torch import Tensor

from grading.diagnosis.mistakes.record import GROUPED, Mistake, Swap
from grading.diagnosis.pipeline import State

_GROUPS = "gqa.ipynb#Break-it"


def _share(share: Callable[[Tensor, int, int], Tensor]) -> Swap:
    def step(state: State) -> State:
        group = state.heads // state.kv_heads
        key, value = share(state.key, group, state.kv_heads), share(state.value, group, state.kv_heads)
        return state._replace(key=key, value=value)

    return {"share": step}


def _by_group(state: State) -> Tensor:
    """(B, K, H / K, L, E)"""
    query, K = state.query, state.kv_heads
    return query.reshape(query.size(0), K, state.heads // K, *query.shape[-2:])


def _share_queries(reduce: Callable[[Tensor], Tensor]) -> Swap:
    """One query head for a group; each head of the group gets its result."""

    def step(state: State) -> State:
        group = state.heads // state.kv_heads
        key, value = (x.repeat_interleave(group, dim=1) for x in (state.key, state.value))
        return state._replace(query=reduce(_by_group(state)).repeat_interleave(group, dim=1), key=key, value=value)

    return {"share": step}


def _sum_away(state: State) -> State:
    return state._replace(query=_by_group(state).sum(dim=2))


def _merge_into_model(state: State) -> State:
    output = state.output.transpose(1, 2)
    width = state.layers["o_proj.weight"].size(1)
    return state._replace(output=output.reshape(output.size(0), output.size(1), width))


def _merge_groups(state: State) -> State:
    B, _, L, E = state.output.shape
    groups = state.output.reshape(B, state.kv_heads, -1, L, E).transpose(1, 2)
    return state._replace(output=groups.reshape(B, -1, L, E).transpose(1, 2).reshape(B, L, -1))


def _keep(x: Tensor, group: int, kv_heads: int) -> Tensor:
    return x


MISTAKES = (
    Mistake(
        "kv-heads-tiled",
        GROUPED,
        "share",
        "kv heads are tiled (repeat: 0 1 2 0 1 2) instead of repeated in place (repeat_interleave: 0 0 1 1 2 2)",
        "Query heads read the key/value head of another group; right for K == 1 and K == H only.",
        _GROUPS,
        (_share(lambda x, group, kv_heads: x.repeat(1, group, 1, 1)),),
    ),
    Mistake(
        "first-kv-head-for-all",
        GROUPED,
        "share",
        "every query head reads key/value head 0",
        "The other key/value heads have no effect: it is multi-query attention.",
        _GROUPS,
        (_share(lambda x, group, kv_heads: x[:, :1].expand(-1, group * kv_heads, -1, -1)),),
    ),
    Mistake(
        "kv-heads-averaged",
        GROUPED,
        "share",
        "every query head reads the mean of the key/value heads",
        "All groups read the same keys and values.",
        _GROUPS,
        (_share(lambda x, group, kv_heads: x.mean(dim=1, keepdim=True).expand(-1, group * kv_heads, -1, -1)),),
    ),
    Mistake(
        "group-queries-summed",
        (*GROUPED, "mqa"),
        "share",
        "the query heads of a group are summed before the scores, so that they share one set of weights",
        "All heads of a group give the same output.",
        _GROUPS,
        (_share_queries(lambda groups: groups.sum(dim=2)),),
    ),
    Mistake(
        "group-queries-averaged",
        (*GROUPED, "mqa"),
        "share",
        "the query heads of a group are averaged before the scores, so that they share one set of weights",
        "All heads of a group give the same output.",
        _GROUPS,
        (_share_queries(lambda groups: groups.mean(dim=2)),),
    ),
    Mistake(
        "first-query-of-group-for-all",
        (*GROUPED, "mqa"),
        "share",
        "only the first query head of a group is used, for all heads of the group",
        "All heads of a group give the same output.",
        _GROUPS,
        (_share_queries(lambda groups: groups[:, :, 0]),),
    ),
    Mistake(
        "group-summed-away",
        (*GROUPED, "mqa"),
        "share",
        "only num_kv_heads heads reach o_proj: the query heads of a group were merged into one",
        "o_proj, or the reshape before it, does not fit.",
        _GROUPS,
        ({"share": _sum_away}, {"share": _sum_away, "merge": _merge_into_model}),
        error=True,
    ),
    Mistake(
        "kv-heads-not-repeated",
        GROUPED,
        "share",
        "num_heads query heads meet num_kv_heads key/value heads that were not repeated for their group",
        "The product of queries and keys does not fit.",
        _GROUPS,
        (_share(_keep),),
        error=True,
    ),
    Mistake(
        "kv-heads-repeated-too-often",
        GROUPED,
        "share",
        "each key/value head is repeated num_kv_heads times instead of num_heads // num_kv_heads times",
        "The product of queries and keys does not fit, unless K * K == H.",
        _GROUPS,
        (
            _share(lambda x, group, kv_heads: x.repeat_interleave(kv_heads, dim=1)),
            _share(lambda x, group, kv_heads: x.repeat(1, kv_heads, 1, 1)),
        ),
        error=True,
    ),
    Mistake(
        "groups-merged-in-wrong-order",
        GROUPED,
        "merge",
        "the heads are merged as (H / K, K) instead of (K, H / K)",
        "o_proj gets the right heads in the wrong order.",
        _GROUPS,
        ({"merge": _merge_groups},),
    ),
)
