"""The numbers of katas/questions/caches.toml. A test is called after the key of its question."""

import torch
import torch.nn.functional as F

from tests.questions.figures import GIB, H100_FLOPS, LLAMA_3_8B, MIB


def attention(x, past=None):
    """Causal attention of a layer whose projections are the identity, after what was cached."""
    keys = x if past is None else torch.cat([past, x])
    allowed = torch.ones(len(x), len(keys), dtype=torch.bool).tril(len(keys) - len(x))
    return F.scaled_dot_product_attention(x[None], keys[None], keys[None], attn_mask=allowed)[0]


def test_cache_the_weights():
    assert LLAMA_3_8B.cache(4_096) == 0.5 * GIB
    triangles = 4_096 * 4_097 / 2 * LLAMA_3_8B.heads * LLAMA_3_8B.layers
    assert round(2 * triangles / GIB) == 16


def test_no_cache_in_training():
    tokens = torch.arange(4_096)
    assert len(tokens[1:]) == len(tokens[:-1]) == 4_095


def test_small_card():
    def fit(weights):
        return (24 - weights - 1) * 1e9 / LLAMA_3_8B.cache()

    sixteen, four = (round(LLAMA_3_8B.parameters * bits / 8 / 1e9, 2) for bits in (16, 4.5))
    assert (sixteen, four) == (16.06, 4.52)
    assert round(24 - 16.06 - 1, 2) == 6.94
    assert LLAMA_3_8B.cache() == 131_072 == 2 * LLAMA_3_8B.cache(number=8 / 8)
    assert round(fit(sixteen), -2) == 52_900
    assert fit(sixteen) // 8_192 == 6
    assert round(fit(four), -3) == 141_000
    assert sixteen - four > 6.94  # weights in 4 bits free more than the cache had


def test_encoder_decoder_cache():
    layers, width = 32, 1_280
    assert round(2 * layers * 1_500 * width * 2 / MIB) == 234
    assert round(2 * layers * 448 * width * 2 / MIB) == 70


def test_cache_layout():
    tokens_outside = torch.zeros(1, 5, LLAMA_3_8B.kv_heads, 128, dtype=torch.bfloat16)
    heads_outside = torch.zeros(1, LLAMA_3_8B.kv_heads, 5, 128, dtype=torch.bfloat16)
    assert tokens_outside[0, 3].is_contiguous()
    assert tokens_outside[0, 3].nbytes == 2_048
    assert not heads_outside[0, :, 3].is_contiguous()
    assert [row.nbytes for row in heads_outside[0, :, 3]] == 8 * [256]


def test_beam_cache():
    assert 4 * (4_000 + 100) == 16_400
    assert 4_000 + 4 * 100 == 4_400
    assert LLAMA_3_8B.cache(4 * 4_096) == 2 * GIB


def test_prefix_hash():
    assert 1_000 // 16 == 62
    assert 62 * 16 == 992
    first, other = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))
    other[3:] = first[3:]  # the same block after other tokens
    assert torch.equal(first[3:], other[3:])  # keys of layer 1
    assert (attention(first)[3:] - attention(other)[3:]).abs().max() > 0.01  # inputs of layer 2


def test_cache_exactness():
    near = torch.arange(16, 32, 0.125)
    assert torch.equal(near.bfloat16().float(), near)
    assert torch.tensor(20.03).bfloat16() == torch.tensor(20.05).bfloat16() == 20
    x = torch.randn(9, 8, dtype=torch.float64)
    pieces = torch.cat([attention(x[:5]), attention(x[5:], past=x[:5])])
    assert (pieces - attention(x)).abs().max() < 1e-12


def test_offload_or_recompute():
    tokens = 32_768
    assert LLAMA_3_8B.cache(tokens) == 4 * GIB
    assert round(1000 * LLAMA_3_8B.cache(tokens) / (64 * 1e9)) == 67
    weights, scores = 2 * LLAMA_3_8B.parameters * tokens, LLAMA_3_8B.causal_flops(tokens)
    assert round(weights / 1e12) == 526
    assert round(scores / 1e12) == 281
    assert H100_FLOPS == 989 * 1e12
    assert round((weights + scores) / (H100_FLOPS / 2), 1) == 1.6


def test_prefix_privacy():
    assert round(LLAMA_3_8B.parameters, -7) == 8.03e9
    assert round(1000 * 2 * 8.03e9 * 2_048 / (989 * 1e12)) == 33
    assert 2_048 % 16 == 0


def test_cross_layer_cache():
    assert LLAMA_3_8B.cache() == 131_072
    assert 16 * 2 * 8 * 128 * 2 == 65_536 == LLAMA_3_8B.cache() / 2


def test_state_instead_of_cache():
    q, k, v = torch.randn(3, 50, 128, dtype=torch.float64)
    state = k.T @ v
    torch.testing.assert_close(q[-1] @ state, (k @ q[-1]) @ v)
    assert state.numel() == 16_384 == 64 * 2 * 128


def test_evict_by_score():
    weights = torch.ones(1_000, 1_000).tril().double()
    collected = (weights / weights.sum(-1, keepdim=True)).sum(0)
    assert round(collected[0].item(), 2) == 7.49
    assert round(collected[-1].item(), 3) == 0.001
