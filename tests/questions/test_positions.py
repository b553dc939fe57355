"""The numbers of katas/questions/positions.toml. A test is called after the key of its question."""

import math

import pytest
import torch
import torch.nn.functional as F


def wavelengths(size, base):
    """Tokens in which each pair of features makes a full turn."""
    return [2 * math.pi * base ** (2 * i / size) for i in range(size // 2)]


def rotated(x, positions, base=10_000):
    """Pairs of features, first half with second half, turned by angles in the dtype of the positions."""
    size = x.shape[-1]
    frequencies = base ** (-torch.arange(0, size, 2, dtype=positions.dtype) / size)
    cos, sin = (f(positions[:, None] * frequencies).to(x.dtype) for f in (torch.cos, torch.sin))
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


def test_kinds_of_positions():
    assert torch.nn.Embedding(1_024, 768).weight.numel() == 786_432
    assert 32 * 12 == 384


def test_sinusoids():
    t = torch.arange(400, dtype=torch.float64)
    angles = t[:, None] / 10_000 ** (torch.arange(0, 512, 2) / 512)
    code = torch.cat([angles.sin(), angles.cos()], -1)
    torch.testing.assert_close(code.square().sum(-1), torch.full((400,), 256.0).double())
    torch.testing.assert_close(code[3] @ code[3 + 5], code[300] @ code[300 + 5])
    assert 9_000 * 2 * math.pi < wavelengths(512, 10_000)[-1] < 10_000 * 2 * math.pi


def test_learned_table():
    table = torch.nn.Embedding(1_024, 2)
    table(torch.tensor(1_023))
    with pytest.raises(IndexError):
        table(torch.tensor(1_024))
    assert (224 // 16, 384 // 16) == (14, 24)


def test_add_or_concatenate():
    a, b = F.normalize(torch.randn(2, 5_000, 768, generator=torch.Generator().manual_seed(0)), dim=-1)
    cosine = (a * b).sum(-1).square().mean().sqrt().item()
    assert round(cosine, 3) == round(768**-0.5, 3) == 0.036


def test_t5_bias():
    """The rule of T5's decoder: half of the buckets exact, the others logarithmic up to a distance of 128."""

    def bucket(distance, buckets=32, largest=128):
        exact = buckets // 2
        if distance < exact:
            return distance
        further = math.log(distance / exact) / math.log(largest / exact) * (buckets - exact)
        return min(exact + int(further), buckets - 1)

    assert [bucket(d) for d in range(16)] == [*range(15 + 1)]
    assert {bucket(d) for d in range(16, 112 + 1)} == {*range(16, 16 + 15)}
    assert {bucket(d) for d in range(113, 5_000)} == {31}
    assert 12 * 4_096**2 * 2 == 384 * 2**20


def test_alibi():
    slopes = [2 ** (-8 * h / 8) for h in range(1, 8 + 1)]
    assert slopes == [1 / 2**h for h in range(1, 9)]
    assert (slopes[1], slopes[-1]) == (1 / 4, 1 / 256)
    near, far = (1 / math.exp(20 * slope) for slope in (slopes[0], slopes[-1]))
    assert round(near, 6) == 0.000045
    assert round(far, 3) == 0.925
    scores, j = torch.randn(6, 6, dtype=torch.float64), torch.arange(6)
    causal = torch.ones(6, 6).tril().log()
    distance = j[:, None] - j
    by_distance, by_key = ((scores + bias + causal).softmax(-1) for bias in (-0.5 * distance, 0.5 * j))
    torch.testing.assert_close(by_distance, by_key)


def test_no_positions():
    query = key = torch.zeros(1, 4, 8)
    value = torch.tensor([1.0, 0, 0, 0]).reshape(1, 4, 1)
    out = F.scaled_dot_product_attention(query, key, value, is_causal=True).flatten()
    torch.testing.assert_close(out, torch.tensor([1, 1 / 2, 1 / 3, 1 / 4]))


def test_unseen_angles():
    pairs = wavelengths(128, 10_000)
    assert len(pairs) == 64
    assert round(pairs[-1], -1) == 54_410
    assert round(360 * 4_096 / pairs[-1]) == 27
    assert sum(each > 4_096 for each in pairs) == 18
    assert sum(each > 8_192 for each in wavelengths(128, 500_000)) == 29


def test_effective_context():
    rise = 2 * 1 / 100
    assert rise == 0.02
    assert round(math.expm1(rise), 2) == 2 / 100


def test_packed_positions():
    q, k = torch.randn(2, 7, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def scores(start, dtype):
        positions = torch.arange(start, start + 7, dtype=dtype)
        return rotated(q, positions) @ rotated(k, positions).T

    assert torch.arange(1_000, 1_000 + 7).tolist()[-1] == 1_006
    assert (scores(0, torch.float64) - scores(1_000, torch.float64)).abs().max() < 1e-9
    assert (scores(0, torch.float32) - scores(1_000, torch.float32)).abs().max() > 1e-6
    assert [*range(7)][-1] == 6


def test_context_extension():
    s, size = 4, 128
    base = 10_000 * s ** (size / (size - 2))
    assert round(base, -1) == 40_890
    plain, scaled = wavelengths(size, 10_000), wavelengths(size, base)
    assert math.isclose(scaled[-1], s * plain[-1])
    assert scaled[0] == plain[0]
    factor = 0.1 * math.log(s) + 1
    assert round(factor, 3) == 1.139
    assert round(factor**2, 3) == 1.296


def test_image_positions():
    assert 336 // 14 == 24
    assert 24 * 24 == 576
    assert 16 + 24 + 24 == 64 == 128 // 2


def test_partial_rotary():
    assert 64 / 256 == 25 / 100
    assert sum(each > 4_096 for each in wavelengths(128, 10_000)) == 18


def test_longer_softmax():
    def share(gap, keys):
        return math.exp(gap) / (math.exp(gap) + keys - 1)

    assert round(share(8, 1_024), 3) == 0.745
    assert round(share(8, 65_536), 3) == 0.044
    assert round(math.log(64), 2) == 4.16
    assert round(share(12.16, 65_536), 3) == 0.745
