"""The numbers of katas/questions/training.toml. A test is called after the key of its question."""

import math

import torch
import torch.nn.functional as F

from tests.questions.figures import LLAMA_2_7B, LLAMA_3_8B


def causal_scores(tokens):
    """Training FLOPs of scores and weighted sums for each token of Llama-3-8B, without what the mask hides."""
    return 3 * LLAMA_3_8B.causal_flops(tokens) / tokens


def test_teacher_forcing():
    tokens = torch.arange(8)
    assert tokens[:-1].tolist() == [*range(6 + 1)]
    assert tokens[1:].tolist() == [*range(1, 7 + 1)]
    assert len(tokens[1:]) == 7


def test_pre_or_post_norm():
    assert round(math.sqrt(64 * 1 + 1), 2) == round(math.sqrt(65), 2) == 8.06


def test_attention_dropout():
    p = 0.1
    assert round(1 / (1 - p), 2) == 1.11
    assert round(math.sqrt(p / (1 - p) / 64), 3) == 0.042
    rows = F.dropout(torch.full((50_000, 64), 1 / 64), p).sum(-1)
    assert abs(rows.mean() - 1) < 0.005
    assert abs(rows.std() - 0.042) < 0.002


def test_tied_embeddings():
    gpt2 = {"tokens": 50_257, "positions": 1_024, "width": 768, "layers": 12}
    d = gpt2["width"]
    embedding = gpt2["tokens"] * d
    block = 4 * d * d + 4 * d + 8 * d * d + 5 * d + 4 * d  # attention, feed-forward and two norms, with biases
    every = embedding + gpt2["positions"] * d + gpt2["layers"] * block + 2 * d
    assert (embedding, every) == (38_597_376, 124_439_808)
    assert round(100 * embedding / every) == 31
    one = LLAMA_3_8B.vocabulary * LLAMA_3_8B.width
    assert one == 525_336_576
    assert round(100 * 2 * one / LLAMA_3_8B.parameters) == 13


def test_training_flops():
    weights = 6 * LLAMA_3_8B.parameters
    scores = 12 * LLAMA_3_8B.layers * LLAMA_3_8B.width * 8_192
    assert math.isclose(scores, 2 * causal_scores(8_192))
    assert (round(weights, -8), round(scores, -8)) == (48.2e9, 12.9e9)
    assert round(100 * 10_000 * (weights + scores) / (989 * 1e12)) == 62
    assert round(100 * 10_000 * (weights + scores / 2) / (989 * 1e12)) == 55


def test_training_memory():
    assert 2 + 2 + 4 + 4 + 4 == 16
    needed = 16 * LLAMA_3_8B.parameters
    assert int(needed / 1e9) == 128 > 80
    assert round(needed / 8 / 1e9) == 16


def test_checkpointing():
    heads, width, length = 32, 4_096, 8_192
    quadratic = 5 * heads * length / width
    assert quadratic == 320
    assert round(100 * quadratic / (34 + quadratic)) == 90
    assert (2 + 4, 2 + 4 + 2) == (6, 8)  # forward and backward; with another forward pass


def test_residual_init():
    assert 2 * 12 == 24
    assert round(0.02 / math.sqrt(24), 4) == 0.0041
    assert math.isclose(sum(24 * [1 / 24]), 1)
    assert round(768**-0.5, 3) == 0.036


def test_warm_up():
    weights = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.001)
    weights.grad = torch.tensor([1, 0.0001])
    optimizer.step()
    torch.testing.assert_close(weights.detach().abs(), torch.tensor([0.001, 0.001]), rtol=0.001, atol=0)


def test_accumulation_mean():
    # the large trainers were mended in October 2024
    assert (4 + 2) / 2 == 3
    assert (10 * 4 + 90 * 2) / (10 + 90) == 2.2


def test_lora():
    count = 32 * 2 * 8 * (4_096 + 4_096)
    assert count == 4_194_304
    assert round(100 * count / LLAMA_2_7B.parameters, 2) == 0.06
    a, b = torch.zeros(2, 3, requires_grad=True), torch.zeros(3, 2, requires_grad=True)
    (b @ a @ torch.ones(3)).sum().backward()
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()


def test_parallel_block():
    # PaLM's paper, section 2: about 15% faster at large scale
    assert (1 * 80, 2 * 80) == (80, 160)


def test_logits_memory():
    assert LLAMA_3_8B.vocabulary == 128_256
    assert round(8_192 * 128_256 * 4 / 1e9, 1) == 4.2
    assert round(1_024 * 128_256 * 4 / 1e9, 2) == 0.53


def test_long_context_training():
    def share(tokens):
        return round(100 * causal_scores(tokens) / (causal_scores(tokens) + 6 * LLAMA_3_8B.parameters))

    assert share(8_192) == 12
    assert share(131_072) == 68


def test_induction_heads():
    """Two layers by hand: the first writes the previous token into each position, the second looks for it."""
    assert round(math.log(64), 2) == 4.16
    # Olsson et al., "In-context learning and induction heads", 2022
    half = torch.randperm(64)
    tokens = torch.cat([half, half])
    what = F.one_hot(tokens, 64).double()
    before = torch.cat([torch.zeros(1, 64).double(), what[:-1]])
    scores = (100 * what @ before.T).masked_fill(torch.ones(128, 128).triu(1).bool(), -math.inf)
    guess = (scores.softmax(-1) @ what)[64:-1]
    assert (guess.argmax(-1) == tokens[65:]).all()
    assert -guess.gather(1, tokens[65:, None]).log().mean() < 1e-6


def test_qk_clip():
    factor = math.sqrt(100 / 400)
    assert factor == 0.5
    assert 400 * factor * factor == 100


def test_rollout_mismatch():
    drift = 0.01 * math.sqrt(1_000)
    assert round(drift, 2) == 0.32
    assert round(math.exp(drift), 2) == 1.37
