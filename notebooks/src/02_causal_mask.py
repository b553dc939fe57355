# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 Causal mask
#
# [![Open In
# Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/attention-katas/blob/v0.1.0/notebooks/02_causal_mask.ipynb)
#
# A triangle of booleans, and the mistakes that survive longest in real code. After this notebook you can place the
# triangle when there are more keys than queries, prove that filling with minus infinity is the only fill that works
# (and say where even that fails), prove that causality is what makes a cache legal, and name the test that a wrong
# mask passes.
#
# Reading time 22 minutes. Kata: `python grader.py check causal_mask`

# %% tags=["colab"]
import subprocess
import sys

if "google.colab" in sys.modules:  # elsewhere this cell does nothing
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", "--branch=v0.1.0", "https://github.com/OWNER/attention-katas"],
        check=True,
    )

# %%
import io
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import Image, display
from matplotlib.patches import Patch
from torch import nn
from torch.nn.attention.bias import causal_lower_right, causal_upper_left
from torch.utils.flop_counter import FlopCounterMode

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
plt.rcParams.update(
    {"figure.figsize": (7, 3), "figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False}
)
OKABE_ITO = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000"]
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=OKABE_ITO)
BLUE, ORANGE, GREEN, VERMILLION = OKABE_ITO[:4]


def show(fig, alt):
    """Display the figure as one PNG with alt text, and close it."""
    png = io.BytesIO()
    fig.savefig(png, format="png", bbox_inches="tight", metadata={"Software": None})
    plt.close(fig)
    display(Image(png.getvalue(), alt=alt))


def distance(a, b):
    """The largest absolute difference; shapes must agree."""
    assert a.shape == b.shape
    return (a - b).abs().max().item()


# %% [markdown]
# ## The interview question
#
# > *Four tokens are in the cache and three new ones arrive together. Write the mask. Then tell me why the answer is
# > the same as if all seven had come at once, and how you would test that.*
#
# The one-line triangle most people write gives three rows that start at the wrong column. Nothing raises, and the
# usual test, generating token by token and comparing shapes, passes.
#
# ## Three tokens by hand
#
# Head size 1, so that no scaling is needed. All three queries are 1, the keys are $0, \ln 2, \ln 3$ and the values
# $6, 0, 12$. Every row of $e^{\text{score}}$ is then $1, 2, 3$:
#
# | query | may see | weights | output |
# |---|---|---|---|
# | 0 | 1 | $1$ | $6$ |
# | 1 | 1, 2 | $\frac13, \frac23$ | $2$ |
# | 2 | 1, 2, 3 | $\frac16, \frac26, \frac36$ | $1 + 0 + 6 = 7$ |
#
# Without a mask all three outputs are 7: equal queries can only be told apart by what they may see. Now decode:
# token 2 alone comes as the query, with three keys. It must still get 7.

# %%
hand_q = torch.ones(1, 3, 1)
hand_k = torch.tensor([0, math.log(2), math.log(3)]).view(1, 3, 1)
hand_v = torch.tensor([6.0, 0, 12]).view(1, 3, 1)

causal = F.scaled_dot_product_attention(hand_q, hand_k, hand_v, is_causal=True).flatten()
unmasked = F.scaled_dot_product_attention(hand_q, hand_k, hand_v).flatten()
assert torch.allclose(causal, torch.tensor([6.0, 2, 7]))
assert torch.allclose(unmasked, torch.tensor([7.0, 7, 7]))

last_alone = F.scaled_dot_product_attention(hand_q[:, 2:], hand_k, hand_v, is_causal=True).item()
assert math.isclose(last_alone, 6)  # not 7
print("causal", [round(x) for x in causal.tolist()], "  last query alone, is_causal=True:", round(last_alone))

