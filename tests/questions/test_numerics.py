"""The numbers of katas/questions/numerics.toml. A test is called after the key of its question."""

import math

import torch
import torch.nn.functional as F


def step_at(x, dtype):
    """How far apart the numbers of a dtype are just above x, a power of two."""
    return x * torch.finfo(dtype).eps


def off(got, wanted):
    """The error in root mean square, as a part of what is wanted."""
    return ((got - wanted).square().mean() / wanted.square().mean()).sqrt().item()


def test_softmax_shift():
    assert round(math.log(torch.finfo(torch.float16).max), 2) == 11.09
    assert round(math.log(torch.finfo(torch.float32).max), 2) == 88.72
    scores = torch.tensor([1_000.0, 1_001.0])
    assert (scores.exp() / scores.exp().sum()).isnan().all()
    shifted = (scores - scores.max()).exp()
    assert [round(each, 2) for each in (shifted / shifted.sum()).tolist()] == [0.27, 0.73]


def test_log_softmax():
    logits = torch.tensor([0.0, -110.0])
    assert logits.softmax(0).log()[1] == -math.inf
    assert logits.log_softmax(0)[1] == -1 * 110
    assert round(-math.log(1e-8)) == 18  # where a loss ends that has 1e-8 inside its logarithm
    terms = torch.full((128_256,), 1 / 128_256, dtype=torch.bfloat16)
    one_by_one = torch.zeros((), dtype=torch.bfloat16)
    for each in terms[:20_000]:
        one_by_one += each
    assert one_by_one < 0.02  # of 0.16 that these terms make


def test_half_formats():
    half, brain = torch.finfo(torch.float16), torch.finfo(torch.bfloat16)
    assert (16 - 1 - 10, -math.log2(half.eps)) == (5, 10)
    assert (16 - 1 - 7, -math.log2(brain.eps)) == (8, 7)
    assert (round(half.eps, 5), round(brain.eps, 4)) == (0.00098, 0.0078)
    assert half.max == 65_504
    assert float(f"{brain.max:.1e}") == 3.4e38
    assert torch.finfo(torch.float8_e4m3fn).max == 448
    assert torch.finfo(torch.float8_e5m2).max == 57_344


def test_float_order():
    large, one = torch.tensor([1e8, 1.0])
    assert (large + one) - large == 0
    assert large - large + one == 1


def test_loss_scaling():
    assert float(f"{torch.finfo(torch.float16).smallest_normal * torch.finfo(torch.float16).eps:.0e}") == 6e-8
    gradient = torch.tensor(1e-8)
    assert gradient.half() == 0
    assert round((gradient * 65_536).half().item(), 5) == 0.00066
    assert float(f"{torch.finfo(torch.bfloat16).smallest_normal:.1e}") == 1.2e-38


def test_batch_invariance():
    a, b, c, d = torch.tensor([1e8, 1, -1e8, 1])
    assert (((a + b) + c) + d, (a + b) + (c + d)) == (1, 0)
    assert a.double() + b + c + d == 2
    assert round(step_at(1, torch.bfloat16), 4) == 0.0078 > 1e-3
    assert torch.tensor(1.001).bfloat16() == 1


def test_tolerances():
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    epsilons = [float(f"{torch.finfo(dtype).eps:.1e}") for dtype in dtypes]
    assert epsilons == [2.2e-16, 1.2e-7, 0.00098, 0.0078]
    q, k, v = torch.randn(3, 5, 64, generator=torch.Generator().manual_seed(0)).double()
    wanted = (q @ k.T / 8).softmax(-1) @ v
    assert (F.scaled_dot_product_attention(q, k, v) - wanted).abs().max() < 1e-10
    halves = F.scaled_dot_product_attention(*(t.bfloat16() for t in (q, k, v)))
    assert 0.001 < (halves - wanted).abs().max() < 0.02


