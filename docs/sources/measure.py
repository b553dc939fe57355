"""Measures the figures of docs/sources.md: python docs/sources/measure.py prints them, --write puts them into the page.

Each function is named after its row and returns what stands in the row's column *measured*. Weights are copied, seeds
fixed, one thread; figures of random inputs are rounded to two digits, because other machines draw other last digits.
"""

import contextlib
import io
import math
import re
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent))

from layers import Layer, group_summed, reference

PAGE = Path(__file__).parents[1] / "sources.md"


def off(a, b):
    """The largest absolute difference, to two digits."""
    return f"{(a - b).abs().max().item():.2g}"


def tril(*shape):
    return torch.ones(shape).tril()


def outcome(call):
    """What a call returns, or the name of the exception."""
    try:
        return call()
    except RuntimeError as error:
        return type(error).__name__


def agreement():
    """A, B and the Annotated layer; self-attention, cross-attention, grouped, masked, cached."""
    x, y = torch.randn(2, 10, 512), torch.randn(2, 7, 512)
    for kv_heads in (8, 4, 1):
        for fill in (-1e9, -1e20):
            layer = Layer(8, 512, kv_heads, fill).eval()
            assert torch.allclose(layer(x, y, y), reference(layer, x, y, y), atol=1e-6)
            assert torch.allclose(
                layer(x, x, x, tril(2, 10, 10)), reference(layer, x, x, x, tril(10, 10).bool()), atol=1e-6
            )
            steps, cache = [], None
            for i in range(10):
                steps.append(layer(*[x[:, i : i + 1]] * 3, tril(2, 10, 10)[:, i : i + 1, : i + 1], cache))
                cache = layer.cache
            assert torch.allclose(torch.cat(steps, dim=1), reference(layer, x, x, x, tril(10, 10).bool()), atol=1e-6)
    return "within 1e-6 of PyTorch's own function in float32, with copied weights"


def E01():
    q, k, v = torch.randn(3, 1, 256, 8, 64)
    right = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v))).transpose(1, 2)
    wrong = F.scaled_dot_product_attention(q, k, v)
    far = v.clone()
    far[:, 1:] = 100
    moved = off(F.scaled_dot_product_attention(q, k, far)[:, 0], wrong[:, 0])
    spread = f"spread {wrong.std():.2f} instead of {right.std():.2f}"
    return f"error {off(right, wrong)}; {spread}; other tokens move a token by {moved}"


def E02():
    q, k, v = torch.randn(2, 4, 256, 64), torch.randn(2, 256, 64), torch.randn(2, 256, 64)
    scores, output = group_summed(q, k, v)
    kept = torch.einsum("krle,kse->krls", q, k) / 8
    assert torch.allclose(scores, q.sum(1) @ k.mT / 8, atol=1e-5)
    true = (kept.softmax(-1) @ v[:, None]).flatten(0, 1)
    nearest = min((one - two).abs().max().item() for one in output for two in true)
    spreads = f"logits with spread {scores.std():.1f} instead of {kept.std():.1f}"
    return f"equals the sum of the queries; {spreads}; 2 heads of 8; error at least {nearest:.1f} for every head"


def E04():
    q, k = torch.randn(8, 256, 64), torch.randn(2, 256, 64)
    weights = (q @ k.repeat_interleave(4, 0).mT / 8).softmax(-1)
    apart = torch.stack([(weights - one).abs().sum(-1).mean(-1) / 2 for one in weights])
    inside = apart[:4, :4][~torch.eye(4, dtype=torch.bool)].mean()
    return f"total variation {inside:.2f} inside a group, {apart[:4, 4:].mean():.2f} between groups"