# %% [markdown]
# Six, not seven. PyTorch's `is_causal=True` took the single query for position **0**. The next section says which
# position it really has.
#
# ## Where the triangle sits
#
# S keys are positions $0 \dots S-1$. The L queries are the *last* L of them, so row $i$ is position $i + (S - L)$,
# and causality reads
#
# $$M_{ij} = [\,j \le i + S - L\,] .$$
#
# The last row ($i = L-1$) sees all S keys: the triangle leans against the **bottom-right** corner. For $S = L$ this
# is the familiar square. Two checks for a whiteboard: row $i$ has $i + 1 + S - L$ Trues, and the total is
# $LS - \frac{L(L-1)}2$. It is also simply the last L rows of the square mask of size S.
#
# The toy below writes the rule down pair by pair; the oracle is PyTorch's pair `causal_lower_right` and
# `causal_upper_left`, whose names say the corner.


# %%
def by_rule(L, S, offset=None):
    """Row i is position i + offset; it sees key j when j is not later. One pair after the other."""
    offset = S - L if offset is None else offset
    return torch.tensor([[j <= i + offset for j in range(S)] for i in range(L)])


def as_matrix(bias, L, S):
    """A mask of PyTorch's as booleans, read off what attention does with it: one-hot values show the weights."""
    q, k, v = torch.zeros(1, 1, L, S), torch.zeros(1, 1, S, S), torch.eye(S).view(1, 1, S, S)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)[0, 0] > 0


for L, S in ((3, 7), (1, 7), (5, 5), (1, 1), (6, 7)):
    mask = by_rule(L, S)
    assert (mask == as_matrix(causal_lower_right(L, S), L, S)).all()
    assert (by_rule(L, S, offset=0) == as_matrix(causal_upper_left(L, S), L, S)).all()
    assert (mask == by_rule(S, S)[S - L :]).all()
    assert mask.sum(1).tolist() == [i + 1 + S - L for i in range(L)]
    assert mask.sum() == L * S - L * (L - 1) // 2
print("3 queries, 7 keys:", by_rule(3, 7).sum().item(), "of", 3 * 7, "pairs allowed")


# %%
def draw(ax, mask, wanted=None):
    """Blue: allowed, as it should be. Vermillion cross: allowed, must not be. Orange ring: blocked, must not be."""
    wanted = mask if wanted is None else wanted
    for i, row in enumerate(mask.tolist()):
        for j, allowed in enumerate(row):
            good = bool(wanted[i, j])
            colour = (BLUE if good else VERMILLION) if allowed else ("white" if not good else "#FFE9BF")
            ax.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, facecolor=colour, edgecolor="#999999"))
            if allowed != good:
                ax.text(j, i, "x" if allowed else "o", ha="center", va="center", weight="bold")
    L, S = mask.shape
    ax.set(xlim=(-0.6, S - 0.4), ylim=(L - 0.4, -0.6), xticks=range(S), yticks=range(L), aspect="equal")
    ax.set_yticklabels([f"{i + S - L}" for i in range(L)])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)


fig, axes = plt.subplots(2, 2, figsize=(9, 3.6), height_ratios=[3, 1], sharex=True, constrained_layout=True)
for row, L in enumerate((3, 1)):
    draw(axes[row, 0], by_rule(L, 7))
    draw(axes[row, 1], by_rule(L, 7, offset=0), wanted=by_rule(L, 7))
axes[0, 0].set_title("bottom-right: right")
axes[0, 1].set_title("top-left: sees too little")
axes[0, 0].set_ylabel("query position")
for ax in axes[1]:
    ax.set_xlabel("key position")
show(fig, "Masks for 3 queries and for 1 query over 7 keys. Bottom-right: positions 4, 5, 6 see 5, 6 and 7 keys. "
          "Top-left: they see 1, 2 and 3 keys, and a single query sees only key 0.")

