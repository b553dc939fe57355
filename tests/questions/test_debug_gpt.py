"""The numbers of katas/debug_gpt/questions.toml. A test is called after the key of its question."""

import math
import types

import torch
import torch.nn.functional as F

from grading.examination.plants import planted
from grading.hunts import by_stem


def program(*bugs):
    """The classes of the debug round's model with these bugs in it."""
    module = types.ModuleType("gpt")
    exec(planted(by_stem()["debug_gpt"], bugs), module.__dict__)
    torch.manual_seed(0)
    return module


def test_debug_first_loss():
    assert round(math.log(50_257), 2) == 10.82
    torch.manual_seed(0)
    table, hidden = torch.randn(5_000, 768), F.layer_norm(torch.randn(512, 768), (768,))
    labels = torch.randint(5_000, (512,))
    narrow, wide = (F.cross_entropy(hidden @ (std * table).T, labels).item() for std in (0.02, 1.0))
    assert abs(narrow - 8.7) < 0.15
    assert round(math.log(5_000), 2) == 8.52
    assert abs(wide - 102) < 8


def test_debug_one_batch():
    def by_heart(*bugs):
        """The loss after 150 steps on one batch of 4 sequences of 16 tokens."""
        model, tokens = program(*bugs).GPT(32, 16, 32, 4, 2, lr=0.01), torch.randint(32, (4, 16))
        return [model.train_step(tokens) for _ in range(150)][-1]

    right, late, early, kept = (
        by_heart(*bugs) for bugs in ([], ["mask-one-late"], ["optimizer-early"], ["gradients-kept"])
    )
    assert round(right, 3) == round(late, 3) == 0.002
    assert abs(early - 0.14) < 0.05
    assert abs(kept - 6.57) < 2


def reached(*bugs):
    """The tokens of 7 whose streams the output of token 3 depends on, in one layer of attention."""
    layer, x = program(*bugs).Attention(12, 3), torch.randn(1, 7, 12, requires_grad=True)
    layer(x)[0, 3].sum().backward()
    return x.grad[0].abs().sum(-1).nonzero().flatten().tolist()


def test_debug_batch_leak():
    assert reached() == [0, 1, 2, 3]  # of 7
    assert set(reached("heads-viewed")) & set(range(4, 6 + 1))


def test_debug_silent():
    assert round(math.sqrt(12), 2) == 3.46


def test_debug_eval_noise():
    assert round(100 * (1 - 0.1) ** 64, 2) == 0.12


def test_debug_no_gradient():
    layer = program("weights-detached").Attention(12, 3)
    layer(torch.randn(2, 7, 12)).square().sum().backward()
    assert [bool(part.any()) for part in layer.qkv.weight.grad.chunk(3)] == [False, False, True]


def test_debug_order():
    assert len(program().GPT(9, 9, 12, 3, 12).blocks) == 12
    assert math.ceil(math.log2(12)) == 4


def test_debug_zero_grad():
    mean, square = 0.0, 0.0
    for gradient in range(1, 10 + 1):
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
    assert gradient == 10
    assert round(mean / (1 - 0.9**10) / math.sqrt(square / (1 - 0.999**10)), 2) == 1.02