def E05():
    v = torch.randn(7, 4)
    uniform = torch.zeros(7).masked_fill(torch.ones(7, dtype=torch.bool), -1e9).softmax(0) @ v
    assert torch.allclose(uniform, v.mean(0), atol=1e-6)
    own = torch.zeros(2).masked_fill(torch.ones(2, dtype=torch.bool), -1e20).softmax(0).tolist()
    nothing = torch.zeros(1, 7, dtype=torch.bool)
    zero = F.scaled_dot_product_attention(torch.randn(1, 4), torch.randn(7, 4), v, nothing)
    return f"the mean of the values; B's own sample: {own[0]}, {own[1]}; PyTorch: {zero.abs().max():.0f}"


def E06():
    layer = Layer(8, 512).eval()
    x, y = torch.randn(2, 8, 512), torch.randn(2, 10, 512)
    wrong = layer(x, x, x, tril(8, 8))
    other = outcome(lambda: layer(y, y, y, tril(10, 10)))
    return f"L = H = 8: {off(wrong, reference(layer, x, x, x, tril(8, 8).bool()))}, no error; L = 10: {other}"


def E07():
    layer, x = Layer(8, 512).eval(), torch.randn(2, 10, 512)
    shape = tuple(layer(x, x, x, tril(2, 1, 10, 10)).shape)
    one = x[:1]
    wrong = layer(one, one, one, tril(1, 2, 10, 10)[:, :1])
    right = reference(layer, one, one, one, tril(10, 10).bool())
    return f"(2, 1, 10, 10) returns {shape}; B = 1: error {off(wrong, right)}"


def E08():
    layer, x = Layer(3, 10).eval(), torch.randn(1, 9, 10)
    layer.q = layer.k = layer.v = nn.Identity()
    positions = layer.q(x).view(1, -1, 3, 3).shape[1]
    shape = tuple(layer(x, x, x).shape)
    other = outcome(lambda: layer(*[torch.randn(1, 5, 10)] * 3))
    return f"D 10, H 3, L 9: {positions} made-up positions, {shape} comes out; L 5: {other}"


def E09():
    layer = Layer(8, 128, fill=-1e20, unsqueeze=False).eval()
    lengths = torch.tensor([5, 4, 3, 2, 5])
    padding = torch.arange(5) < lengths[:, None]  # (B, S), as the comment says
    x = torch.randn(5, 5, 128)
    right = reference(layer, x, x, x, padding[:, None, None])
    other = outcome(lambda: layer(*[torch.randn(3, 5, 128)] * 3, padding[:3]))
    return f"B = L = 5: {off(layer(x, x, x, padding), right)}; otherwise {other}"


def E10():
    layer, x = Layer(8, 512, 4).eval(), torch.randn(2, 10, 512)
    return f"the same bit for bit; {off(layer(x, x, x), reference(layer, x, x, x, tril(10, 10).bool()))} from masked"


def E11():
    layer, printed = Layer(8, 128), io.StringIO()
    x = torch.randn(3, 5, 128)
    q, k = (f(x).view(3, 5, 8, 16).transpose(1, 2) for f in (layer.q, layer.k))
    with contextlib.redirect_stdout(printed):
        print(type(None))
        print((q @ k.mT / 4).softmax(-1))
    return f"about {round(len(printed.getvalue()), -2):,} characters a call for 3 times 5 tokens"


def E12():
    layer, x = Layer(8, 512), torch.randn(2, 10, 512)
    first, second = layer(x, x, x), layer(x, x, x)
    return f"two calls differ by {off(first, second)}, spread {first.std():.2f}"


def E13():
    layer, x = Layer(8, 512, 4).eval(), torch.randn(2, 10, 512)
    whole, mask = reference(layer, x, x, x, tril(10, 10).bool()), tril(2, 10, 10)
    layer(*[x[:, :6]] * 3, mask[:, :6, :6])
    late, cache = [x[:, 6:]] * 3, layer.cache
    assert torch.allclose(layer(*late, mask[:, 6:], cache), whole[:, 6:], atol=1e-6)
    return f"chunks 6 + 4 without a mask: {off(layer(*late, None, cache), whole[:, 6:])}; with rows of the mask: right"