# %% [markdown]
# A top-left mask does not leak; it **blinds**. The newest token attends to the oldest keys and not to itself, and the
# shapes are perfect.
#
# ## Why minus infinity
#
# Let $A$ be the allowed keys of a row and subtract $c$ from every other score:
#
# $$p_j(c) = \frac{e^{s_j - c\,[j \notin A]}}{\sum_{i \in A} e^{s_i} + e^{-c}\sum_{i \notin A} e^{s_i}}
# \;\xrightarrow{\;c \to \infty\;}\; \frac{e^{s_j}\,[j \in A]}{\sum_{i \in A} e^{s_i}} .$$
#
# So *fill with $-\infty$* is the same as *softmax, zero the rest, renormalise*. A blocked weight is a constant 0, so
# blocked keys and values receive a gradient of exactly 0.
#
# Source E says that the mask covers the grey area "with 0".
#
# **Predict.** A score of 0 is not "no attention": $e^0 = 1$ is the weight of an average key. With six equal scores
# row 0 must give five sixths to the future. Zero *after* the softmax leaks nothing, and its rows no longer sum to 1.

# %%
torch.manual_seed(0)
n = 6
square = by_rule(n, n)
scores = torch.randn(n, n)
maps = {
    "fill -inf": scores.masked_fill(~square, -math.inf).softmax(-1),
    "fill 0 before softmax": scores.masked_fill(~square, 0.0).softmax(-1),
    "zero after softmax": scores.softmax(-1) * square,
}
future = {name: (weights * ~square).sum(-1) for name, weights in maps.items()}
sums = {name: weights.sum(-1) for name, weights in maps.items()}

renormalised = maps["zero after softmax"] / sums["zero after softmax"][:, None]
assert distance(maps["fill -inf"], renormalised) < 1e-12  # the claim
equal = torch.zeros(n, n).masked_fill(~square, 0.0).softmax(-1)
assert torch.allclose((equal * ~square).sum(-1), torch.tensor([(5 - i) / 6 for i in range(n)]))
assert future["fill 0 before softmax"][0] > 0.5
assert sums["zero after softmax"].min() < 0.4

q, k, v = (torch.randn(n, 4, requires_grad=True) for _ in range(3))
F.scaled_dot_product_attention(q, k, v, attn_mask=square)[:3].sum().backward()  # a loss of rows 0..2 only
assert (k.grad[3:] == 0).all()
assert (v.grad[3:] == 0).all()
print("zero, then renormalise = fill -inf:", True, "  gradient of blocked keys and values is 0:", True)

