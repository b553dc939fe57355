"""What transformers and the solutions are given: small inputs by formulas, so that no random generator is needed."""

import math

import torch


def wave(*shape, step):
    """Numbers in [-1, 1]. Sines of multiples would make matrices of rank 2; sines of multiples of squares do not."""
    count = torch.arange(math.prod(shape), dtype=torch.float64)
    return (step * count * count).sin().float().reshape(shape)


# rope: queries (B, H, L, E), and the arguments. Powers of 65536 to multiples of 1/4 are powers of 2, so that the
# angles of positions far out do not hang on the last bit of a frequency.
ROPE_INPUT = wave(2, 3, 4, 8, step=0.37)
ROPE = {
    "half pairs": {"positions": [0, 1, 2, 3]},
    "half pairs, positions of each row": {"positions": [[0, 0, 1, 2], [5, 6, 7, 8]]},
    "half pairs, far out, another base": {"positions": [4095, 8193, 70001, 131071], "base": 65536.0},
    "interleaved": {"positions": [0, 1, 2, 3], "interleaved": True},
    "interleaved, positions of each row": {"positions": [[0, 0, 1, 2], [5, 6, 7, 8]], "interleaved": True},
}

# sampling: no two logits of a row are equal, and no probability before a token is near top_p
LOGITS = [
    [1.5, -0.3, 2.1, 0.4, -1.2, 0.9, -2.5],
    [-2.0, 3.1, 0.2, 2.4, 1.1, -0.6, 0.5],
    [0.7, -math.inf, -0.4, 1.9, -math.inf, 0.1, 1.2],
]
SAMPLING = {
    "temperature": {"temperature": 0.6},
    "top-k": {"top_k": 3},
    "top-k beyond the vocabulary": {"top_k": 50},
    "top-p": {"top_p": 0.75},
    "top-p that one token reaches": {"top_p": 0.1},
    "all three": {"temperature": 1.7, "top_k": 5, "top_p": 0.9},
}

# static_kv_cache: chunks of a sequence, one after the other
D_MODEL, HEADS, KV_HEADS, ROPE_BASE, SLOTS = 24, 6, 2, 500.0, 9
CHUNKS = [3, 1, 2, 1]
TOKENS = 2 * wave(2, sum(CHUNKS), D_MODEL, step=0.41)

# gqa: query (B, L, D), key and value (B, S, D), and masks by which every query sees a key
QUERY, KEY = 2 * wave(2, 3, D_MODEL, step=0.43), 2 * wave(2, 5, D_MODEL, step=0.47)
VALUE = wave(2, 5, D_MODEL, step=0.53)
SEEN = wave(2, HEADS, 3, 5, step=0.59) > 0
SEEN[..., 1] = True
GQA = {
    "no mask": None,
    "a mask for all": SEEN[0, 0],
    "a mask for each row": SEEN[:, 0],
    "a mask for each head": SEEN,
}

# padding: a batch that is padded on the left, and how many tokens are generated
ATTENTION_MASK = [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]]
NEW_TOKENS = 3

# sliding_window: queries and keys, of which the queries are the last, and the window
WINDOWS = {"one pass": (7, 7, 3), "the last queries": (2, 7, 3), "longer than the sequence": (4, 4, 9)}

# mla: the chunks of TOKENS again
HEAD_DIM, ROPE_DIM, LATENT_DIM = 6, 4, 8


def weights(bias):
    """A layer's parameters by their names, which are the same in transformers and in the katas."""
    width = KV_HEADS * D_MODEL // HEADS
    sizes = {"q_proj": D_MODEL, "k_proj": width, "v_proj": width, "o_proj": D_MODEL}
    made = {}
    for number, (name, size) in enumerate(sizes.items()):
        made[f"{name}.weight"] = wave(size, D_MODEL, step=0.11 + number / 50) / 2
        if bias:
            made[f"{name}.bias"] = wave(size, step=0.29 + number / 50)
    return made


def latent_weights():
    """Those of latent attention by their names in the kata, the halves of the rope parts being pairs."""
    made = {
        "q_proj": wave(HEADS * (HEAD_DIM + ROPE_DIM), D_MODEL, step=0.13),
        "kv_a_proj": wave(LATENT_DIM + ROPE_DIM, D_MODEL, step=0.17),
        "kv_b_proj": wave(HEADS * 2 * HEAD_DIM, LATENT_DIM, step=0.19),
        "o_proj": wave(D_MODEL, HEADS * HEAD_DIM, step=0.23),
    }
    return {f"{name}.weight": weight / 2 for name, weight in made.items()}
