"""Rotary position embeddings, about 15 minutes.

Grade it with: python grader.py check rope

Rotary position embeddings (RoPE): pairs of features are turned by angles that grow with the position.

    B batch    H num_heads    L length    E head_dim, even

    x (..., L, E)    positions (L,), or (B, L) for an x of four dimensions (B, H, L, E)    ->    output (..., L, E)

- A vector of E features has E/2 pairs. At position p, pair i = 0 ... E/2 - 1 is turned by the angle p * base^(-2i/E),
  in radians:

      (a, b)  ->  (a cos - b sin, a sin + b cos)

- There are two layouts of pairs, and the output keeps that of x. By default pair i is (x[i], x[i + E/2]); with
  interleaved=True it is (x[2i], x[2i + 1]).
- The vector in row l is turned by positions[l], and in batch entry b by positions[b, l]. Positions need not start at 0,
  be in order or differ from each other: a cache's new tokens start later, padded tokens repeat a position. They are
  never negative, and 131,071 is the largest asked for.
- float16, bfloat16, float32 and float64 come out as they went in. Angles are taken in at least float32, in float64 for
  float64: bfloat16 has no 8,193. With the cosines and sines at hand, half precision may be turned in half precision.
- x and positions are not modified, and may have any strides. Gradients reach x.

Example with E = 4 and base 100: the pairs are turned by p and by p/10. At position 2 the angles are 2 and 0.2, with the
cosines -0.4161 and 0.9801 and the sines 0.9093 and 0.1987, and [1, 2, 3, 4] becomes

    [-3.1440, 1.1655, -0.3391, 4.3176]    the pairs are (1, 3) and (2, 4)
    [-2.2347, 0.0770, 2.1455, 4.5163]     interleaved: the pairs are (1, 2) and (3, 4)
"""

import torch
from torch import Tensor


def apply_rope(x: Tensor, positions: Tensor, base: float = 10000.0, interleaved: bool = False) -> Tensor:
    """Turn each pair of features by its angle.

    Args:
        x: (..., L, E), floating point: queries or keys.
        positions: int64 (L,) for all leading dimensions, or (B, L) with x (B, H, L, E): a row for each batch entry.
        base: what the angles of the pairs are powers of, above 1.
        interleaved: whether a pair consists of neighbours, instead of one feature of each half.

    Returns:
        (..., L, E), in the dtype of x.

    Raises:
        ValueError: E is odd.

    Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding", section 3.2.2; the default layout is that
    of GPT-NeoX and of Llama in transformers, the other one is the paper's.
    """
    # TODO:
    #   1. an odd head_dim has no pairs
    #   2. an angle for each position and pair, in at least float32
    #   3. the two features of each pair, in the layout asked for
    #   4. turn each pair, and put the features back where they came from
    raise NotImplementedError("apply_rope")