# %%
fig, axes = plt.subplots(1, 3, figsize=(10, 3.5), sharey=True, constrained_layout=True)
for ax, (name, weights) in zip(axes, maps.items(), strict=True):
    image = ax.imshow(weights, vmin=0, vmax=1, cmap="cividis")
    for i in range(n):
        off, leak = abs(sums[name][i] - 1) > 1e-9, future[name][i] > 1e-9
        text = f"sum {sums[name][i]:.2f}" if off else f"{future[name][i]:.0%} future" if leak else "sum 1"
        ax.text(5.7, i, text, va="center", color=VERMILLION if off or leak else "black", fontsize=9)
    ax.set(title=name, xlabel="key position", xticks=range(n), yticks=range(n))
    ax.plot([0.5 + i // 2 for i in range(11)], [-0.5 + (i + 1) // 2 for i in range(11)], color="white", linewidth=1.5)
axes[0].set_ylabel("query position")
fig.colorbar(image, ax=axes, label="attention weight", shrink=0.8)
show(fig, "Attention maps of six tokens under three fills. Minus infinity: lower triangle, row sums 1. Zero before "
          "the softmax: most of row 0 lies in the future. Zero after the softmax: row 0 sums to less than a half.")

# %% [markdown]
# **Explain.** Middle: the future is read through the whole first half of the sequence. Right: no leak, but early
# tokens get a fraction of the signal, so each position works at its own volume. Only the left one is attention over
# the allowed keys.
#
# ## The row that sees nothing
#
# If $A$ is empty the limit does not exist, and every fill invents its own answer. Scores 1, 2, 3, all three blocked:

# %%
s32, s64 = torch.tensor([1.0, 2, 3], dtype=torch.float32), torch.tensor([1.0, 2, 3])
blocked = torch.zeros(3, dtype=torch.bool)
answers = {
    "add -1e4, float32": (s32 - 1e4).softmax(-1),
    "add -1e9, float32": (s32 - 1e9).softmax(-1),
    "add -1e9, float64": (s64 - 1e9).softmax(-1),
    "fill any constant": s64.masked_fill(~blocked, -1e9).softmax(-1),
    "fill -inf": s64.masked_fill(~blocked, -math.inf).softmax(-1),
}
unmasked_row = s64.softmax(-1)
assert distance(answers["add -1e4, float32"].double(), unmasked_row) < 1e-3
assert distance(answers["add -1e9, float64"], unmasked_row) < 1e-6
for name in ("add -1e9, float32", "fill any constant"):
    assert distance(answers[name].double(), torch.full((3,), 1 / 3)) < 1e-6
assert answers["fill -inf"].isnan().all()
for name, row in answers.items():
    print(f"{name:18}", [f"{x:.2f}" for x in row.tolist()])

v = torch.randn(1, 3, 4)
convention = F.scaled_dot_product_attention(torch.randn(1, 1, 4), torch.randn(1, 3, 4), v, attn_mask=blocked[None])
assert (convention == 0).all()
print("PyTorch's attention returns zeros:", True)

# %% [markdown]
# Adding a finite number to *all* scores of a row changes nothing (softmax is shift-invariant), so a fully blocked
# query silently attends to everything it must not see, or to the plain mean when the constant swallows the scores
# ($10^9$ in float32 has steps of 64). $-\infty$ gives 0/0. The convention here and in PyTorch is a **zero** row.
#
# A causal mask with $S \ge L$ never makes such a row: each query sees itself. But every mask that meets it can:
# padding on the left, windows, or $L > S$. The gradient is the second trap:

# %%
mask = torch.tensor([[True, True, False], [False, False, False]])
additive = torch.where(mask, 0.0, -math.inf)


def gradient_of(scores_to_weights):
    torch.manual_seed(1)
    q, k = torch.randn(2, 4, requires_grad=True), torch.randn(3, 4)
    weights = scores_to_weights(q @ k.T / 2)
    assert weights.isfinite().all()
    (weights @ torch.randn(3, 4)).sum().backward()
    return q.grad


def patched(s):  # repairs the output only
    return (s + additive).softmax(-1).nan_to_num(0.0)


def guarded(s):  # a row without keys never reaches the softmax as -inf
    alive = mask.any(-1, keepdim=True)
    return torch.where(alive, s + additive, 0.0).softmax(-1) * alive


assert gradient_of(patched)[1].isnan().all()
assert gradient_of(guarded).isfinite().all()
assert (gradient_of(guarded)[1] == 0).all()
print("NaN in the gradient: nan_to_num", True, "  guarded before the softmax", False)

# %% [markdown]
# Both outputs are finite; one training step later the first model is all NaN. Repair the *scores*, not the result.
#
# ## The additive form and its dtype
#
# Boolean masks say what is meant; the additive form (0 and $-\infty$) is what kernels add to scores. Source C builds
# it correctly, for a square and in float32. Close by lie five traps:

# %%
tril = by_rule(5, 5).double()  # source A calls this triangle "upper"; the part above its diagonal is empty
assert tril.triu(1).sum() == 0
additive5 = torch.where(tril.bool(), 0.0, -math.inf)
assert torch.equal(additive5, nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64))

# 1. arithmetic instead of a fill: 0 * inf is NaN wherever the mask allows
product = (1 - tril) * -math.inf
assert product.isnan().sum() == 15

# 2. source C's two fills in the other order, each on the result of the one before: nothing is allowed any more
assert (tril.masked_fill(tril == 1, 0.0).masked_fill(tril.masked_fill(tril == 1, 0.0) == 0, -math.inf) == -math.inf).all()

# 3. a boolean mask that is added: allowed scores go up by 1, blocked ones stay
s = torch.randn(5, 5)
added = (s + tril.bool()).softmax(-1)
assert ((added * (1 - tril)).sum(-1)[:4] > 0).all()

# 4. float32 mask on float16 scores: the scores are silently promoted
half = torch.zeros(5, 5, dtype=torch.float16)
assert (half + additive5.float()).dtype == torch.float32
assert (half + additive5.half()).dtype == torch.float16

# 5. a finite "minus infinity": does not fit float16, or loses against a real score, or overflows when added twice
try:
    half.masked_fill(~tril.bool(), -1e9)
    fits = True
except RuntimeError:
    fits = False
assert not fits
assert torch.tensor([-1.2e4, -1e4]).softmax(-1)[1] == 1  # key 0 is the allowed one and loses everything
lowest = torch.tensor(torch.finfo(torch.float16).min, dtype=torch.float16)
assert lowest == -65504
assert lowest + lowest == -math.inf
print("NaN entries of (1 - tril) * -inf:", product.isnan().sum().item(), "of 25;  -1e9 fits float16:", fits)

# %% [markdown]
# Two additive masks ($-\infty + -\infty = -\infty$) combine by addition, two boolean ones by `&`. Combine booleans
# and convert once. Mind the polarity: `F.scaled_dot_product_attention` and these katas use True = may attend;
# `nn.MultiheadAttention` uses True = **blocked**.
#
# ## Causality is what makes a cache legal
#
# Layer $\ell$ computes $h^\ell_t = \phi_\ell\big(h^{\ell-1}_t,\ \sum_{j \le t} a^\ell_{tj} v^\ell_j\big)$, where keys
# and values of $j$ come from $h^{\ell-1}_j$ alone, and $\phi_\ell$ (residual, norm, MLP) acts on one position.
#
# **Claim.** $h^\ell_t$ is a function of $x_0, \dots, x_t$ only. *Proof* by induction: true for $\ell = 0$. If true
# below, each $h^{\ell-1}_j$ with $j \le t$, and so its key and value, depends on $x_{\le t}$, and $h^\ell_t$ uses
# nothing else.
#
# **Corollary.** Keys and values of a prefix are the same for every continuation. Store them, evaluate only new rows,
# and any split into chunks gives the rows of the full pass, with the bottom-right mask.
#
# The proof is about *relations*: if layer $\ell$ lets $i$ read $j$ when $(i, j) \in R_\ell$, the stack lets it read
# along paths, $R_n \circ \dots \circ R_1$. The relation $\le$ is transitive, $\le \circ \le\ =\ \le$, so depth adds
# nothing. For other masks depth adds a lot:


# %%
def through(*relations):
    """Which inputs reach which outputs through layers with these masks, the first layer first."""
    reach = torch.eye(len(relations[0]))
    for relation in relations:
        reach = (relation.double() @ reach > 0).double()
    return reach.bool()


n = 12
causal, strict = by_rule(n, n), by_rule(n, n, offset=-1)
not_self = ~torch.eye(n, dtype=torch.bool)
window = causal & ~by_rule(n, n, offset=-3)  # the last three positions

assert (through(causal, causal, causal) == causal).all()
assert through(not_self, not_self).all()  # after two layers everything reaches everything, itself included
for layers in range(1, 5):
    assert through(*[window] * layers)[n - 1].sum() == 1 + 2 * layers  # a window of 3 reaches 2 further a layer
assert (through(causal, causal, strict) == strict).all()  # XLNet's way out, below
print("keys in reach of the last query, window 3, after 1..4 layers:", [1 + 2 * k for k in range(1, 5)])

# %% [markdown]
# **Predict.** Measured as derivatives $\partial\,\text{output}_i / \partial\,x_j$: a causal stack of three layers stays
# lower triangular; a norm that averages over *positions* breaks it in one layer; and blocking only the diagonal
# (XLNet's interview question: "why not just hide each word from itself?") hides it for exactly one layer.


# %%
def block(h, mask, weights, over_positions=False):
    """Residual, attention with two heads, norm, MLP; `over_positions` normalises along the wrong axis."""
    w_q, w_k, w_v, w_1 = weights
    q, k, v = (torch.stack((h @ w).chunk(2, dim=-1)) for w in (w_q, w_k, w_v))
    h = h + torch.cat(list(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)), dim=-1)
    axis = 0 if over_positions else -1
    h = (h - h.mean(axis, keepdim=True)) / h.std(axis, keepdim=True)
    return h + torch.tanh(h @ w_1)


