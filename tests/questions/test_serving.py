"""The numbers of katas/questions/serving.toml. A test is called after the key of its question."""

from tests.questions.figures import GIB, H100_BYTES, H100_FLOPS, KIB, LLAMA_3_8B, LLAMA_3_70B

WEIGHTS = 2 * LLAMA_3_8B.parameters  # bytes in 16 bits


def step(batch, tokens=4_096, weights=WEIGHTS):
    """Seconds that an H100 needs to read the weights and the caches of a batch once."""
    return (weights + LLAMA_3_8B.cache(batch * tokens)) / H100_BYTES


def test_latency_words():
    assert round(0.3 + 199 * 0.02, 2) == 4.28
    assert 199 + 1 == 200
    assert 20 / 1000 == 0.02
    assert 32 / 0.02 == 1_600


def test_continuous_batching():
    lengths = (100, 200, 300, 1_000)
    assert sum(lengths) == 1_600
    assert sum(lengths) / (4 * 1_000) == 40 / 100


def test_littles_law():
    assert 200 * 20 / 1000 == 4
    assert 10 * 4 == 40
    assert LLAMA_3_8B.cache(4_096) == 0.5 * GIB
    assert 40 * LLAMA_3_8B.cache(4_096) == 20 * GIB
    assert 10 * 200 * 40 / 1000 == 80
    assert 80 * LLAMA_3_8B.cache(4_096) == 40 * GIB


def test_laptop_speed():
    def milliseconds(weights, bits):
        return round(1000 * weights * bits / 8 / (100 * 1e9))

    assert round(8.03e9 * 4.5 / 8 / 1e9, 2) == 4.52
    assert (milliseconds(8.03e9, 4.5), 1000 // 45) == (45, 22)
    assert (milliseconds(8.03e9, 16), 1000 // 161) == (161, 6)
    experts = 3e9 * 4.5 / 8
    assert round(experts / 1e9, 1) == 1.7
    assert int(100 * 1e9 / experts) == 59


def test_multi_turn():
    assert 500 * sum(range(1, 20 + 1)) == 105_000
    assert 500 * 20 == 10_000


def test_output_price():
    assert round(LLAMA_3_8B.parameters, -7) == 8.03e9
    first, later = 2 * 8.03e9 / 989e12, 16.06e9 / 3.35e12
    assert round(1e6 * first) == 16
    assert round(1e3 * later, 1) == 4.8
    assert round(later / first) == 295
    assert round(later / first / 32) == 9


def test_batch_limit():
    assert round(WEIGHTS / LLAMA_3_8B.cache(4_096)) == 30
    assert round(1000 * step(1), 2) == 4.95
    assert round(1000 * step(32), 2) == 9.92
    assert round(1 / step(1)) == 202
    assert round(32 / step(32)) == 3_225
    assert round(H100_BYTES / LLAMA_3_8B.cache(4_096), -1) == 6_240
    assert LLAMA_3_8B.cache(number=8 // 8) == LLAMA_3_8B.cache() / 2
    assert round(2 * LLAMA_3_8B.vocabulary * LLAMA_3_8B.width / 1e9, 2) == 1.05


def test_four_bit_weights():
    four, caches = round(LLAMA_3_8B.parameters * 4.5 / 8 / 1e9, 2), round(LLAMA_3_8B.cache(32 * 4_096) / 1e9, 2)
    assert (round(WEIGHTS / 1e9, 2), four, caches) == (16.06, 4.52, 17.18)
    assert round(16.06 / 4.52, 1) == 3.6
    assert (round(16.06 + 17.18, 2), round(4.52 + 17.18, 2)) == (33.24, 21.70)
    assert round(33.24 / 21.70, 1) == 1.5


def test_out_of_cache():
    size, work = LLAMA_3_8B.cache(1_000), 2 * LLAMA_3_8B.parameters * 1_000
    assert round(size / 1e6) == 131
    assert round(1000 * size / (64 * 1e9)) == 2
    assert round(work / 1e12) == 16
    assert round(1000 * work / (989 * 1e12)) == 16


def test_long_prompt():
    weights, scores = 2 * LLAMA_3_8B.parameters * 100_000, LLAMA_3_8B.causal_flops(100_000)
    assert round(weights / 1e15, 1) == 1.6
    assert round(scores / 1e15, 1) == 2.6
    assert round((weights + scores) / (989 * 1e12 / 2), 1) == 8.5
    assert -(-100_000 // 2_048) == 49


def test_many_adapters():
    rank, width = 16, LLAMA_3_8B.width
    q = rank * (width + width)
    v = rank * (width + LLAMA_3_8B.kv_heads * LLAMA_3_8B.head_size)
    numbers = LLAMA_3_8B.layers * (q + v)
    assert numbers == 6_815_744
    assert round(2 * numbers / 1e6, 1) == 13.6
    assert round(100 * 2 * numbers / 1e9, 1) == 1.4
    assert round(WEIGHTS / 1e9, 2) == 16.06


def test_tp_all_reduce():
    count = 2 * LLAMA_3_70B.layers
    assert count == 2 * 80 == 160
    sent = count * 8_192 * 2
    assert LLAMA_3_70B.width == 8_192
    assert round(sent / 1e6, 1) == 2.6
    assert round(8_192 * sent / 1e9, 1) == 21.5
    assert count * 10 / 1000 == 1.6
    embedding = LLAMA_3_70B.vocabulary * LLAMA_3_70B.width  # of which a step reads a few rows
    read = 2 * (LLAMA_3_70B.parameters - embedding) + LLAMA_3_70B.cache(32 * 8_192)
    assert round(1000 * read / (8 * H100_BYTES), 1) == 8.4


def test_context_parallel():
    size = LLAMA_3_8B.cache(1_048_576)
    assert (size, size / 8) == (128 * GIB, 16 * GIB)

    def share(piece, pieces):
        """A piece's part of the causal pairs, where a piece sees half of itself and all before it."""
        return (2 * piece + 1) / pieces**2

    assert share(0, 8) == 1 / 64
    assert share(7, 8) == 15 / 64
    assert round(15 / 64, 2) == 23 / 100
    assert {share(piece, 16) + share(15 - piece, 16) for piece in range(8)} == {1 / 8}


def test_disaggregation():
    size = LLAMA_3_70B.cache(8_192)
    assert size == 2.5 * GIB
    assert round(1000 * size / (50 * 1e9)) == 54
    assert round(size / LLAMA_3_70B.layers / 1e6, 1) == 33.6


def test_experts_serving():
    layers, width, hidden, vocabulary = 32, 4096, 14_336, 32_000
    attention = 2 * width * width + 2 * width * 1024
    expert = 3 * width * hidden
    rest = layers * (attention + 8 * width + 2 * width) + 2 * vocabulary * width + width  # router and norms
    assert round(rest + layers * 8 * expert, -8) == 46.7e9
    assert round(rest + layers * 2 * expert, -8) == 12.9e9
    assert round(0.75**16, 2) == 1 / 100
    assert 0.75 == 1 - 2 / 8
    assert 2 * layers * 8 * 128 * 2 == 128 * KIB
    assert round(H100_FLOPS / H100_BYTES) == 295
    assert 295 * 8 / 2 == 1_180
