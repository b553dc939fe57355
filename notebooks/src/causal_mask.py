# %% [markdown]
# # Causal mask
#
# <!-- badge -->
#
# A mask is a triangle of booleans, and its mistakes are those that survive longest in real code. **After this notebook
# you can** place the triangle when there are more keys than queries, prove that filling with minus infinity is the only
# fill that works (and say where even that fails), prove that causality is what makes a cache legal, and name the test
# that a wrong mask passes.
#
# Short of time? 12 minutes: [Where the triangle sits](#Where-the-triangle-sits), [Why minus
# infinity](#Why-minus-infinity), [Prefixes do not change](#Prefixes-do-not-change), [Which test sees a wrong
# mask](#Which-test-sees-a-wrong-mask), and then the questions.
#
# Reading time: 40 minutes. Kata: `python grader.py check causal_mask`

# %% tags=["setup"]
# build.py puts the set-up here

# %%
import io
import math
import textwrap

import matplotlib.pyplot as plt
import PIL.Image
import torch
import torch.nn.functional as F
from IPython.display import Image, display
from torch import nn
from torch.nn.attention.bias import causal_lower_right, causal_upper_left
from torch.utils.flop_counter import FlopCounterMode

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
plt.rcParams.update({"figure.figsize": (7, 3), "figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False})
OKABE_ITO = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000"]
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=OKABE_ITO)
BLUE, ORANGE, GREEN, VERMILLION = OKABE_ITO[:4]


def show(fig, caption):
    """Display the figure, sharp on any screen, and its caption, which is its alt text too."""
    png, small = io.BytesIO(), io.BytesIO()
    fig.savefig(png, format="png", bbox_inches="tight", dpi=2 * fig.dpi)
    plt.close(fig)
    picture = PIL.Image.open(png).convert("RGB").quantize(128)
    picture.save(small, format="png", optimize=True)
    display(Image(small.getvalue(), width=picture.width // 2, alt=caption))
    print(textwrap.fill(caption, 100, break_on_hyphens=False))


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

# %% [markdown]
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
# Without a mask all three outputs are 7: equal queries can only be told apart by what they may see.
#
# **Predict.** Now decode: token 2 alone comes as the query, with three keys. It must still get 7. What does PyTorch
# give for it with `is_causal=True`?

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

# %% [markdown]
# ## Where the triangle sits
#
# Position $p$ may see position $j$ when $j \le p$: the lower triangle, **with** the diagonal. (Source A calls its
# `tril` "upper triangular".) Rows are queries, columns are keys.
#
# S keys are positions $0 \dots S-1$. The L queries are the *last* L of them, so row $i$ is position $i + (S - L)$:
#
# $$M_{ij} = [\,j \le i + S - L\,] .$$

# %% tags=["drawing"]
# drawing: mask_with_cache

# %% [markdown]
# The last row sees all S keys: the triangle leans against the **bottom-right** corner. Checks for a whiteboard: row
# $i$ has $i + 1 + S - L$ Trues; the total is $LS - \frac{L(L-1)}2$; and the mask is the last L rows of the square
# mask of size S.
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
# source A's mask of 10 tokens: 55 ones, on and below the diagonal; none above it
assert by_rule(10, 10).sum() == by_rule(10, 10).tril().sum() == 55
assert by_rule(10, 10).triu(1).sum() == 0
print("3 queries, 7 keys:", by_rule(3, 7).sum().item(), "of", 3 * 7, "pairs allowed")


# %%
def draw(ax, mask, wanted=None):
    """Blue: allowed, as it should be. Vermillion cross: allowed, must not be. Ring: blocked, must not be."""
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


# %%
fig, axes = plt.subplots(2, 2, figsize=(9, 3.6), height_ratios=[3, 1], sharex=True, constrained_layout=True)
for row, L in enumerate((3, 1)):
    draw(axes[row, 0], by_rule(L, 7))
    draw(axes[row, 1], by_rule(L, 7, offset=0), wanted=by_rule(L, 7))
axes[0, 0].set_title("bottom-right: right")
axes[0, 1].set_title("top-left: sees too little")
axes[0, 0].set_ylabel("query position")
for ax in axes[1]:
    ax.set_xlabel("key position")
show(
    fig,
    "Masks for 3 queries and for 1 query over 7 keys. Bottom-right: positions 4, 5, 6 see 5, 6 and 7 keys. "
    "Top-left: they see 1, 2 and 3 keys, and a single query sees only key 0.",
)

# %% [markdown]
# A top-left mask does not leak; it **blinds**. The newest token attends to the oldest keys and not to itself, and the
# shapes are perfect.

# %% [markdown]
# ## Why minus infinity
#
# Let $M$ be the allowed keys of a row (the Trues of that row of the mask) and subtract $c$ from every other score:
#
# $$p_j(c) = \frac{e^{s_j - c\,[j \notin M]}}{\sum_{i \in M} e^{s_i} + e^{-c}\sum_{i \notin M} e^{s_i}}
# \;\xrightarrow{\;c \to \infty\;}\; \frac{e^{s_j}\,[j \in M]}{\sum_{i \in M} e^{s_i}} .$$
#
# So *fill with $-\infty$* is the same as *softmax, zero the rest, renormalise*. A blocked weight is a constant 0, so
# blocked keys and values receive a gradient of exactly 0.
#
# Source E says that the mask covers the grey area "with 0".
#
# **Predict.** Fill with 0 before the softmax, six tokens with equal scores: which share of its attention does row 0
# give to the future, and row 4? And what is wrong with zeros after the softmax?

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
assert distance(maps["fill -inf"], renormalised) < 1e-12
equal = torch.zeros(n, n).masked_fill(~square, 0.0).softmax(-1)  # equal scores: row i gives (5 - i) / 6 to the future
assert torch.allclose((equal * ~square).sum(-1), torch.tensor([(5 - i) / 6 for i in range(n)]))
assert future["fill 0 before softmax"][0] > 0.5
assert sums["zero after softmax"][0] < 0.5
assert (future["fill -inf"] == 0).all()

q, k, v = (torch.randn(n, 4, requires_grad=True) for _ in range(3))
F.scaled_dot_product_attention(q, k, v, attn_mask=square)[:3].sum().backward()  # a loss of rows 0..2 only
assert (k.grad[3:] == 0).all()
assert (v.grad[3:] == 0).all()
print("row 1, fill -inf:             ", [float(f"{x:.2f}") for x in maps["fill -inf"][1].tolist()])
print("row 1, zeroed, renormalised:  ", [float(f"{x:.2f}") for x in renormalised[1].tolist()])
print("gradient of keys 2 and 3 (first feature):", [float(f"{x:.1g}") for x in k.grad[2:4, 0].tolist()])
print(f"fill 0, equal scores: row 0 gives {(equal * ~square)[0].sum():.3f} to the future, row 4 {1 / 6:.3f}")

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
show(
    fig,
    "Attention maps of six tokens under three fills. Minus infinity: lower triangle, row sums 1. Zero before "
    "the softmax: most of row 0 lies in the future. Zero after the softmax: early rows sum to far less than 1.",
)

# %% [markdown]
# **Explain.** A score of 0 is not "no attention": $e^0=1$ is the weight of an average key, so with equal scores row 0
# gives 5/6 to the future and row 4 gives 1/6. Middle: the future is read through the whole first half of the sequence.
# Right: no leak, but early positions return a scaled-down output. Only the left one is attention over
# the allowed keys.

# %% [markdown]
# ## The row that sees nothing
#
# If $M$ is empty the limit does not exist, and [every fill invents its own answer](sdpa.ipynb#Empty-rows): a finite
# one attends to what is forbidden, $-\infty$ gives 0/0, and `nan_to_num` repairs the output but not the gradient. The
# convention here is a **zero** row, as in PyTorch's function since 2.5 (before, it gave NaN).
#
# A causal mask with $S \ge L$ never makes such a row: each query sees itself.
#
# **Predict.** How many of 6 rows are empty when a causal mask meets two keys of padding on the left? In a strict
# triangle? With 6 queries over 4 keys?

# %%
n = 6
left_padded = torch.arange(n) >= 2
dead = {
    "causal": by_rule(n, n),
    "causal and 2 of padding on the left": by_rule(n, n) & left_padded,
    "causal and 2 of padding on the right": by_rule(n, n) & (torch.arange(n) < n - 2),
    "strict": by_rule(n, n, offset=-1),
    "6 queries over 4 keys": by_rule(n, 4),
}
dead = {name: (~mask.any(-1)).sum().item() for name, mask in dead.items()}
assert list(dead.values()) == [0, 2, 0, 1, 2]
q, k, v = torch.randn(3, 1, n, 4).requires_grad_().unbind()
out = F.scaled_dot_product_attention(q, k, v, attn_mask=by_rule(n, n) & left_padded)
assert (out[0, :2] == 0).all()
assert torch.autograd.grad(out.sum(), q)[0].isfinite().all()
for name, rows in dead.items():
    print(f"{name:37} rows without a key: {rows}")

# %% [markdown]
# Padding on the left is what batched generation uses, so decoders do meet dead rows.

# %% [markdown]
# ## The additive form and its dtype
#
# Booleans say what is meant; 0 and $-\infty$ are what kernels add to scores. Source C builds the additive form
# correctly, for a square and in float32. Close by lie five traps:

# %%
tril = by_rule(5, 5).double()
additive5 = torch.where(tril.bool(), 0.0, -math.inf)
assert torch.equal(additive5, nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64))

# 1. arithmetic instead of a fill: 0 * inf is NaN wherever the mask allows
product = (1 - tril) * -math.inf
assert product.isnan().sum() == 15

# 2. source C's two fills in the other order, each on the result of the one before: nothing is allowed any more
ones_first = tril.masked_fill(tril == 1, 0.0)
assert ones_first.masked_fill(ones_first == 0, -math.inf).isneginf().all()

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
# ## True means may attend
#
# `F.scaled_dot_product_attention` and these katas use True = may attend. `nn.MultiheadAttention` uses True =
# **blocked**. The shapes agree, and the wrong one attends to exactly what is forbidden. Only a causal mask gives
# itself away, for its inverse leaves the last row nothing to see.

# %%
x = torch.randn(1, 5, 8)
heads = nn.MultiheadAttention(8, 2, batch_first=True)
may = by_rule(5, 5)
with torch.no_grad():
    hidden_future = heads(x, x, x, attn_mask=~may)[1]  # weights (1, L, S), mean over the heads
    hidden_past = heads(x, x, x, attn_mask=may)[1]
assert (hidden_future[0][~may] == 0).all()
assert (hidden_past[0, :4][may[:4]] == 0).all()
assert hidden_past[0, 4].isnan().all()
print("our mask handed to nn.MultiheadAttention as it is: the past is hidden", True)

# %% [markdown]
# Handed over as it is, our mask hides the past and shows the future, and all rows but the last look healthy. Crossing
# from one API to the other takes one `~`. To check it, look at row 0: it may see key 0 alone, so each head must return
# the first value.

# %% [markdown]
# ## Prefixes do not change
#
# Layer $\ell$ computes $h^\ell_t = \phi_\ell\big(h^{\ell-1}_t,\ \sum_{j \le t} a^\ell_{tj} v^\ell_j\big)$, where keys
# and values of $j$ come from $h^{\ell-1}_j$ alone, and $\phi_\ell$ (residual, norm, MLP) acts on one position.
#
# **Claim.** $h^\ell_t$ is a function of $x_0, \dots, x_t$ only. *Proof* by induction: true for $\ell = 0$. If true
# below, each $h^{\ell-1}_j$ with $j \le t$, and so its key and value, depends on $x_{\le t}$, and $h^\ell_t$ uses
# nothing else.
#
# **Corollary.** Keys and values of a prefix are the same for every continuation. Store them, evaluate only new rows,
# and any split into chunks gives the rows of the full pass, with the bottom-right mask. In training the same fact makes
# one pass over N tokens N predictions at once, each from its own prefix (*teacher forcing*).
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
# ## Windows and documents
#
# Four more masks that interviewers ask for. All of them start from the triangle.
#
# - **Sliding window** of $w$: $0\le i+S-L-j<w$ (Longformer, 2004.05150; Mistral 7B, 2310.06825, $w=4{,}096$). Scores
#   cost $Nw$ instead of $N^2$, and a layer's cache is a ring buffer of $w$ tokens. Through $n$ layers information
#   travels $n(w-1)$ positions, as counted above. Gemma 3 (2503.19786) has five layers of 1,024 for each one that sees
#   everything; gpt-oss (2508.10925) alternates windows of 128 with full layers.
# - **Packed documents**: causal *and* in the same document. Without the second condition documents read their
#   neighbours. What they see is noise and not the future, so the loss looks normal.
# - **Prefix**: the first $P$ keys for everybody, the rest causal (T5, 1910.10683; UniLM, 1905.03197). The relation is
#   transitive, so a cache is legal once the prefix has been read whole.
#
# - **Chosen keys**: a cheap score picks a fixed number of keys for each query, and attention reads no others. Native
#   sparse attention (2502.11089) picks blocks; DeepSeek-V3.2 (2512.02556) picks 2,048 tokens with a small *indexer*,
#   which still looks at all of them. Such a mask depends on contents and not on positions, and it does not make the
#   cache smaller.
#
# Kernels take such masks as a rule on $(i,j)$ and skip the blocks that are empty (FlexAttention, 2412.05496), and not
# as an $N\times N$ tensor. The prefix theorem is also what **prefix caching** in a server rests on: two requests with
# the same first tokens have the same keys and values there.
#
# **Predict.** 3 queries over 7 keys with a window of 3: how many pairs? Documents of 3 and 4 tokens in one sequence:
# how many of the 28 causal pairs are left?

# %%
# checks: sliding-window, packed-documents, prefix-theorem
in_window = by_rule(3, 7) & ~by_rule(3, 7, offset=7 - 3 - 3)
document = torch.tensor([0, 0, 0, 1, 1, 1, 1])
packed = by_rule(7, 7) & (document[:, None] == document)
prefix = by_rule(7, 7) | (torch.arange(7) < 3)
assert in_window.sum() == 9
assert (by_rule(7, 7).sum(), packed.sum(), prefix.sum()) == (28, 16, 28 + 3)
assert (through(prefix, prefix) == prefix).all()  # transitive
assert through(window, window)[n - 1].sum() - through(window)[n - 1].sum() == 3 - 1  # a window of 3: 2 further a layer
per_layer = 2 * 4 * 256 * 2  # Gemma 3 4B: 34 layers, 4 kv heads of 256; every sixth layer sees everything
full, ring = 5, 29
gemma = [32_768 * 34 * per_layer / 2**30, (32_768 * full + 1_024 * ring) * per_layer / 2**30]
assert full + ring == 34
assert (gemma[0], round(gemma[1], 3)) == (4.25, 0.738)
assert 4_096 < 32_768  # Mistral's window
assert 128 < 1_024  # gpt-oss'
for name, m in (("window of 3", in_window), ("documents", packed), ("prefix of 3", prefix)):
    print(f"{name}: {m.sum()} pairs; last row {m[-1].int().tolist()}")

# %% [markdown]
# ## Hiding only the diagonal
#
# We measure the derivatives $\partial\,\text{output}_i / \partial\,x_j$.
#
# **Predict.** Where are they exactly zero: in a causal stack of three layers, in one layer whose norm averages over
# *positions*, and in one or two layers that block only the diagonal ("why not just hide each word from itself?")?


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
        x = block(x, mask, torch.randn(4, 8, 8) / 4, over_positions)
    return x


def content_path(x, mask, layers):
    """Keys and values from the content, queries from positions alone, no residual: only the mask can hide a word."""
    torch.manual_seed(3)
    positions = torch.randn(len(x), 8)
    for _ in range(layers):
        w_q, w_k, w_v = torch.randn(3, 8, 8) / 2
        x = F.scaled_dot_product_attention((positions @ w_q)[None], (x @ w_k)[None], (x @ w_v)[None], mask)[0]
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
    image = ax.imshow(shown, cmap="cividis", vmin=-3, vmax=1)
    ax.set(title=name, xlabel="input position", xticks=range(0, n, 3), yticks=range(0, n, 3))
    ax.title.set_fontsize(10)
axes[0].set_ylabel("output position")
bar = fig.colorbar(image, ax=axes, shrink=0.8, ticks=[-3, -2, -1, 0])
bar.set_label("size of the derivative")
bar.ax.set_yticklabels(["0.001", "0.01", "0.1", "1"])
show(
    fig,
    "Size of the derivative of each output position by each input position; white is exactly zero. Causal: "
    "lower triangle. Norm over positions: full. Diagonal blocked: diagonal white after one layer, not after two.",
)

# %% [markdown]
# **Explain.** White is exactly zero. Panel 2 is why norms over positions do not go with causal decoders. Panels 3 and
# 4 answer two questions of source E. Word $i$ hides from itself in layer 1, but its neighbours read it, and in
# layer 2 it reads them: $\ne \circ \ne$ is everything. XLNet keeps two streams: a content stream with $\le$ (in a
# shuffled order) and a query stream with $<$ that reads it, and $< \circ \le\ =\ <$: no leak at any depth. BERT
# instead *replaces* the word by `[MASK]`: with its content gone from the input, every path may stay open, and the
# slot can still be written to and read from.

# %% [markdown]
# ## Which test sees a wrong mask
#
# Source A decodes token by token with the row slice `mask[i, :i+1]` and checks shapes. That slice is all True: no mask
# at all would do the same.
#
# **Predict.** 12 tokens, handed over as single steps, as one pass, as 5 + 7. Which of the three sees a missing mask,
# and which a mask that starts at the top left?

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
show(
    fig,
    "Error of three masks for four ways to split 12 tokens. No mask is unseen in single steps, top-left is "
    "unseen in one pass of 12. Chunks 5 + 7 and 3 + 1 + 4 + 4 see both. Bottom-right is right throughout.",
)

# %% [markdown]
# **Explain.** Each of the two popular tests has its own blind spot: single steps cannot see a missing mask, one pass
# cannot see a top-left mask ($S=L$). Source A used the first. Only chunks longer than one **after** a filled cache see
# both.

# %% [markdown]
# ## The loss that is too good
#
# An off-by-one that looks *forward* is worse: training rewards it. Tokens drawn at random cannot be predicted, so no
# honest model gets below $\ln 8 = 2.08$ nats for 8 symbols.
#
# **Predict.** Train one attention layer to predict the next token of fresh random sequences of 12, with a diagonal one
# too high, so that position $t$ reads token $t + 1$, its own target. To which value does the loss fall?

# %%
symbols, length, width = 8, 12, 32


def train(offset, steps=120):
    """Loss of each step for a one-layer model in which position t sees keys up to t + offset."""
    torch.manual_seed(0)
    mask = by_rule(length, length, offset)
    new = {"generator": torch.Generator().manual_seed(1), "dtype": torch.float32}
    shapes = {"tok": (symbols, width), "pos": (length, width), "out": (width, symbols)}
    shapes |= dict.fromkeys(("q", "k", "v"), (width, width))
    p = {
        name: (torch.randn(s, **new) / math.sqrt(s[0] if name in "qkvout" else 1)).requires_grad_()
        for name, s in shapes.items()
    }
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
print(f"loss at the end: causal {honest[-1]:.1f}, one too far {cheating[-1]:.1f}")

# %%
fig, ax = plt.subplots(figsize=(7, 2.9), constrained_layout=True)
ax.plot(honest, label="causal (diagonal 0)")
ax.plot(cheating, label="one too far (diagonal 1)", linestyle="--")
ax.axhline(floor, color="black", linewidth=1, linestyle=":")
ax.axhline(floor / length, color="black", linewidth=1, linestyle=":")
ax.text(len(honest), floor + 0.27, "ln 8: nothing honest gets below", ha="right")
ax.text(len(honest), floor / length + 0.28, "ln 8 / 12: all targets read but the last", ha="right")
ax.set(xlabel="training step", ylabel="cross entropy [nats]", ylim=(0, 3))
ax.legend(loc="center right")
show(
    fig,
    "Training loss on random tokens. The causal model falls to ln 8 = 2.08 and stays there. The model whose "
    "mask reaches one position too far falls to ln 8 / 12 = 0.17.",
)
assert min(honest) > floor - 0.1
assert floor / length - 0.02 < min(cheating) < 0.3

# %% [markdown]
# **Explain.** Only the last position has no key to cheat with: $\frac{1}{12}\ln8=0.17$. The cheat shines in training
# and has no next token to copy in generation. A loss below the entropy of the data is a bug report, and random tokens
# are the cheapest leak test there is.

# %% [markdown]
# ## Break it
#
# Four queries over seven keys. Blue and white are right; a cross is a leak, a ring a key that the query lost.

# %%
L, S = 4, 7
wanted = by_rule(L, S)
gallery = {
    "right": wanted,
    "triangle-top-left": by_rule(L, S, offset=0),
    "triangle-one-ahead": by_rule(L, S, offset=S - L + 1),
    "triangle-strict": by_rule(L, S, offset=S - L - 1),
    "triangle-upper": ~by_rule(L, S, offset=S - L - 1),
    "polarity-inverted": ~wanted,
}

# %%
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
show(
    fig,
    "Six masks for 4 queries over 7 keys. Top-left loses 12 pairs. One too far leaks 3. Not itself loses the "
    "4 diagonal pairs. Upper triangle and inverted polarity leak the future and lose the past.",
)
assert list(counts.values()) == [(0, 0), (0, 12), (3, 0), (0, 4), (6, 18), (6, 22)]

# %% [markdown]
# ### Triangle
#
# *triangle-one-ahead*: `diagonal=S-L+1`, from counting positions from 1. The loss that is too good. Invisible in
# single-step decoding: the key ahead does not exist yet. *triangle-strict*: a token does not see itself. With $S = L$
# the first row is dead. *triangle-upper*: `triu` for `tril`, everything but the past.
#
# ### Alignment
#
# *triangle-top-left*: `tril()` without a diagonal, or `is_causal=True`, over a cache. Nothing leaks; answers get worse
# the longer the prompt is. Invisible for $S = L$. *mask-for-all-positions*: the square $(S, S)$ handed over with L
# query rows. Raises, unless L is 1: then the one query broadcasts into S rows of output.
#
# ### Polarity
#
# *polarity-inverted*: the complement. Its last row is dead.
#
# ### Fill
#
# *fill-zero* and *mask-after-softmax* are the pictures under [Why minus infinity](#Why-minus-infinity);
# *additive-zero-times-infinity* and *mask-added* are traps 1 and 3 above. Of all these, only the NaN is noticed at
# once.


# %%
def error_of(mask, L, S):
    torch.manual_seed(6)
    q, k, v = torch.randn(1, L, 8), torch.randn(1, S, 8), torch.randn(1, S, 8)
    wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=by_rule(L, S))
    got = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return distance(got, wanted) if got.shape == wanted.shape else None


ahead = {(L, S): error_of(by_rule(L, S, S - L + 1), L, S) for L, S in ((1, 7), (4, 7), (7, 7))}
assert ahead[1, 7] < 1e-12 < 0.1 < min(ahead[4, 7], ahead[7, 7])
first_row = F.scaled_dot_product_attention(*torch.randn(3, 1, 5, 8), attn_mask=by_rule(5, 5, offset=-1))[0, 0]
assert (first_row == 0).all()
manual = torch.randn(1, 1, 7).masked_fill(~by_rule(7, 7), -math.inf).softmax(-1) @ torch.randn(1, 7, 8)
assert manual.shape == (1, 7, 8)  # one query went in
print("one ahead, seen with 1, 4, 7 queries over 7 keys:", [e > 1e-12 for e in ahead.values()])

# %% [markdown]
# ## Edge cases

# %%
assert by_rule(1, 1).all()
assert by_rule(1, 9).all()  # one new token: nothing to hide
assert by_rule(8, 9).sum() == 8 * 9 - 8 * 7 // 2
assert by_rule(3, 5).dtype == torch.bool

too_many_queries = by_rule(7, 4)  # more queries than keys: the first ones precede every key
assert (~too_many_queries.any(1)).sum() == 7 - 4
out = F.scaled_dot_product_attention(*(torch.randn(1, n, 8) for n in (7, 4, 4)), attn_mask=too_many_queries)
assert (out[0, :3] == 0).all()

for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
    form = torch.where(by_rule(3, 5), torch.tensor(0.0, dtype=dtype), torch.tensor(-math.inf, dtype=dtype))
    assert form.dtype == dtype
    assert form.isneginf().sum() == 3
    assert (form + form == form).all()  # idempotent: adding it twice does no harm, unlike a finite fill
print("dead rows of 7 queries over 4 keys:", (~too_many_queries.any(1)).sum().item())

# %% [markdown]
# ## Equivalences
#
# Causal attention *is* unmasked attention over each prefix: row $p$ is the sdpa kata without a mask over the first
# $p+1$ keys. That is the definition to test against. The five spellings below are one function, and the last one is the
# step of the kata with the cache.

# %%
L, S = 4, 9
q, k, v = torch.randn(1, 2, S, 8), torch.randn(1, 2, S, 8), torch.randn(1, 2, S, 8)
late = q[:, :, S - L :]
attend = F.scaled_dot_product_attention
prefixes = [attend(q[:, :, p : p + 1], k[:, :, : p + 1], v[:, :, : p + 1]) for p in range(S - L, S)]
spellings = {
    "boolean": attend(late, k, v, attn_mask=by_rule(L, S)),
    "additive": attend(late, k, v, attn_mask=torch.where(by_rule(L, S), 0.0, -math.inf)),
    "lower right": attend(late, k, v, attn_mask=causal_lower_right(L, S)),
    "rows of the square": attend(q, k, v, is_causal=True)[:, :, S - L :],
    "prefixes": torch.cat(prefixes, dim=2),
}
for name, got in spellings.items():
    assert distance(got, spellings["boolean"]) < 1e-12, name
for name, got in spellings.items():
    print(f"{name:19} last query, first features: {[float(f'{x:.2f}') for x in got[0, 0, -1, :4].tolist()]}")

# %% [markdown]
# ## Cost
#
# A mask has no parameters but takes memory: $N^2$ bytes as booleans, 4 times that in float32, and H times that if
# somebody expands it over heads. Beside it, the cache of four models ($2 \cdot \text{layers} \cdot K \cdot E$
# numbers per token, 16 bits). And FLOPs: half the score matrix is thrown away, but a dense product computes it all
# the same. Skipping blocks above the diagonal saves it: with blocks of $b$ rows the share computed is
# $\frac12 (1 + \frac bN)$.

# %%
MODELS = {  # layers, D, H, K
    "Llama-2-7B": (32, 4096, 32, 32),
    "Llama-2-70B": (80, 8192, 64, 8),
    "Llama-3-8B": (32, 4096, 32, 8),
    "Qwen2-7B": (28, 3584, 28, 4),
}
GIB = 2**30
N = 32_768


def cache_bytes(tokens, layers, D, H, K):
    return tokens * 2 * layers * K * (D // H) * 2


bool_mask = torch.empty(N, N, dtype=torch.bool, device="meta").nbytes
float_mask = torch.empty(N, N, dtype=torch.float32, device="meta").nbytes
assert (bool_mask / GIB, float_mask / GIB) == (1, 4)
print("32,768 tokens [GiB]   bool mask   float32 mask   float32, per head   KV cache")
for name, (layers, D, H, K) in MODELS.items():
    sizes = bool_mask / GIB, float_mask / GIB, H * float_mask / GIB, cache_bytes(N, layers, D, H, K) / GIB
    print(f"{name:20}  {sizes[0]:9.0f}   {sizes[1]:12.0f}   {sizes[2]:17.0f}   {sizes[3]:8.3g}")
assert [cache_bytes(N, *m) / GIB for m in MODELS.values()] == [16, 10, 4, 1.75]


# %%
def score_flops(N, D, H, block):
    """FLOPs of scores and weighted sums of one layer; each block of rows meets the keys up to its own end."""
    E = D // H
    q, k, v = (torch.empty(H, N, E, device="meta") for _ in range(3))
    with FlopCounterMode(display=False) as counter:
        for start in range(0, N, block):
            end = start + block
            (q[:, start:end] @ k[:, :end].mT) @ v[:, :end]
    return counter.get_total_flops()


N = 4096
for name, (_, D, H, _) in MODELS.items():
    dense, skipped = score_flops(N, D, H, block=N), score_flops(N, D, H, block=128)
    assert dense == 4 * N * N * D
    assert skipped / dense == (1 + 128 / N) / 2
    print(f"{name:12} 4,096 tokens, a layer: dense {dense:>15,}  blocks of 128 {skipped:>15,}  {skipped / dense:.3f}")
assert score_flops(64, 512, 8, block=1) == 2 * 64 * 65 * 512  # no block at all: the exact causal count

# %% [markdown]
# The layer's parameters do not know about masks: $4D^2$ with or without. Decoding one token at a time needs no mask
# at all, and long prompts should pass a flag (`is_causal` with $S = L$) and not a tensor.

# %% [markdown]
# ## Interview questions
#
# <!-- questions -->

# %%
# checks: chunk-diagonal, minus-infinity, finite-fill, dead-rows
# (that PyTorch gives zeros from 2.5 on is asserted under "The row that sees nothing")
mask = by_rule(3, 7)
assert mask.shape == (3, 7)
assert round(100 * 5 / 6) == 83
assert (~(by_rule(6, 6) & (torch.arange(6) >= 2)).any(1)).sum() == 2
assert mask[0, 4]
assert not mask[0, 5]
assert mask.sum() == 18
assert mask.numel() == 21
assert mask.sum(1).tolist() == [5, 6, 7]
row0 = torch.zeros(6, 6).masked_fill(~by_rule(6, 6), 0.0).softmax(-1)[0]
assert round(100 * row0[1:].sum().item()) == 83
assert torch.finfo(torch.float16).min == -65504
weights = torch.tensor([1.0, 2, 3]).masked_fill(torch.ones(3, dtype=torch.bool), -1e9).softmax(-1)
assert [round(w, 2) for w in weights.tolist()] == [0.33] * 3
assert by_rule(7, 4).any(1).tolist() == [False] * 3 + [True] * 4

# %%
# checks: prefix-theorem, single-steps-pass, is-causal, xlnet-bert
assert sum([5, 7]) == 12
torch.manual_seed(7)
a, b = torch.randn(2, 12, 8)
b[:7] = a[:7]
assert not torch.equal(a[7:11], b[7:11])
assert distance(stack(a, by_rule(12, 12))[:7], stack(b, by_rule(12, 12))[:7]) < 1e-12
assert errors["no mask"]["12 x 1"] < 1e-12
assert errors["no mask"]["5 + 7"] > 0.1
assert errors["top-left"]["5 + 7"] > 0.1
q, k, v = torch.randn(1, 1, 8), torch.randn(1, 7, 8), torch.randn(1, 7, 8)
assert distance(F.scaled_dot_product_attention(q, k, v, is_causal=True), v[:, :1]) < 1e-12
assert not through(not_self).diagonal().any()
assert through(not_self, not_self).diagonal().all()

# %%
# checks: loss-too-low, mask-cost
assert round(math.log(8), 2) == 2.08
assert round(math.log(8) / 12, 2) == 0.17
assert min(honest) > 2.0 > 0.3 > min(cheating)  # a loss of 0.2 is the leak's
assert (32_768**2 * 1 / GIB, 32_768**2 * 4 / GIB) == (1, 4)
assert cache_bytes(32_768, *MODELS["Llama-3-8B"]) / GIB == 4
assert 32 * 32_768**2 * 4 / GIB == 128
assert round(score_flops(4096, 4096, 32, block=128) / score_flops(4096, 4096, 32, block=4096), 3) == 0.516

# %% [markdown]
# ## Exercises
#
# **1.** Write the count of Trues of a sliding window of $w$ over a square of $N\ge w$, and check it for $N=12$, $w=3$.
#
# <details><summary>Solution</summary>
#
# Rows $0\dots w-1$ have $1\dots w$ keys, all others $w$: $\frac{w(w+1)}2+(N-w)w=Nw-\frac{w(w-1)}2$. For 12 and 3:
# $36-3=33$, which is `window.sum()`.
#
# </details>
#
# **2.** A batch is padded on the left by 0, 2 and 5 tokens. Write one mask for all three from the lengths of the
# padding, without a loop.
#
# <details><summary>Solution</summary>
#
# With `pad = torch.tensor([0, 2, 5])` and positions `p = torch.arange(N)`: the keys are
# `p >= pad[:, None]`, shape $(B,S)$; put in two axes and combine: `by_rule(N, N) & (p >= pad[:, None])[:, None, None]`,
# shape $(B,1,L,S)$. The first `pad[b]` rows of sample $b$ are empty.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Write the bodies and run the cell: it is graded as a file would be.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Yang et al. 2019 (XLNet, 1906.08237), section 2. Jiang et al. 2023 (Mistral 7B, 2310.06825),
# section 2. Dong et al. 2024 (FlexAttention, 2412.05496). Next: [multi-head attention](mha.ipynb).