def stack(x, mask, layers=3, over_positions=False):
    torch.manual_seed(2)
    for _ in range(layers):
        x = block(x, mask, torch.randn(4, 8, 8) / 2, over_positions)
    return x


def content_path(x, mask, layers):
    """Keys and values from the content, queries from positions alone, no residual: only the mask can hide a word."""
    torch.manual_seed(3)
    positions = torch.randn(len(x), 8)
    for _ in range(layers):
        w_q, w_k, w_v = torch.randn(3, 8, 8) / 2
        x = F.scaled_dot_product_attention((positions @ w_q)[None], (x @ w_k)[None], (x @ w_v)[None], attn_mask=mask)[0]
    return x


def influence(f, x):
    """(i, j): size of the derivative of output i with respect to input j."""
    return torch.autograd.functional.jacobian(f, x).norm(dim=(1, 3))


torch.manual_seed(4)
x = torch.randn(n, 8)
pictures = {
    "causal, 3 layers": influence(lambda t: stack(t, causal), x),
    "causal, norm over positions": influence(lambda t: stack(t, causal, 1, over_positions=True), x),
    "diagonal blocked, 1 layer": influence(lambda t: content_path(t, not_self, 1), x),
    "diagonal blocked, 2 layers": influence(lambda t: content_path(t, not_self, 2), x),
}
assert (pictures["causal, 3 layers"][~causal] == 0).all()
assert (pictures["causal, 3 layers"][causal] > 0).all()
assert (pictures["causal, norm over positions"][~causal] > 0).all()
assert (pictures["diagonal blocked, 1 layer"].diagonal() == 0).all()
assert (pictures["diagonal blocked, 2 layers"].diagonal() > 0).all()

