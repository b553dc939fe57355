"""The numbers of katas/questions/kernels.toml. A test is called after the key of its question."""

import math

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.questions.figures import GIB, H100_BYTES, H100_FLOPS, KIB, LLAMA_3_8B, MIB


def scores(heads, tokens):
    """Bytes of a score matrix in 16 bits."""
    return 2 * heads * tokens**2


def test_roofline():
    ridge = 989e12 / 3.35e12
    assert ridge == H100_FLOPS / H100_BYTES
    assert round(ridge) == 295
    assert ridge == 989 * 1e12 / (3.35 * 1e12)

    def intensity(n):
        return 2 * n**3 / (3 * n**2 * 2)

    assert intensity(300) == 300 / 3
    assert intensity(886) >= ridge > intensity(885)
    assert 1 / (3 * 2) == 1 / 6


def test_gpu_memories():
    assert 132 * 256 * KIB == 33 * MIB
    assert round(132 * 228 * KIB / MIB) == 29
    assert 50 * 1e6 / (3.35 * 1e12) < 80 * 1e9 / (3.35 * 1e12)
    tile = 128 * 128 * 2
    assert (tile, 3 * tile, 2 * tile) == (32 * KIB, 96 * KIB, 64 * KIB)
    assert 3 * tile + 2 * tile < 228 * KIB


def test_views_and_copies():
    x = torch.randn(2, 5, 32)
    split = x.view(2, 5, 4, 8).transpose(1, 2)
    assert split.data_ptr() == x.data_ptr()
    assert split.transpose(1, 2).reshape(2, 5, 32).data_ptr() == x.data_ptr()
    assert split.contiguous().transpose(1, 2).reshape(2, 5, 32).data_ptr() != x.data_ptr()
    one = torch.randn(2, 1, 5, 8)
    expanded = one.expand(2, 8, 5, 8)
    assert expanded.stride(1) == 0
    assert expanded.untyped_storage().nbytes() == one.nbytes
    assert expanded.reshape(2 * 8, 5, 8).data_ptr() != one.data_ptr()


def test_einsum_or_matmul():
    q, k = torch.randn(2, 2, 4, 128, 64, dtype=torch.float64)
    counted = []
    for product in (lambda: q @ k.transpose(-2, -1), lambda: torch.einsum("bhie,bhje->bhij", q, k)):
        with FlopCounterMode(display=False) as counter:
            result = product()
        counted.append((counter.get_total_flops(), result))
    assert counted[0][0] == counted[1][0] == 16_777_216
    assert (counted[0][1] - counted[1][1]).abs().max() < 1e-12


def test_fused_qkv():
    rows = (32 + 2 * 8) * 128
    assert rows == 6_144
    assert rows * LLAMA_3_8B.width == 25_165_824


def test_fused_softmax():
    size = scores(32, 4_096)
    assert size == GIB
    passes = {"maximum": (1, 0), "subtract": (1, 1), "exponential": (1, 1), "sum": (1, 0), "divide": (1, 1)}
    reads, writes = (sum(column) for column in zip(*passes.values(), strict=True))
    assert (reads, writes, reads + writes) == (5, 3, 8)
    assert H100_BYTES == 3.35 * 1e12
    assert round(1000 * 8 * size / H100_BYTES, 1) == 2.6
    assert round(1000 * 2 * size / H100_BYTES, 2) == 0.64


def test_sdpa_backends():
    q, k, v = torch.randn(3, 1, 2, 9, 8, dtype=torch.float64)
    free = F.scaled_dot_product_attention(q, k, v)
    with sdpa_kernel(SDPBackend.MATH):
        pinned = F.scaled_dot_product_attention(q, k, v)
    assert (free - pinned).abs().max() < 1e-12
    assert scores(32, 8_192) == 4 * GIB


def test_block_mask():
    def tiles(allowed, size=128):
        kept = allowed.reshape(len(allowed) // size, size, -1, size).sum((1, 3))
        return [(kept == 0).sum().item(), ((kept > 0) & (kept < size**2)).sum().item(), (kept == size**2).sum().item()]

    distance = torch.arange(4_096)[:, None] - torch.arange(4_096)
    causal, window = distance >= 0, (distance >= 0) & (distance < 512)
    assert tiles(causal) == [496, 32, 496]
    assert sum(tiles(causal)) == 1_024
    assert sum(tiles(window)[1:]) == 150


def test_head_size_tiles():
    assert (80 % 16, 100 % 8) == (0, 4)
    assert 8 * 2 == 16  # bytes of a load
    assert round(1 - 100 / 128, 2) == 22 / 100
    assert round(1 - 80 / 96, 2) == 17 / 100
    q, k, v = torch.randn(3, 7, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padded = [F.pad(t, (0, 128 - 100)) for t in (q, k, v)]
    wanted = F.scaled_dot_product_attention(q, k, v)
    kept = F.scaled_dot_product_attention(*padded, scale=100**-0.5)[:, :100]
    changed = F.scaled_dot_product_attention(*padded)[:, :100]
    assert (kept - wanted).abs().max() < 1e-12
    assert (changed - wanted).abs().max() > 0.01
    assert 512 > 256
    assert 512 + 64 == 576  # the latent of MLA and its rotary key


def test_launch_overhead():
    weights = 1_235_814_400 * 2
    assert round(weights / 1e9, 2) == 2.47
    assert round(1000 * weights / (3.35 * 1e12), 2) == 0.74
    assert 16 * 12 * 5 / 1000 == 0.96


def test_compile_attention():
    assert scores(32, 4_096) == GIB
    assert scores(32, 2 * 4_096) == 4 * GIB


def test_time_a_kernel():
    size = LLAMA_3_8B.cache(32 * 4_096)
    assert size == 16 * GIB
    bound = 1000 * size / (3.35 * 1e12)
    assert round(bound, 1) == 5.1
    assert round(bound / 9, 2) == 57 / 100


def test_index_overflow():
    assert 32 * 32 * 2_048**2 == 4_294_967_296
    assert torch.iinfo(torch.int32).max == 2_147_483_647
    assert 64 == 2 * 32  # bits


def test_split_keys():
    assert LLAMA_3_8B.kv_heads == 8
    assert round(8 / 132, 2) == 6 / 100
    assert 8 * 16 == 128
    assert LLAMA_3_8B.heads * (4_096 // 128) == 32 * 32 == 1_024


def test_exponentials():
    exponentials = 132 * 16 * 1.83 * 1e9
    assert round(exponentials, -11) == 3.9e12
    products = 4 * 128
    assert products == 512
    first, second = 512 / 989e12, 1 / 3.9e12
    assert round(first * 1e12, 2) == 0.52
    assert round(second * 1e12, 2) == 0.26
    assert math.isclose(second / first, 1 / 2, rel_tol=0.02)
    assert math.isclose(second, 512 / (2 * 989e12), rel_tol=0.02)