def E14():
    layer, x = Layer(8, 512, scale=512).eval(), torch.randn(2, 10, 512)
    layer.q.weight.data *= 3  # as wide as trained ones
    times = math.sqrt(512) / math.sqrt(64)
    return f"8 heads: {off(layer(x, x, x), reference(layer, x, x, x))}; logits {times:.2f} times too small"


def E15():
    scores = torch.randn(2000, 64) @ torch.randn(64, 64)
    entropy = [-(p * p.clamp_min(1e-30).log()).sum(-1).mean() for s in (1, 8, 64) for p in [(scores / s).softmax(-1)]]
    none, root, whole = (f"{e:.1f}" for e in entropy)
    return f"entropy of 64 weights, at most 4.2: {none} without a scale, {root} with the root, {whole} divided by d"


def E18():
    layers = {
        "attention": nn.MultiheadAttention(512, 8),
        "RNN": nn.RNN(512, 512),
        "convolution": nn.Conv1d(512, 512, 3),
        "GRU": nn.GRU(512, 512),
        "LSTM": nn.LSTM(512, 512),
    }
    return "width 512: " + "; ".join(f"{n} {sum(p.numel() for p in m.parameters()):,}" for n, m in layers.items())


def E19():
    mask = tril(10, 10)
    return f"above the diagonal {mask.triu(1).sum():.0f}, on and below it {mask.sum():.0f} for 10 tokens"


def E20():
    layer, decoder, encoder = Layer(8, 512).eval(), torch.randn(1, 3, 512), torch.randn(1, 7, 512)
    right, reversed_ = tuple(layer(decoder, encoder, encoder).shape), tuple(layer(encoder, decoder, decoder).shape)
    return f"queries from the decoder: {right}; as printed: {reversed_}"


def E22():
    weights = (torch.zeros(6, 6) * tril(6, 6)).softmax(-1)
    share = weights[0, 1:].sum()
    zeroed = (torch.randn(6, 6).softmax(-1) * tril(6, 6)).sum(-1)
    assert zeroed[0] < 0.9
    return f"before the softmax, equal scores: {share:.0%} of row 0 in the future; after it: rows that do not sum to 1"


def E23():
    q, k = torch.randn(2, 200_000, 64) + 0.5
    x, y = torch.randn(2, 2000, 512)
    layers = [nn.Linear(512, 64, bias=False) for _ in range(2)]
    variance = (layers[0](x) @ layers[1](y).T / 8).var()
    return f"mean 0.5: scaled mean {(q * k).sum(-1).mean() / 8:.1f}; default layers: variance {variance:.2f}"


def E25():
    shares = []
    for n in (128, 512, 1024, 2048):
        x, w, heads = (torch.empty(*s, device="meta") for s in ((n, 512), (512, 512), (8, n, 64)))
        with FlopCounterMode(display=False) as projections:
            for _ in "qkvo":
                x @ w
        with FlopCounterMode(display=False) as rest:
            (heads @ heads.mT) @ heads
        counted = projections.get_total_flops(), rest.get_total_flops()
        shares.append(f"{100 * counted[0] / sum(counted):.0f}")
    return f"d = 512: projections are {', '.join(shares)}% at n = 128, 512, 1024, 2048"


def E26():
    counts = [sum(p.numel() for p in Layer(8, 512, k).parameters()) for k in (8, 4, 2, 1)]
    return f"h = 512: {', '.join(f'{n:,}' for n in counts)} for 8, 4, 2, 1 heads; 70B's k_proj is ({8 * 128}, 8192)"


def E27():
    layer, x = Layer(8, 512, 4).eval(), torch.randn(2, 10, 512)
    assert torch.allclose(layer(x, x, x), reference(layer, x, x, x), atol=1e-6)
    return "enable_gqa since 2.5, and it gives A's numbers"