changed = x.clone()
changed[7:] = torch.randn(5, 8)
everything = torch.ones(n, n, dtype=torch.bool)
moved = {name: distance(stack(changed, m)[:7], stack(x, m)[:7]) for name, m in (("c", causal), ("b", everything))}
assert moved["c"] < 1e-12 < 0.1 < moved["b"]
print("change tokens 7 to 11: rows before 7 move, causal", moved["c"] > 1e-12, " bidirectional", moved["b"] > 1e-12)

# %%
fig, axes = plt.subplots(1, 4, figsize=(11, 3.1), sharey=True, constrained_layout=True)
for ax, (name, size) in zip(axes, pictures.items(), strict=True):
    shown = torch.where(size > 0, size.clamp_min(1e-6).log10(), math.nan)
    image = ax.imshow(shown, cmap="cividis", vmin=-3, vmax=0.5)
    ax.set(title=name, xlabel="input position", xticks=range(0, n, 3), yticks=range(0, n, 3))
    ax.title.set_fontsize(10)
axes[0].set_ylabel("output position")
bar = fig.colorbar(image, ax=axes, shrink=0.8, ticks=[-3, -2, -1, 0])
bar.set_label("size of the derivative")
bar.ax.set_yticklabels(["0.001", "0.01", "0.1", "1"])
show(fig, "Size of the derivative of each output position by each input position; white is exactly zero. Causal: "
          "lower triangle. Norm over positions: full. Diagonal blocked: white diagonal after one layer, none after two.")

