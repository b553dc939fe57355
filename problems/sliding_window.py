"""Sliding window and rolling cache, about 20 minutes.

Grade it with: python grader.py check sliding_window

Sliding-window attention: which keys a query sees, and a cache that holds no more than these.

    B batch    L new tokens, or queries    S key length    K num_kv_heads    E, Ev features of a key and of a value
    T tokens that the cache holds

A query sees itself and the window - 1 positions before it. It also sees the sinks, which are the first num_sinks
positions of the sequence, but never a position after its own. The window is as large with sinks as without them, and
a position can be in both.

window_mask(query_len=3, key_len=7, window=2, num_sinks=1), x = may attend; the queries are positions 4, 5 and 6:

    x . . x x . .
    x . . . x x .
    x . . . . x x

Tokens that no later query sees are dropped. The rolling cache is a tuple (keys, values, positions, seen):

- keys (B, K, T, E) and values (B, K, T, Ev) of the tokens that are held, positions (T,) int64 of the same tokens,
  counted from the beginning of the sequence, and seen, an int: how many tokens there have been so far.
- The tokens may lie in any order, as long as keys, values and positions agree: a ring of slots is as good as a row.
- A caller lets a chunk attend to what the cache holds and to the chunk itself, and only then updates the cache with it.

Example with one feature: window=2 and num_sinks=1, chunks of 3, 1 and 4 tokens with the keys 10, 11, 12, ...

    chunk            the cache holds afterwards
    10 11 12         keys 10 11 12    positions 0 1 2    seen 3
    13               keys 10 12 13    positions 0 2 3    seen 4
    14 15 16 17      keys 10 16 17    positions 0 6 7    seen 8
"""

import torch
from torch import Tensor

RollingCache = tuple[Tensor, Tensor, Tensor, int]


def window_mask(query_len: int, key_len: int, window: int, num_sinks: int = 0) -> Tensor:
    """Which keys each query may attend to.

    Args:
        query_len: L, from 1 to S. The queries are the last L of the S positions.
        key_len: S.
        window: how many positions a query sees with itself, at least 1; it may be larger than S.
        num_sinks: how many positions at the beginning every later query sees, at least 0; it may be larger than S.

    Returns:
        bool (L, S), True = may attend. Each call returns a tensor of its own.

    Source: "Longformer: The Long-Document Transformer", section 3.1; "Mistral 7B", section 2; "Efficient Streaming
    Language Models with Attention Sinks", section 3.2.
    """
    # TODO:
    #   1. the queries are the last query_len of the key_len positions
    #   2. near: the query itself and the window - 1 positions before it
    #   3. a sink: one of the first num_sinks positions
    #   4. True where the key is near or a sink, and not later than the query
    raise NotImplementedError("window_mask")


def rolling_update(
    cache: RollingCache | None, keys: Tensor, values: Tensor, window: int, num_sinks: int = 0
) -> RollingCache:
    """The cache after a chunk of new tokens.

    Args:
        cache: None for the first chunk, or what this function returned for the chunk before, with the same window and
            num_sinks. It is left as it was: a caller may go on from it twice.
        keys: (B, K, L, E) of the new tokens, in their order; any L from 1 on, also more than the window.
        values: (B, K, L, Ev). Neither is modified.
        window: at least 1.
        num_sinks: at least 0.

    Returns:
        The cache that holds the last `window` of all tokens so far, and the first num_sinks of them, each token once:
        T = min(seen, num_sinks + window). Keys and values keep their dtype.

    No state is kept anywhere else: several sequences may be updated in turns. No gradients are asked for.
    Source: "Mistral 7B", section 2 (rolling buffer cache); "Efficient Streaming Language Models with Attention Sinks",
    section 3.2.
    """
    # TODO:
    #   1. the new tokens have the positions after all that were seen
    #   2. put the chunk behind what the cache holds
    #   3. hold the last window of all tokens, and the sinks, each once
    #   4. return keys, values and positions of these, and how many tokens were seen
    raise NotImplementedError("rolling_update")