def E32():
    view = torch.arange(24.0).view(2, 3, 4)[..., :2]
    assert not view.is_contiguous()
    kv = torch.zeros(2, 4, 125, 128)
    sizes = [t.untyped_storage().nbytes() for t in (kv.repeat_interleave(2, 1), kv)]
    return (
        f"a slice {tuple(view.shape)} views as {tuple(view.view(6, 2).shape)}; {sizes[0]:,} against {sizes[1]:,} bytes"
    )


def E33():
    nan = ((1 - tril(5, 5)) * -math.inf).isnan().sum()
    dtype = (torch.zeros(5, 5, dtype=torch.float16) + tril(5, 5)).dtype
    return f"float16 scores become {str(dtype)[6:]}; (1 - tril) * -inf is NaN at {nan} of 25 places"


def E35():
    logits = (2 * torch.randn(256, 8).double()) @ torch.randn(8, 256).double()
    ranks = [torch.linalg.matrix_rank(m).item() for m in (torch.eye(64), logits, logits.softmax(-1))]
    return f"rank of I_64 is {ranks[0]}; logits of rank {ranks[1]} give weights of rank {ranks[2]}"


def E36():
    whole, x = nn.Linear(768, 768, bias=False).double(), torch.randn(4, 768).double()
    parts = torch.cat([x @ part.T for part in whole.weight.chunk(12)], dim=-1)
    assert torch.allclose(parts, whole(x))
    return f"both {12 * 64 * 768:,}; the slices are the whole; what differs is 12 softmaxes"


def E37():
    layer, x = Layer(8, 512), torch.randn(2, 10, 512)
    rows = layer.dropout(torch.full((1000, 10), 0.1)).sum(-1)
    assert layer(x, x, x).requires_grad
    return (
        f"four equal projections at the start; self.attn keeps the graph; rows off 1 by {(rows - 1).abs().mean():.1f}"
    )


def E38():
    half, hide = torch.zeros(2, dtype=torch.float16), torch.tensor([True, False])
    refused = [fill for fill in (-1e9, -1e20) if outcome(lambda f=fill: half.masked_fill(hide, f)) == "RuntimeError"]
    assert refused == [-1e9, -1e20]
    q = torch.full((1, 128), 30.0, dtype=torch.float16)
    after, before = (q @ q.T / math.sqrt(128)).item(), ((q / math.sqrt(128)) @ q.T).item()
    return f"-1e9, -1e20: RuntimeError in float16; q = k = 30, 128 features: {after}; scaled first {before:,.0f}"


def E38b():
    q, k, v = torch.randn(3, 10, 16)
    scores, see = q @ k.T / 4, tril(10, 10).bool()
    lowest = torch.full((3,), torch.finfo(torch.float32).min)
    assert torch.allclose(torch.maximum(lowest, torch.full((3,), -math.inf)).softmax(0), torch.full((3,), 1 / 3))
    added = off((scores + see).softmax(-1) @ v, F.scaled_dot_product_attention(q, k, v, see))
    return f"saves a row from -inf, makes an empty row uniform; a boolean mask is added as 1 and 0: error {added}"


def E40():
    heads, kv_heads = 32, 8
    r = heads // kv_heads
    return f"up to 1 + 2r times the bytes, {1 + 2 * r} for {heads} heads over {kv_heads}; copying is O(T^2) bytes"


def figures():
    """Id -> text, measured afresh."""
    torch.set_num_threads(1)
    found = {}
    for name, measure in globals().items():
        if re.fullmatch(r"E\d\d\w?|agreement", name):
            torch.manual_seed(0)
            with torch.no_grad() if name not in ("E37",) else contextlib.nullcontext():
                found[name] = measure()
    return found


def main():
    """Print the figures, or put them where they belong: an error's fifth column."""
    found = figures()
    page = PAGE.read_text(encoding="utf-8")
    for name, text in found.items():
        print(f"{name:10} {text}")
        page = re.sub(rf"^(\| {name} \|(?:[^|]*\|){{3}})[^|]*\|", lambda m, t=text: f"{m[1]} {t} |", page, flags=re.M)
    if "--write" in sys.argv:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