# %% [markdown]
# **Explain.** White is exactly zero. Panel 2 is why batch-norm-like layers do not go with causal decoders. Panels 3
# and 4 answer two questions of source E. Word $i$ hides from itself in layer 1, but its neighbours read it, and in
# layer 2 it reads them: $\ne \circ \ne$ is everything. XLNet keeps two streams: a content stream with $\le$ (in a
# shuffled order) and a query stream with $<$ that reads it, and $< \circ \le\ =\ <$: no leak at any depth. BERT
# instead *replaces* the word by `[MASK]`: with its content gone from the input, every path may stay open, and the
# slot can still be written to and read from.
#
# ## Which test sees a wrong mask
#
# Source A decodes token by token with the row slice `mask[i, :i+1]` and checks shapes.
#
# **Predict.** That slice is all True: no mask at all would do the same. So single steps cannot see a missing mask, and
# one full pass cannot see a top-left mask ($S = L$). Only chunks longer than one **after** a non-empty cache see
# both.

# %%
assert all(by_rule(n, n)[i, : i + 1].all() for i in range(n))

torch.manual_seed(5)
q, k, v = torch.randn(3, 2, n, 8)
full = F.scaled_dot_product_attention(q, k, v, is_causal=True)


def in_chunks(sizes, make_mask):
    """The same rows, computed chunk by chunk over the keys that have arrived."""
    rows, past = [], 0
    for size in sizes:
        arrived = past + size
        mask = make_mask(size, arrived)
        rows.append(F.scaled_dot_product_attention(q[:, past:arrived], k[:, :arrived], v[:, :arrived], attn_mask=mask))
        past = arrived
    return torch.cat(rows, dim=1)


masks = {
    "no mask": lambda L, S: torch.ones(L, S, dtype=torch.bool),
    "top-left": lambda L, S: by_rule(L, S, offset=0),
    "bottom-right": by_rule,
}
splits = {"12 x 1": [1] * 12, "12": [12], "5 + 7": [5, 7], "3 + 1 + 4 + 4": [3, 1, 4, 4]}
errors = {m: {s: distance(in_chunks(sizes, masks[m]), full) for s, sizes in splits.items()} for m in masks}
seen = {m: [s for s in splits if errors[m][s] > 1e-9] for m in masks}
assert seen["no mask"] == ["12", "5 + 7", "3 + 1 + 4 + 4"]
assert seen["top-left"] == ["12 x 1", "5 + 7", "3 + 1 + 4 + 4"]
assert seen["bottom-right"] == []
alone = F.scaled_dot_product_attention(q[:, -1:], k, v, is_causal=True)
assert distance(alone, v[:, :1]) < 1e-12  # a single query under a top-left mask returns the first value

# %%
fig, ax = plt.subplots(figsize=(7.5, 2.3), constrained_layout=True)
for row, m in enumerate(masks):
    for column, s in enumerate(splits):
        hidden, right = errors[m][s] < 1e-9, m == "bottom-right"
        colour = GREEN if right else VERMILLION if hidden else BLUE
        text = "0" if right else "0 (unseen)" if hidden else f"{errors[m][s]:.1f}"
        ax.add_patch(plt.Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=colour))
        ax.text(column, row, text, ha="center", va="center", color="white", weight="bold")
ax.set(xlim=(-0.5, 3.5), ylim=(2.5, -0.5), xlabel="lengths of the chunks [tokens]", ylabel="mask")
ax.set_xticks(range(4), splits)
ax.set_yticks(range(3), masks)
ax.set_title("largest error against the full causal pass")
show(fig, "Error of three masks for four ways to split 12 tokens. No mask is unseen in single steps, top-left is "
          "unseen in one pass of 12. Chunks 5 + 7 and 3 + 1 + 4 + 4 see both. Bottom-right is right throughout.")

# %% [markdown]
# **Explain.** Each of the two popular tests has its own blind spot, and source A used the one that no mask survives.
# Compare numbers, with chunks longer than one after the first.
#
# ## The loss that is too good
#
# An off-by-one that looks *forward* is worse: training rewards it. Tokens drawn at random cannot be predicted, so no
# honest model gets below $\ln 8 = 2.08$ nats for 8 symbols.
#
# **Predict.** Train one attention layer to predict the next token of fresh random sequences. A diagonal one too high
# lets position $t$ read token $t + 1$, its own target: the loss goes to 0.