def test_weights_that_vanish():
    half = torch.tensor([-1.0 * 17, -1.0 * 18]).exp().half()
    assert float(f"{half[0]:.0e}") == 6e-8
    assert half[1] == 0
    assert round(math.log(2**-25), 2) == -1 * 17.33
    assert round(math.log(2**-150), 2) == -1 * 103.97
    assert torch.tensor(-1 * 103.0).exp() > 0 == torch.tensor(-1 * 104.0).exp()
    assert torch.tensor(1e-8).half() == 0


def test_large_logits_in_bf16():
    assert step_at(512, torch.bfloat16) == 4
    assert 512 < 1_000 < 1_001 < 1_024
    scores = torch.tensor([1_000.0, 1_001.0])
    assert scores.bfloat16().float().softmax(0).tolist() == [0.50, 0.50]
    assert [round(each, 2) for each in scores.softmax(0).tolist()] == [0.27, 0.73]
    assert step_at(8, torch.bfloat16) == 0.0625
    assert 8 * 2 == 16
    assert round(math.expm1(0.0625 / 2), 2) == 3 / 100
    assert step_at(512, torch.float16) == 0.5
    assert torch.finfo(torch.float16).max == 65_504


def test_nan_hunt():
    infinite, nothing = torch.tensor(math.inf), torch.tensor(math.nan)
    for each in (infinite - infinite, 0 * infinite, 0 * nothing, torch.maximum(nothing, torch.zeros(()))):
        assert each.isnan()


def test_norm_in_float32():
    assert 256 * 256 == 65_536 > torch.finfo(torch.float16).max == 65_504
    x = torch.ones(4_096)
    x[7] = 256

    def norm(x):
        return x * x.square().mean().rsqrt()

    assert (norm(x.half()) == 0).all()
    assert (norm(x) > 0).all()


def test_exp2():
    assert round(math.log2(math.e), 4) == 1.4427
    assert round(math.sqrt(128), 3) == 11.314
    assert round(1.4427 / 11.314, 4) == 0.1275
    x = torch.randn(9, dtype=torch.float64)
    torch.testing.assert_close((x * math.log2(math.e)).exp2(), x.exp())


def test_gradient_of_where():
    def gradient(f):
        x = torch.zeros(1, requires_grad=True)
        y = f(x)
        y.sum().backward()
        return y.item(), x.grad.item()

    value, slope = gradient(lambda x: torch.where(x > 0, x.sqrt(), 0))
    assert value == 0
    assert math.isnan(slope)
    assert gradient(lambda x: torch.where(x > 0, torch.where(x > 0, x, 1).sqrt(), 0)) == (0, 0)
    assert math.isnan(gradient(lambda x: (x * 0 / x).nan_to_num())[1])


def test_weights_in_16_bits():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 64, generator=generator) for n in (64, 1_024, 1_024))
    scores = q @ k.T / 8
    shifted = (scores - scores.amax(-1, keepdim=True)).exp()
    assert round(100 / 256, 2) == 0.39
    assert (shifted.bfloat16().float() / shifted - 1).abs().max() <= 1 / 256
    wanted = scores.double().softmax(-1) @ v.double()
    rounded = shifted.bfloat16().double() @ v.double() / shifted.double().sum(-1, keepdim=True)
    assert round(100 * off(rounded, wanted), 1) == round(100 * off(wanted.bfloat16(), wanted), 1) == 0.2
    assert round(1 / 16, 2) == 6 / 100
    assert torch.finfo(torch.float8_e4m3fn).eps / 2 == 1 / 16


def test_fp8_scales():
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    x[0] = 100
    integers, floats = x.abs().max() / 127, x.abs().max() / torch.finfo(torch.float8_e4m3fn).max
    eight_bits = (x / integers).round() * integers
    eight_floats = (x / floats).to(torch.float8_e4m3fn).float() * floats
    assert round(100 * off(eight_bits[1:], x[1:])) == 23
    assert round(100 * off(eight_floats[1:], x[1:]), 1) == 2.7
    assert torch.finfo(torch.float8_e4m3fn).eps == 2**-3
    assert torch.finfo(torch.float8_e4m3fn).eps / 2 == 1 / 16
    assert torch.finfo(torch.float8_e4m3fn).max == 448
    assert torch.finfo(torch.float8_e4m3fn).smallest_normal == 1 / 64