# %%
symbols, length, width = 8, 12, 32


def train(offset, steps=240):
    """Loss of each step for a one-layer model in which position t sees keys up to t + offset."""
    torch.manual_seed(0)
    mask = by_rule(length, length, offset)
    new = {"generator": torch.Generator().manual_seed(1), "dtype": torch.float32}
    shapes = {"tok": (symbols, width), "pos": (length, width), "out": (width, symbols)}
    shapes |= dict.fromkeys(("q", "k", "v"), (width, width))
    p = {name: (torch.randn(s, **new) / math.sqrt(s[0] if name in "qkvout" else 1)).requires_grad_()
         for name, s in shapes.items()}
    optimiser, losses = torch.optim.Adam(p.values(), lr=0.02), []
    for _ in range(steps):
        tokens = torch.randint(symbols, (64, length + 1))
        x = p["tok"][tokens[:, :-1]] + p["pos"]
        h = x + F.scaled_dot_product_attention(x @ p["q"], x @ p["k"], x @ p["v"], attn_mask=mask)
        loss = F.cross_entropy((h @ p["out"]).flatten(0, 1), tokens[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


honest, cheating = train(offset=0), train(offset=1)
floor = math.log(symbols)
print(f"loss at the end: causal {honest[-1]:.2f}, one too far {cheating[-1]:.2f}")

# %%
fig, ax = plt.subplots(figsize=(7, 2.9), constrained_layout=True)
ax.plot(honest, label="causal (diagonal 0)")
ax.plot(cheating, label="one too far (diagonal 1)", linestyle="--")
ax.axhline(floor, color="black", linewidth=1, linestyle=":")
ax.text(len(honest), floor + 0.06, "ln 8: nothing honest gets below", ha="right")
ax.set(xlabel="training step", ylabel="cross entropy [nats]", ylim=(0, 3))
ax.legend(loc="center right")
show(fig, "Training loss on random tokens. The causal model falls to ln 8 = 2.08 and stays there. The model whose "
          "mask reaches one position too far falls close to 0.")
assert min(honest) > floor - 0.1
assert cheating[-1] < 0.3 < floor

# %% [markdown]
# **Explain.** The cheat scores brilliantly in training and, in generation, has no next token to copy. A loss below
# the entropy of the data is a bug report. Random tokens are the cheapest leak test there is.
#
# ## Break it
#
# Four queries over seven keys. Blue and cream are right; a cross is a leak, a ring is a key that the query lost.

# %%
L, S = 4, 7
wanted = by_rule(L, S)
gallery = {
    "right": wanted,
    "top-left-causal": by_rule(L, S, offset=0),
    "one-too-far": by_rule(L, S, offset=S - L + 1),
    "not-itself": by_rule(L, S, offset=S - L - 1),
    "upper-triangle": ~by_rule(L, S, offset=S - L - 1),
    "inverted-polarity": ~wanted,
}
fig, axes = plt.subplots(2, 3, figsize=(10.5, 4.4), constrained_layout=True)
counts = {}
for ax, (name, mask) in zip(axes.flat, gallery.items(), strict=True):
    draw(ax, mask, wanted)
    counts[name] = ((mask & ~wanted).sum().item(), (wanted & ~mask).sum().item())
    ax.set_title(name if name == "right" else f"{name}: {counts[name][0]} leaked, {counts[name][1]} lost", fontsize=10)
for ax in axes[1]:
    ax.set_xlabel("key position")
for ax in axes[:, 0]:
    ax.set_ylabel("query position")
show(fig, "Six masks for 4 queries over 7 keys. Top-left loses 12 pairs. One too far leaks 3. Not itself loses the "
          "4 diagonal pairs. Upper triangle and inverted polarity leak the future and lose the past.")
assert counts == {"right": (0, 0), "top-left-causal": (0, 12), "one-too-far": (3, 0), "not-itself": (0, 4),
                  "upper-triangle": (6, 18), "inverted-polarity": (6, 22)}
