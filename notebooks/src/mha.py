# %% [markdown]
# # Multi-head attention
#
# <!-- badge -->
#
# Multi-head attention is H attentions side by side, each in its own slice of the model. **After this notebook you can**
# write the layer as a sum over heads, say which of its parameters do nothing, prove what one softmax cannot do and two
# can, and recognise the wrong splits, merges and masks whose shapes are right.
#
# Short of time? 15 minutes: [Heads as blocks](#Heads-as-blocks), [Splitting and merging](#Splitting-and-merging), [Mask
# shapes](#Mask-shapes), and then the questions.
#
# Reading time: 45 minutes. Kata: `python grader.py check mha`

# %% tags=["setup"]
# build.py puts the set-up here

# %%
import copy
import io
import math
import textwrap

import matplotlib.pyplot as plt
import PIL.Image
import torch
import torch.nn.functional as F
from IPython.display import Image, display
from torch import nn
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
# > *Here is a multi-head layer; it passes its shape tests. Which of its parameters could I delete without changing a
# > single output? And what do twelve heads of 64 give you that one matrix of 768 by 768 does not?*
#
# The first half shows who has multiplied the formula out. The second has a popular wrong answer ("more capacity"),
# and a right one that can be proved in three lines.

# %% [markdown]
# ## Three tokens by hand
#
# Model width 2, two heads of size 1, so no scaling. The last token asks; its query is 1 in both heads.
#
# | | token 0 | token 1 | token 2 | weights | head |
# |---|---|---|---|---|---|
# | head 0: key | $0$ | $0$ | $\ln 2$ | $\frac14, \frac14, \frac12$ | |
# | head 0: value | 4 | 8 | 2 | | $1 + 2 + 1 = 4$ |
# | head 1: key | $\ln 3$ | $0$ | $0$ | $\frac35, \frac15, \frac15$ | |
# | head 1: value | 5 | 10 | 0 | | $3 + 2 + 0 = 5$ |
#
# The output projection maps $(a, b)$ to $(a + b, a - b)$. Concatenate and project: $(4, 5) \mapsto (9, -1)$. Or
# project each head with its own columns and **add**: $4 \cdot (1, 1) + 5 \cdot (1, -1) = (9, -1)$. The second way is
# what the layer is.

# %%
ln2, ln3 = math.log(2), math.log(3)
hand_q = torch.ones(2, 1, 1)  # (H, L, E)
hand_k = torch.tensor([[0, 0, ln2], [ln3, 0, 0]]).view(2, 3, 1)
hand_v = torch.tensor([[4.0, 8, 2], [5, 10, 0]]).view(2, 3, 1)
w_o = torch.tensor([[1.0, 1], [1, -1]])  # as in nn.Linear: a row per output feature

heads = F.scaled_dot_product_attention(hand_q, hand_k, hand_v).flatten()
assert torch.allclose(heads, torch.tensor([4.0, 5]))
concatenated = w_o @ heads
added = heads[0] * w_o[:, 0] + heads[1] * w_o[:, 1]
assert torch.allclose(concatenated, torch.tensor([9.0, -1]))
assert torch.allclose(concatenated, added)
print("heads", [round(x) for x in heads.tolist()], "  output", [round(x) for x in concatenated.tolist()])

# %% [markdown]
# ## Heads as blocks
#
# Cut $W_Q = [W_Q^1 | \dots | W_Q^H]$ into blocks of E columns, $W_K, W_V$ alike, and $W_O$ into blocks of E *rows*.
# A concatenation times a stack of blocks is a sum of products:
#
# $$\mathrm{MHA}(X) = \mathrm{concat}_h(A_h X W_V^h)\,W_O + b_O
# = \sum_{h=1}^{H} A_h\, X\, (W_V^h W_O^h) + \mathbf 1 b_O^\top,
# \qquad A_h = \mathrm{softmax}\Big(\tfrac{X (W_Q^h W_K^{h\top}) X^\top}{\sqrt E}\Big) .$$
#
# (Input biases are left out of the formula and are in the check.) A head is two D x D matrices of rank at most E: one
# says *where to look* ($W_Q^hW_K^{h\top}$), one says *what to copy* ($W_V^hW_O^h$): the **QK** and **OV circuits** of
# Elhage et al. 2021 (*A Mathematical Framework for Transformer Circuits*). Two in a row can copy a pattern: the first
# writes into each token what stood before it, the second looks for the token that followed the last time (an *induction
# head*, Olsson et al. 2022, 2209.11895). Four things follow.
#
# 1. $b_K$ **does nothing**: it adds $q_i^\top b_K$ to *all* scores of row $i$, and softmax ignores a constant.
# 2. $b_V$ **is redundant**: rows of $A$ sum to 1, so it comes out as the constant $b_V W_O$ and folds into $b_O$
#    (not with dropout, and not in a row that sees nothing).
# 3. $W_Q^h R$ with $W_K^h R^{-\top}$ is the same head, and so is $W_V^hR$ with $R^{-1}W_O^h$: neither keys nor values
#    have a preferred basis. (With rotary embeddings fact 1 no longer holds, because the bias is rotated with its key,
#    and keys keep only bases that commute with the rotations. Values stay free.)
# 4. The order of the heads is arbitrary. $b_Q$, however, matters: $b_Q^\top k_j$ differs between keys.
#
# **Predict.** Which of these changes an output: deleting $b_Q$, deleting $b_K$, moving $b_V$ into $b_O$, shuffling
# heads?
#
# The toy runs one head after the other and adds; it never concatenates. The oracle is `nn.MultiheadAttention`.

# %%
H, E, L, S = 8, 8, 5, 7
D = H * E


def random_layer():
    """Weights as in nn.Linear, wide enough for the softmax to have opinions."""
    p = {f"w_{n}": torch.randn(D, D) * 1.5 / math.sqrt(D) for n in "qkvo"}
    return p | {f"b_{n}": torch.randn(D) for n in "qkvo"}


def added_heads(p, query, key, value, mask=None, heads=H):
    """(L, D), (S, D), (S, D) -> (L, D): the sum over heads of A_h X W_V^h W_O^h."""
    size = D // heads
    output = p["b_o"].expand(len(query), D)
    for start in range(0, D, size):
        rows = slice(start, start + size)
        q, k, v = (x @ p[f"w_{n}"][rows].T + p[f"b_{n}"][rows] for n, x in zip("qkv", (query, key, value), strict=True))
        scores = q @ k.T / math.sqrt(size)
        scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
        output = output + scores.softmax(-1) @ v @ p["w_o"][:, rows].T
    return output


def torch_layer(p, heads=H, dropout=0.0):
    """PyTorch's layer with these weights."""
    layer = nn.MultiheadAttention(D, heads, dropout=dropout, batch_first=True)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([p["w_q"], p["w_k"], p["w_v"]]))
        layer.in_proj_bias.copy_(torch.cat([p["b_q"], p["b_k"], p["b_v"]]))
        layer.out_proj.weight.copy_(p["w_o"])
        layer.out_proj.bias.copy_(p["b_o"])
    return layer.eval().requires_grad_(False)


def torch_mha(p, query, key, value, mask=None, heads=H):
    blocked = None if mask is None else ~mask  # nn.MultiheadAttention: True = blocked
    return torch_layer(p, heads)(query, key, value, attn_mask=blocked, need_weights=False)[0]


p = random_layer()
x, memory = torch.randn(L, D), torch.randn(S, D)
seen = torch.rand(L, S) < 0.7
seen[:, 0] = True
wanted = torch_mha(p, x, memory, memory, seen)
assert distance(added_heads(p, x, memory, memory, seen), wanted) < 1e-12
summed = added_heads(p, x, memory, memory, seen)
print("sum over heads       ", [float(f"{number:.2f}") for number in summed[0, :6].tolist()])
print("nn.MultiheadAttention", [float(f"{number:.2f}") for number in wanted[0, :6].tolist()])

# %%
folded = p | {"b_v": torch.zeros(D), "b_o": p["b_o"] + p["w_o"] @ p["b_v"]}
turn = torch.linalg.qr(torch.randn(E, E))[0] @ torch.diag(torch.linspace(0.5, 2, E))  # any invertible matrix does
blocks = torch.block_diag(*[turn] * H), torch.block_diag(*[torch.linalg.inv(turn).T] * H)
turned = p | {f"{kind}_{n}": block @ p[f"{kind}_{n}"] for n, block in zip("qk", blocks, strict=True) for kind in "wb"}
order = torch.cat([torch.arange(h * E, h * E + E) for h in torch.randperm(H)])
shuffled = {name: t if name == "b_o" else t[:, order] if name == "w_o" else t[order] for name, t in p.items()}

changes = {
    "b_K set to zero": p | {"b_k": torch.zeros(D)},
    "b_V folded into b_O": folded,
    "each head's Q and K turned": turned,
    "heads shuffled": shuffled,
    "b_Q set to zero": p | {"b_q": torch.zeros(D)},
}
for name, changed in changes.items():
    moved = distance(added_heads(changed, x, memory, memory, seen), wanted)
    assert (moved > 0.1) == (name == "b_Q set to zero")
    assert moved > 0.1 or moved < 1e-12
    print(f"{name:28} output changes: {moved > 0.1}")

head = slice(0, E)
where, what = p["w_q"][head].T @ p["w_k"][head], p["w_v"][head].T @ p["w_o"][:, head].T
assert torch.linalg.matrix_rank(where) == torch.linalg.matrix_rank(what) == E
assert torch.linalg.matrix_rank(p["w_q"].T @ p["w_k"]) == D

# %% [markdown]
# Consequence for testing: **no output can tell whether `k_proj` has a bias.** Only the `state_dict` can.
#
# ### What one softmax cannot do
#
# Source E asks about 768 x 64 x 12 against 768 x 768 and answers "more capacity". Both are 589,824 numbers, and the 12
# slices *are* the whole projection. What differs is the number of softmaxes: "more expressive" is right, and the reason
# is not the size of the matrices.
#
# **Predict.** A token needs one half of its features from the previous token and the other half from the first one. How
# much of their variance does one head lose at best, and how much do two heads of half the size lose?
#
# **Claim**, for *independent* tokens with uncorrelated features, the worst case (related tokens lose less). One head,
# with whatever weights on positions, loses half of the variance: any $W_V$ acts after the mixing has been fixed to
# one pair of weights. *Proof:* with weight $a$ on one token and $1 - a$ on the other, all features arrive as $a\,x +
# (1-a)\,y$, with $x, y$ independent of variance 1. The best linear read-out of $x$ has error $1 - \frac{a^2}{a^2 +
# (1-a)^2}$, that of $y$ has $1 - \frac{(1-a)^2}{a^2 + (1-a)^2}$. They add up to exactly 1 of 2. Weight on other
# tokens only adds noise. Two heads, each of half the size, lose nothing.

# %%
x12 = torch.randn(4, 768)
whole, slices = nn.Linear(768, 768, bias=False), []
for block in whole.weight.detach().chunk(12):
    slices.append(x12 @ block.T)
assert sum(block.numel() for block in whole.weight.chunk(12)) == 768 * 64 * 12 == whole.weight.numel() == 589_824
assert distance(torch.cat(slices, dim=-1), whole(x12).detach()) < 1e-12

previous, first = torch.randn(2, 20_000, 2)
target = torch.stack([previous[:, 0], first[:, 1]], dim=1)  # feature 0 from here, feature 1 from there


def lost(features):
    """Share of each target feature that the best linear read-out of `features` does not explain."""
    fit = features @ torch.linalg.lstsq(features, target).solution
    return ((fit - target) ** 2).mean(0) / target.var(0)


shares = torch.linspace(0, 1, 21)
one_head = torch.stack([lost(a * previous + (1 - a) * first) for a in shares])
two_heads = lost(torch.stack([previous[:, 0], first[:, 1]], dim=1))
theory = 1 - shares**2 / (shares**2 + (1 - shares) ** 2)
assert distance(one_head[:, 0], theory) < 0.03
assert (one_head.mean(1) - 0.5).abs().max() < 0.02
assert two_heads.max() < 1e-12
print(f"lost by one head {one_head.mean():.2f}, by two heads {two_heads.mean():.2f}")

# %%
fig, ax = plt.subplots(figsize=(9.5, 3.1), constrained_layout=True)
ax.plot(shares, one_head[:, 0], color=BLUE, label="half wanted from the previous token")
ax.plot(shares, one_head[:, 1], color=ORANGE, linestyle="--", label="half wanted from the first token")
ax.plot(shares, one_head.mean(1), color="black", linewidth=2.5, label="both: one head")
ax.axhline(two_heads.mean(), color=GREEN, linestyle="-.", linewidth=2.5, label="both: two heads")
ax.set(xlabel="attention weight on the previous token", ylabel="variance lost [share]", ylim=(-0.04, 1.04))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
show(
    fig,
    "Share of the variance lost against the weight on the previous token. As one half gets better the other gets "
    "worse; their mean is flat at 0.5 for one head. Two heads lose nothing.",
)

# %% [markdown]
# ## Splitting and merging
#
# In memory, a row of D features is H blocks of E. A view as $(B, L, H, E)$ only names them; attention wants
# $(B, H, L, E)$, so the axes of tokens and heads must be **exchanged**. No reshape that keeps the order in memory does
# that; `transpose` does, as a view with other strides. On the way back, the same, and there `contiguous()` or `reshape`
# really copies: $BLD$ numbers read and written. Both halves have a shortcut that gives the right shape.

# %% tags=["drawing"]
# drawing: heads_and_back

# %% [markdown]
# **Predict.** 4 tokens of 6 features are reshaped straight to (3 heads, 4 tokens, 2). Which tokens is "head 0" made of?


# %%
def split(x, H, how="right"):
    """(B, L, D) -> (B, H, L, E), one block after the other, or one of two mistakes."""
    if how == "split-without-transpose":
        return x.reshape(len(x), H, x.shape[1], -1)
    if how == "split-interleaved":
        return torch.stack([x[..., h::H] for h in range(H)], dim=1)
    return torch.stack(x.chunk(H, dim=-1), dim=1)


def merge(y, how="right"):
    """(B, H, L, E) -> (B, L, D), one block after the other, or a mistake."""
    if how == "merge-without-transpose":
        return y.reshape(len(y), y.shape[2], -1)
    return torch.cat(y.unbind(1), dim=-1)


tokens, width = 4, 6
owner = torch.arange(tokens * width).view(1, tokens, width)  # a number for each place

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.5, 2.9), sharey=True, constrained_layout=True)
for ax, how in zip(axes, ("right", "split-without-transpose", "split-interleaved"), strict=True):
    for h, part in enumerate(split(owner, 3, how)[0]):
        for number in part.flatten().tolist():
            i, j = divmod(number, width)
            ax.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, color=[BLUE, ORANGE, GREEN][h]))
            ax.text(j, i, str(h), ha="center", va="center", color="white", weight="bold")
    ax.set(xlim=(-0.6, 5.6), ylim=(3.6, -0.6), title=how, xlabel="feature", xticks=range(6), yticks=range(4))
axes[0].set_ylabel("token")
show(
    fig,
    "Which head owns each feature of each token, 4 tokens, 6 features, 3 heads. Right: three vertical bands. "
    "Without transpose: horizontal stretches, a head owns tokens. Interleaved: stripes.",
)
stretches = split(owner, 3, "split-without-transpose")[0] // width  # the tokens that each head is made of
assert [part.unique().tolist() for part in stretches] == [[0, 1], [1, 2], [2, 3]]
assert merge(split(owner, 3)).equal(owner)

# %% [markdown]
# In the middle panel a "head" is a stretch of *tokens*: head 0 never sees token 3. Interleaving, on the right, is a
# consistent layer of its own; it trains, and cannot read anybody's weights.
#
# Source B says that `view` needs contiguous memory. It needs strides that fit: a non-contiguous slice can be viewed,
# and a transposed tensor of one token *is* contiguous, so a missing `contiguous()` hides in single-step decoding.
# With `einsum` nothing needs to move (source D's swap is optional there). And nothing in the formula says
# $H \cdot E = D$: source E's figure has 8 heads of size 3 in a model of width 4, and prints W transposed.

# %%
base = torch.arange(24.0).view(2, 3, 4)
assert not base[..., :2].is_contiguous()
assert base[..., :2].view(6, 2).shape == (6, 2)
assert torch.zeros(2, 1, 8, 4).transpose(1, 2).is_contiguous()  # one token
try:
    torch.zeros(2, 5, 8, 4).transpose(1, 2).view(2, 8, 20)  # five tokens
    viewed = True
except RuntimeError:
    viewed = False
assert not viewed

q, k = torch.randn(2, 5, 3, 4), torch.randn(2, 7, 3, 4)  # (B, L, H, E), (B, S, H, E)
direct = torch.einsum("blhe,bshe->bhls", q, k)
assert distance(direct, q.transpose(1, 2) @ k.permute(0, 2, 3, 1)) < 1e-12

X, W, W_O = torch.randn(2, 4), torch.randn(8, 4, 3), torch.randn(24, 4)  # source E's figure
Z = torch.cat(list(F.scaled_dot_product_attention(X @ W, X @ W, X @ W)), dim=-1)
assert (Z.shape, (Z @ W_O).shape) == ((2, 24), (2, 4))

fake = torch.randn(1, 9, 10).view(1, -1, 3, 3)  # D = 10 by H = 3 with -1 for the length, as in source A
assert fake.shape[1] == 10  # ten positions out of nine tokens
assert fake.reshape(1, -1, 10).shape == (1, 9, 10)  # and back: the shape is right
print("9 tokens of width 10 split by 3 heads and -1:", fake.shape[1], "positions, no error")

# %% [markdown]
# ## Two projections
#
# Why must $W_Q$ and $W_K$ differ? If they are equal, $s = X W W^\top X^\top$ is symmetric and positive semidefinite,
# hence $s_{ij} \le \sqrt{s_{ii} s_{jj}} \le \max(s_{ii}, s_{jj})$: the largest score of the matrix lies on the
# diagonal, and with equal norms every row's does. "Attend to the previous token" is out of reach.
#
# How good can a tied layer get? The best scores are those of the best positive semidefinite matrix. The loss is
# convex in the scores, and shifting all 8 positions of a ring by one changes no loss; so averaging a best matrix over
# its eight shifts is as good, and the average is circulant: a problem of five numbers.
#
# **Predict.** Train 8 positions on a ring to attend to the one before. Separate matrices reach a loss of 0; do tied
# ones?


# %%
def self_weight(tied, size, seeds=20):
    """Weight of a token on itself, mean over 16 random tokens, for each of 20 draws."""
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        x = torch.randn(16, size)
        q, k = x @ torch.randn(size, size) / math.sqrt(size), x @ torch.randn(size, size) / math.sqrt(size)
        found.append((q @ (q if tied else k).T / math.sqrt(size)).softmax(-1).diagonal().mean())
    return torch.stack(found)


for size in (16, 64):
    separate, tied = self_weight(False, size), self_weight(True, size)
    assert separate.mean() < 0.1 < 0.55 < tied.mean()
    assert tied.min() < (0.618 if size == 16 else 0.966) < tied.max()  # one draw gave 0.618 and 0.966
    print(f"E = {size}   weight on itself: separate {separate.mean():.2f}   tied {tied.mean():.2f}", end="")
    print(f"   (single draws {tied.min():.2f} to {tied.max():.2f})")

x = torch.randn(16, 16)
tied_scores = (x @ torch.randn(16, 16)) @ torch.eye(16)
tied_scores = tied_scores @ tied_scores.T / 16
assert distance(tied_scores, tied_scores.T) < 1e-12
assert distance(tied_scores.softmax(-1), tied_scores.softmax(-1).T) > 0.1  # softmax destroys the symmetry


# %%
def minimise(loss, *tensors, steps=150):
    """L-BFGS; the loss at the end."""
    optimiser = torch.optim.LBFGS(tensors, max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)
    return loss().item()


torch.manual_seed(0)
n = 8
before = (torch.arange(n) - 1) % n
w_q, w_k, w = (torch.randn(n, n, requires_grad=True) for _ in range(3))
spectrum = torch.randn(n // 2 + 1, requires_grad=True)  # eigenvalues of a circulant matrix are these, squared


def circulant_scores():
    return torch.fft.irfft(spectrum**2 + 0j, n=n)  # one row: scores at distance 0, 1, ..., 7


separate_loss = minimise(lambda: F.cross_entropy(w_q @ w_k.T, before), w_q, w_k)
tied_loss = minimise(lambda: F.cross_entropy(w @ w.T, before), w)
best_loss = minimise(lambda: F.cross_entropy(circulant_scores()[None], torch.tensor([1])), spectrum)
assert separate_loss < 1e-3
assert round(tied_loss, 3) == round(best_loss, 3) == 1.489
print(f"loss: separate {separate_loss:.2f}   tied {tied_loss:.2f}   best positive semidefinite {best_loss:.2f}")

# %%
torch.manual_seed(1)
x = torch.randn(n, 16)
projected = x @ torch.randn(16, 16) / 4, x @ torch.randn(16, 16) / 4
maps = {
    "random, separate": (projected[0] @ projected[1].T / 4).softmax(-1),
    "random, tied": (projected[0] @ projected[0].T / 4).softmax(-1),
    "trained, separate": (w_q @ w_k.T).softmax(-1).detach(),
    "trained, tied": (w @ w.T).softmax(-1).detach(),
}

# %%
fig, axes = plt.subplots(1, 4, figsize=(11, 2.9), sharey=True, constrained_layout=True)
for ax, (name, weights) in zip(axes, maps.items(), strict=True):
    image = ax.imshow(weights, vmin=0, vmax=1, cmap="cividis")
    ax.set(title=name, xlabel="key position", xticks=range(0, n, 2), yticks=range(0, n, 2))
axes[0].set_ylabel("query position")
fig.colorbar(image, ax=axes, label="attention weight", shrink=0.8)
show(
    fig,
    "Attention maps of 8 tokens. Random separate projections: diffuse. Random tied: a bright diagonal. Trained "
    "on the previous position: separate finds the subdiagonal, tied smears over itself and both neighbours.",
)
assert maps["trained, separate"][range(n), before].min() > 0.99
assert distance(maps["trained, tied"].diagonal(), maps["trained, tied"][range(n), before]) < 0.2

# %% [markdown]
# **Explain.** Tied projections put most weight on the token itself, the more so the larger E is, and training stops at
# 1.49. The last panel is the best a tied layer can do: to raise $s_{i,i-1}$ it must raise $s_{ii}$ and, by
# symmetry, $s_{i-1,i}$. Two relatives of the question:
#
# - **No projections at all**: $s = XX^\top/\sqrt D$ is tied by nature, there is nothing to learn, and the output stays
#   in the convex hull of the inputs.
# - **K = V** works and saves $D^2$ weights and half the cache, but what a token is *found by* is then also what it
#   *hands over*.

# %%
torch.manual_seed(0)
x = torch.randn(200, 6, 16)  # 200 sequences of 6 tokens
weights = (x @ x.mT / 4).softmax(-1)
each = weights.diagonal(dim1=1, dim2=2).mean(1)
on_itself = each.mean().item()
output = weights @ x
assert on_itself > 0.8
assert each.min() < 0.91 < each.max()
assert (output <= x.amax(1, keepdim=True) + 1e-12).all()
assert (output >= x.amin(1, keepdim=True) - 1e-12).all()
print(f"no projections, 6 tokens of 16: weight on itself {on_itself:.2f} (mean of 200 sequences; one draw gave 0.91)")

# %% [markdown]
# ## Cross-attention
#
# Queries from the decoder $Y$ (L rows), keys and values from the encoder $C$ (S rows). Source E has it the other way
# round; the shape of the output settles it. There is an output row **per query**, and it belongs to the decoder.
# (Self-attention is the case $Y=C$; [defined here](sdpa.ipynb#Self-attention).) The Transformer uses all three kinds:
# self-attention without a mask in its encoder, causal self-attention and cross-attention in its decoder. BERT kept the
# first; GPT and what came after it, the second.
#
# **Predict.** 3 decoder tokens, 7 encoder tokens. How many rows come out, and what happens if you shuffle the encoder?

# %%
decoder, encoder = torch.randn(3, D), torch.randn(7, D)
crossed = added_heads(p, decoder, encoder, encoder)
assert crossed.shape == (3, D)
assert added_heads(p, encoder, decoder, decoder).shape == (7, D)  # as source E has it: a row per source token
rows, columns = torch.randperm(3), torch.randperm(7)
assert distance(added_heads(p, decoder[rows], encoder, encoder), crossed[rows]) < 1e-12
assert distance(added_heads(p, decoder, encoder[columns], encoder[columns]), crossed) < 1e-12
assert distance(crossed, torch_mha(p, decoder, encoder, encoder)) < 1e-12
print("3 queries over 7 encoder tokens:", crossed.shape[0], "rows")
print("first feature of each row, encoder as it is:", [float(f"{r:.2f}") for r in crossed[:, 0].tolist()])
again = added_heads(p, decoder, encoder[columns], encoder[columns])
print("                           encoder shuffled:", [float(f"{r:.2f}") for r in again[:, 0].tolist()])

# %% [markdown]
# The output moves with the rows of $Y$, ignores the order of $C$, needs no causal mask, and the keys and values of $C$
# are computed once: a cache that never grows.

# %% [markdown]
# ## Padding
#
# Source E asks and leaves the answer to a link. Mask the padded **keys**: $M_{ij} = [\,j < \text{len}\,]$, as
# $(B, 1, 1, S)$, and-ed with the causal $(L, S)$ if there is one. Rows of padded *queries* are junk; drop them later.
#
# **Predict.** Which of these gives real rows as if the sequence were alone: masking keys, zero embeddings without a
# mask, masking the rows of padded queries?

# %%
short, padded = torch.randn(4, D), torch.zeros(7, D)
padded[:4] = short
real = torch.arange(7) < 4
alone = added_heads(p, short, short, short)
treatments = {
    "keys masked": real.expand(7, 7),
    "zero embeddings, no mask": torch.ones(7, 7, dtype=torch.bool),
    "query rows masked": real[:, None].expand(7, 7),
}
off = {name: distance(added_heads(p, padded, padded, padded, m)[:4], alone) for name, m in treatments.items()}
assert off["keys masked"] < 1e-12 < 0.1 < min(off["zero embeddings, no mask"], off["query rows masked"])

causal = torch.arange(7) <= torch.arange(7)[:, None]
causal_alone = added_heads(p, short, short, short, causal[:4, :4])
right_out = added_heads(p, padded, padded, padded, causal)
assert distance(right_out[:4], causal_alone) < 1e-12  # padding on the right and causal: the key mask is not needed
left = padded.roll(3, dims=0)
both = causal & (torch.arange(7) >= 3)
left_out = torch_mha(p, left, left, left, both)
assert (~both.any(1)).sum() == 3  # left padding: three rows see nothing
assert distance(left_out[:3], p["b_o"].expand(3, D)) == 0
assert distance(left_out[3:], causal_alone) < 1e-12
print("real rows as if alone:", {name: error < 1e-12 for name, error in off.items()})

# %%
layer = torch_layer(p)
pictures = {}
for name, m in treatments.items():
    pictures[name] = layer(padded, padded, padded, attn_mask=~m, average_attn_weights=False)[1][0]  # head 0

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), sharey=True, constrained_layout=True)
for ax, (name, weights) in zip(axes, pictures.items(), strict=True):
    image = ax.imshow(weights, vmin=0, vmax=1, cmap="cividis")
    ax.add_patch(plt.Rectangle((-0.5, -0.5), 4, 4, fill=False, edgecolor="white", linewidth=2))
    leak = weights[:4, 4:].sum(-1).mean().item()
    ax.set(
        title=f"{name}\n{leak:.0%} of the weight of\nreal rows lies on padding",
        xlabel="key position",
        xticks=range(7),
        yticks=range(7),
    )
axes[0].set_ylabel("query position")
fig.colorbar(image, ax=axes, label="attention weight", shrink=0.8)
show(
    fig,
    "Attention maps of one head, four real tokens and three of padding. Keys masked: real rows stay among real "
    "keys. Zero embeddings or masked query rows: real rows give weight to padding; masked rows are blank.",
)

# %% [markdown]
# Only the mask on keys. Zero embeddings have a weight of $e^0=1$ each; masked query rows protect nobody.

# %% [markdown]
# ## How many heads
#
# The Transformer paper's table (base model, EN-DE dev set, same parameters in each row; source E prints it in an item
# that names bert-base):
#
# | heads | 1 | 4 | 8 | 16 | 32 |
# |---|---|---|---|---|---|
# | head size | 512 | 128 | 64 | 32 | 16 |
# | perplexity | 5.29 | 5.00 | 4.92 | 4.91 | 5.01 |
#
# One head has one softmax; 32 heads of 16 have little to compare with (a map of rank E: Bhojanapalli et al. 2020,
# 2002.07028). Models since then mostly fix the head size and let H follow: GPT-3 has 96 heads of 128, Llama and Qwen
# 32 to 64 of 128, gpt-oss and Llama-3.2-1B heads of 64, most of Gemma 2 and 3 heads of 256. And **$H\cdot E$ need not
# be D**: Qwen3-0.6B has 16 heads of 128 at width 1,024, gpt-oss-20b 64 heads of 64 at width 2,880. Source E's list
# (12, 16, 24, 48, 96) leaves out 32, 40 and 64.
#
# Source E says that heads are mostly redundant, and gives no source. There are some: Michel et al. 2019 (1905.10650)
# remove most heads of trained models at little cost, and Voita et al. 2019 (1905.09418) find a few specialised heads
# that do the heavy lifting. In "sparse, hence low rank, hence many heads" already the first step is wrong:
#
# **Predict.** What is the rank of the sharpest map there is, each of 64 tokens attending to itself alone?

# %%
sharp = torch.eye(64)  # as sparse as attention gets
averaging = torch.ones(64, 64).tril() / torch.arange(1, 65)[:, None]  # uniform causal attention
logits = 2 * torch.randn(256, 8) @ torch.randn(8, 256)
ranks = [torch.linalg.matrix_rank(m).item() for m in (sharp, averaging, logits, logits.softmax(-1))]
assert ranks == [64, 64, 8, 256]
print("rank: identity, causal mean, logits with E = 8, their softmax:", ranks)

# %% [markdown]
# ## Break it
#
# Eight mistakes in one layer, each run on four inputs. *Unseen* means that the output is right to twelve digits.
#
# **Predict.** Which mistakes does a test with one head see? And one with several heads and a single token?


# %%
def broken(p, query, key, value, heads, mistake=None):
    """(B, L, D) -> (B, L, D), batched, with one mistake."""
    w = {n: p[f"w_{n}"] for n in "qkvo"}
    if mistake == "keys-through-q-proj":
        w["k"] = w["q"]
    if mistake == "kv-projections-exchanged":
        w["k"], w["v"] = w["v"], w["k"]
    if mistake == "value-from-key":
        value = key
    q, k, v = (split(x @ w[n].T, heads, mistake) for n, x in zip("qkv", (query, key, value), strict=True))
    scale = 1 / math.sqrt(D if mistake == "scale-d-model" else D // heads)
    y = merge(F.scaled_dot_product_attention(q, k, v, scale=scale), mistake)
    return y if mistake == "output-unprojected" else y @ w["o"].T


torch.manual_seed(2)
a, b, c = torch.randn(2, 5, D), torch.randn(2, 7, D), torch.randn(2, 7, D)
inputs = {  # query, key, value, heads
    "cross": (a, b, c, 8),
    "self": (a, a, a, 8),
    "one head": (a, a, a, 1),
    "one token": (a[:, :1], a[:, :1], a[:, :1], 8),
}
unseen = {}
for mistake in ("split-without-transpose", "split-interleaved", "merge-without-transpose", "scale-d-model",
                "keys-through-q-proj", "kv-projections-exchanged", "value-from-key", "output-unprojected"):  # fmt: skip
    unseen[mistake] = []
    for name, case in inputs.items():
        right = broken(p, *case)
        if distance(broken(p, *case, mistake), right) < 1e-12:
            unseen[mistake].append(name)
    print(f"{mistake:25} unseen: {', '.join(unseen[mistake]) or 'nowhere'}")
no_bias = p | {f"b_{n}": torch.zeros(D) for n in "qkvo"}
assert distance(broken(no_bias, *inputs["cross"])[0], torch_mha(no_bias, a[0], b[0], c[0])) < 1e-12
assert not any("cross" in found for found in unseen.values())
assert unseen["split-without-transpose"] == unseen["merge-without-transpose"] == ["one head", "one token"]
assert unseen["value-from-key"] == ["self", "one head", "one token"]
assert unseen["keys-through-q-proj"] == ["one token"]
assert "one head" in unseen["scale-d-model"]
assert round(math.sqrt(D) / math.sqrt(D // 8), 2) == 2.83

layer_to_clone = nn.Linear(D, D)  # source E's clones: four copies of one layer
clones = [copy.deepcopy(layer_to_clone) for _ in range(4)]
assert all(torch.equal(clone.weight, clones[0].weight) for clone in clones)
scores = clones[0](a[0]) @ clones[1](a[0]).T
assert distance(scores, scores.T) < 1e-12  # tied from the start

# %% [markdown]
# One input sees all eight: cross-attention with several heads, tokens and three different tensors. (Small weights
# would hide the scale.) Source E divides by the root of the *embedding* size: harmless for one head, and with 8 heads
# scores are $\sqrt 8 = 2.83$ times too small.
#
# ### Split and merge
#
# *split-without-transpose* and *merge-without-transpose* have the right shape. Move one token and see which rows of
# the output change: a merge without transpose scatters one token's heads over several rows. *split-interleaved* is
# found by loading somebody else's weights. *divisibility-unchecked* is the ten positions above.
#
# ### Projections
#
# *keys-through-q-proj* is the tie of [Two projections](#Two-projections), and source E's Annotated listing starts
# from it: its `clones` copies one layer four times, so $W_Q = W_K = W_V = W_O$ until something re-initialises them.
# (As printed the listing does not run: no imports, no `clones`, and a class name that does not exist.)
#
# ### Mask shapes
#
# Sources A and E give every mask `unsqueeze(1)`; source B's comment says (B, S); using a mask as it is reads a batch as
# heads. Scores are (B, H, L, S), and broadcasting aligns on the right.
#
# **Predict.** For which sizes is each of these rules silently wrong, without raising?

# %%
rules = {
    "right: 3-D gets an axis": lambda m: m[:, None] if m.dim() == 3 else m,
    "batch-mask-read-as-heads": lambda m: m,
    "mask-always-unsqueezed": lambda m: m.unsqueeze(1),
    "mask-read-as-padding": lambda m: m[:, None, None] if m.dim() == 2 else m[:, None] if m.dim() == 3 else m,
}
cases = {  # B, H, L, S and the mask's leading sizes
    "(L, S)": (2, 4, 5, 7, ()),
    "(L, S)\nL = H": (2, 4, 4, 7, ()),
    "(L, S)\nL = B": (5, 4, 5, 7, ()),
    "(B, L, S)": (2, 4, 5, 7, (2,)),
    "(B, L, S)\nB = H": (4, 4, 5, 7, (4,)),
    "(B, 1, L, S)": (2, 4, 5, 7, (2, 1)),
    "(B, 1, L, S)\nB = 1": (1, 4, 5, 7, (1, 1)),
}


def masked_heads(q, k, v, mask):
    """As in source A: scores, fill, softmax, and a merge with -1 that takes what comes."""
    weights = (q @ k.mT / 2).masked_fill(~mask, -math.inf).softmax(-1)
    return (weights @ v).transpose(1, 2).reshape(len(q), -1, q.shape[1] * v.shape[-1])


outcomes = {}
for case, (B, heads, L, S, lead) in cases.items():
    torch.manual_seed(3)
    q, k, v = torch.randn(B, heads, L, 4), torch.randn(B, heads, S, 4), torch.randn(B, heads, S, 4)
    mask = torch.rand(*lead, L, S) < 0.6
    mask[..., 0] = True
    full = mask.expand(B, L, S) if len(lead) < 2 else mask[:, 0]
    wanted = torch.stack(
        [
            merge(F.scaled_dot_product_attention(q[i : i + 1], k[i : i + 1], v[i : i + 1], attn_mask=full[i]))[0]
            for i in range(B)
        ]
    )
    for rule, apply in rules.items():
        try:
            got = masked_heads(q, k, v, apply(mask))
            outcomes[rule, case] = distance(got, wanted) if got.shape == wanted.shape else "wrong shape"
        except RuntimeError:
            outcomes[rule, case] = "raises"

silent = [key for key, o in outcomes.items() if isinstance(o, float) and o > 1e-9]
assert silent == [
    ("mask-always-unsqueezed", "(L, S)\nL = H"),
    ("mask-read-as-padding", "(L, S)\nL = B"),
    ("batch-mask-read-as-heads", "(B, L, S)\nB = H"),
    ("mask-always-unsqueezed", "(B, 1, L, S)\nB = 1"),
]
assert all(outcomes["right: 3-D gets an axis", case] < 1e-12 for case in cases)
print("silently wrong:", len(silent), "of", len(outcomes))

# %%
fig, ax = plt.subplots(figsize=(10.5, 3), constrained_layout=True)
for row, rule in enumerate(rules):
    for column, case in enumerate(cases):
        o = outcomes[rule, case]
        right, quiet = isinstance(o, float) and o < 1e-9, isinstance(o, float)
        colour = GREEN if right else VERMILLION if quiet else "#888888"
        ax.add_patch(plt.Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=colour))
        text = "right" if right else f"off by {o:.1f}" if quiet else o
        ax.text(column, row, text, ha="center", va="center", color="white", weight="bold", fontsize=9)
ax.set(xlim=(-0.5, len(cases) - 0.5), ylim=(3.5, -0.5), xlabel="mask handed in", ylabel="rule in the code")
ax.set_xticks(range(len(cases)), cases)
ax.set_yticks(range(4), rules)
show(
    fig,
    "Four ways to broadcast a mask against seven mask shapes. Only unsqueezing 3-D masks is right everywhere. "
    "Each other rule is silently wrong where two sizes collide: L = H, L = B, B = H or B = 1.",
)

# %% [markdown]
# **Explain.** Each wrong rule is loud in general and silent where two sizes are **equal**: L = H turns queries into
# heads, B = H batch entries into heads. So test with all sizes different, and then with these collisions on purpose.

# %% [markdown]
# ## Edge cases
#
# A query without keys gets zeros from every head, so its row is $b_O$. PyTorch's own layer answers that on one path
# and NaN on the other. Source B's example has such a sample; its fill of $-10^{20}$ gives weights of one half each.

# %%
nothing = torch.ones(5, 7, dtype=torch.bool)
nothing[2] = False
layer = torch_layer(p)
quick = layer(a[0], b[0], b[0], attn_mask=~nothing, need_weights=False)[0]
slow = layer(a[0], b[0], b[0], attn_mask=~nothing, need_weights=True)[0]
assert distance(quick[2], p["b_o"]) == 0
assert slow[2].isnan().all()
assert torch.full((2,), -1e20).softmax(0).tolist() == [0.5, 0.5]

one_key = added_heads(p, a[0], b[0, :1], b[0, :1])  # one key: every query gets its value
assert distance(one_key, one_key[:1].expand(5, D)) < 1e-12
assert added_heads(p, a[0, :1], b[0], b[0]).shape == (1, D)
smallest = added_heads(p, a[0], b[0], b[0], heads=D)  # heads of size 1
assert distance(smallest, torch_mha(p, a[0], b[0], b[0], heads=D)) < 1e-12
print("row without keys is b_O: need_weights=False", True, "  need_weights=True", False)

# %% [markdown]
# ### Dropout
#
# It acts on the weights, in training only (GPT-2 and BERT have it, Llama does not). Then rows no longer sum to 1, and
# two calls differ: source A's shape test ran in training mode, where no number can be tested. (Its layer also prints at
# each call, and source B's prints all weights: take prints out before anyone times you.)

# %%
training = torch_layer(p, dropout=0.1).train()
first, second = (training(a, a, a)[0] for _ in range(2))
assert distance(first, second) > 0.1
rows = training(a, a, a, average_attn_weights=False)[1].sum(-1)
assert (rows - 1).abs().max() > 0.05
training.eval()
assert distance(training(a, a, a)[0], training(a, a, a)[0]) == 0
assert (training(a, a, a, average_attn_weights=False)[1].sum(-1) - 1).abs().max() < 1e-12
print("two calls agree: training False, eval True")

# %% [markdown]
# ## Equivalences
#
# One head is the sdpa kata between projections. H heads are the sdpa kata with two leading dimensions. And grouped
# attention with as many key/value heads as heads (the gqa kata at K = H) is this layer.


# %%
def project(x, n):
    return x @ p[f"w_{n}"].T + p[f"b_{n}"]


q, k, v = (project(x, n) for n, x in zip("qkv", (a, b, b), strict=True))
single = project(F.scaled_dot_product_attention(q, k, v), "o")
split_up = [split(x, H) for x in (q, k, v)]
many = project(merge(F.scaled_dot_product_attention(*split_up)), "o")
grouped = project(merge(F.scaled_dot_product_attention(*split_up, enable_gqa=True)), "o")
for i in range(2):
    assert distance(single[i], added_heads(p, a[i], b[i], b[i], heads=1)) < 1e-12
    assert distance(many[i], added_heads(p, a[i], b[i], b[i])) < 1e-12
    assert distance(many[i], torch_mha(p, a[i], b[i], b[i])) < 1e-12
assert distance(grouped, many) < 1e-12
for name, rows in (("one head after the other", added_heads(p, a[0], b[0], b[0])), ("split and merge", many[0]),
                   ("grouped with K = H", grouped[0])):  # fmt: skip
    print(f"{name:25} {[float(f'{number:.2f}') for number in rows[0, :5].tolist()]}")

# %% [markdown]
# ## Cost
#
# ### Parameters
#
# $4D^2$, plus $4D$ with biases; the number of heads is not in it. Source E says that attention has fewer parameters
# than convolutions and recurrent layers. At width 512:


# %%
def count(module):
    return sum(t.numel() for t in module.parameters())


counts = {
    "attention, 8 heads": count(nn.MultiheadAttention(512, 8, device="meta")),
    "attention, 16 heads": count(nn.MultiheadAttention(512, 16, device="meta")),
    "RNN": count(nn.RNN(512, 512, device="meta")),
    "convolution of 3": count(nn.Conv1d(512, 512, 3, device="meta")),
    "GRU": count(nn.GRU(512, 512, device="meta")),
    "LSTM": count(nn.LSTM(512, 512, device="meta")),
}
for name, number in counts.items():
    print(f"{name:20} {number:>9,}")
assert list(counts.values()) == [1_050_624, 1_050_624, 525_312, 786_944, 1_575_936, 2_101_248]

# %% [markdown]
# **FLOPs** of N tokens: $8ND^2$ for the projections, $4N^2D$ for scores and weighted sums. Heads change neither; they
# multiply the softmaxes, $H N^2$ exponentials. (A product of $m\times k$ with $k\times n$ is $2mnk$.) The two parts are
# equal at $N = 2D$: below that, the *attention layer* is mostly matrix products with weights, which "$O(N^2 D)$" leaves
# out.
#
# **The whole block** is $x\leftarrow x+\mathrm{MHA}(\mathrm{norm}(x))$ and then $x\leftarrow
# x+\mathrm{FFN}(\mathrm{norm}(x))$, with the norms before the layers so that the residual path is left alone
# (*pre-norm*, Xiong et al. 2020, 2002.04745). Its feed-forward layer costs $16ND^2$ with two matrices of width $4D$:
# $24ND^2$ against $4N^2D$, equal at $N=6D$, and at $12D$ for a kernel that skips the causal half. Llama-2-7B's SwiGLU
# has $3\cdot4096\cdot11008$ weights: 24,704 tokens. "Attention is quadratic" describes long contexts, memory and the
# cache, not the bulk of training. Training costs three forward passes, for each product has two in its backward pass: 6
# FLOPs for each weight and token.
#
# What the feed-forward layer is for: attention moves information between positions and is, for given weights, linear in
# the values. The feed-forward layer acts on each position alone and is the nonlinearity; it works like a memory of keys
# and values (Geva et al. 2021, 2012.14913) and holds most of the parameters. Attention alone, without it and without
# residuals, loses rank doubly exponentially with depth (Dong et al. 2021, 2103.03404).


# %%
def layer_flops(N, D, H):
    """(projections, scores and sums) as FlopCounterMode counts them, on tensors without data."""
    x, w, heads = (torch.empty(*s, device="meta") for s in ((N, D), (D, D), (H, N, D // H)))
    with FlopCounterMode(display=False) as projections:
        for _ in "qkvo":
            x @ w
    with FlopCounterMode(display=False) as attention:
        (heads @ heads.mT) @ heads
    return projections.get_total_flops(), attention.get_total_flops()


for H_any in (1, 8, 64):
    assert layer_flops(512, 512, H_any) == (8 * 512 * 512**2, 4 * 512**2 * 512)
assert sum(layer_flops(512, 512, 8)) == 1_610_612_736

lengths = [2**i for i in range(7, 18)]

# %%
fig, ax = plt.subplots(figsize=(7.5, 3.1), constrained_layout=True)
for D_model, colour, style in ((512, ORANGE, "--"), (4096, BLUE, "-")):
    parts = [layer_flops(N, D_model, D_model // 64) for N in lengths]
    percent = [100 * one / (one + two) for one, two in parts]
    ax.plot(lengths, percent, style, color=colour, marker="o", label=f"D = {D_model}")
    ax.axvline(2 * D_model, color=colour, linewidth=1, linestyle=":")
    ax.text(2 * D_model * 1.08, 8, f"2D = {2 * D_model:,}", color=colour, fontsize=9)
ax.axhline(50, color="black", linewidth=1, linestyle=":")
ax.set_xscale("log", base=2)
ax.set_xticks(lengths[::2], [f"{N:,}" for N in lengths[::2]])
ax.set(xlabel="sequence length N [tokens]", ylabel="FLOPs in projections [%]", ylim=(0, 100))
ax.legend()
show(
    fig,
    "Share of a layer's FLOPs in the projections against the sequence length. It falls from near 100 percent and "
    "crosses 50 percent at N = 2 D: 1,024 tokens for D = 512, 8,192 tokens for D = 4096.",
)
share = {N: one / (one + two) for N in (128, 512, 1024, 2048) for one, two in [layer_flops(N, 512, 8)]}
assert [round(100 * s) for s in share.values()] == [89, 67, 50, 33]

# %%
MODELS = {  # layers, D, H, K
    "Llama-2-7B": (32, 4096, 32, 32),
    "Llama-2-70B": (80, 8192, 64, 8),
    "Llama-3-8B": (32, 4096, 32, 8),
    "Qwen2-7B": (28, 3584, 28, 4),
}
print("                 parameters a layer            cache of a token [KiB]")
print("                  if MHA      as built            if MHA   as built")
table = {}
for name, (layers, D_model, heads, K) in MODELS.items():
    wide = 4 * D_model**2
    built = 2 * D_model**2 + 2 * D_model * K * (D_model // heads)
    cache = [2 * layers * n * (D_model // heads) * 2 // 1024 for n in (heads, K)]
    table[name] = wide, built, *cache
    print(f"{name:12} {wide:>12,}  {built:>12,}   {cache[0]:>15,}   {cache[1]:>8,}")
assert [row[0] for row in table.values()] == [67_108_864, 268_435_456, 67_108_864, 51_380_224]
assert [row[1] for row in table.values()] == [67_108_864, 150_994_944, 41_943_040, 29_360_128]
assert [row[2:] for row in table.values()] == [(512, 512), (2560, 320), (512, 128), (392, 56)]

# %% [markdown]
# Of the four only Llama-2-7B is built as in this notebook. The right-hand column is why, and [grouped-query
# attention](gqa.ipynb) is how.

# %% [markdown]
# ## Interview questions
#
# <!-- questions -->

# %%
# checks: parameter-count, idle-parameters, twelve-heads, wq-wk
assert counts["attention, 8 heads"] == counts["attention, 16 heads"] == 4 * 512**2 + 4 * 512 == 1_050_624
assert (counts["LSTM"], counts["RNN"]) == (2_101_248, 525_312)
assert distance(added_heads(changes["b_K set to zero"], a[0], b[0], b[0]), added_heads(p, a[0], b[0], b[0])) < 1e-12
assert distance(added_heads(folded, a[0], b[0], b[0]), added_heads(p, a[0], b[0], b[0])) < 1e-12
assert distance(torch_mha(folded, a[0], b[0], b[0], nothing)[2], p["b_o"]) > 0.1  # the row that sees nothing
assert 12 * 64 * 768 == 768 * 768 == 589_824
assert (round(100 * one_head.mean().item()), round(100 * two_heads.mean().item())) == (50, 0)
assert len(before) == 8
assert round(tied_loss, 2) == 1.49
assert round(separate_loss, 2) == 0

# %%
# checks: padding, mask-unsqueezed, cross-attention, merge-transpose
assert off["keys masked"] < 1e-12 < 0.1 < off["zero embeddings, no mask"]
assert (~both.any(1)).sum() == 3
assert len(outcomes) == 28
assert len(silent) == 4
assert crossed.shape[0] == len(decoder) == 3
assert len(encoder) == 7
assert unseen["merge-without-transpose"] == ["one head", "one token"]
assert inputs["cross"][3] == 8
assert [t.shape[1] for t in inputs["cross"][:2]] == [5, 7]

# %%
# checks: quadratic, how-many-heads, ffn
swiglu, attention_weights = 3 * 4096 * 11_008, 4 * 4096**2
assert (swiglu, swiglu + attention_weights) == (135_266_304, 202_375_168)
assert round(100 * swiglu / (swiglu + attention_weights)) == 67
assert 2 * (swiglu + attention_weights) // (4 * 4096) == 24_704
assert 2 * 24_704 == 49_408
assert 8 + 16 == 24 == 4 * 6  # N D D against N N D: equal at N = 6D
assert 3 * 8 / 3 == 2 * 4
assert (16 * 128, 64 * 64) != (1_024, 2_880)
assert 256 > 128 > 64
for width, even in ((512, 1_024), (4_096, 8_192)):
    projections, attention = layer_flops(even, width, width // 64)
    assert projections == attention
assert round(100 * share[128]) == 89
paper = {1: 5.29, 4: 5.00, 8: 4.92, 16: 4.91, 32: 5.01}  # 1706.03762, table 3, rows A and base
assert sorted(paper, key=paper.get)[:2] == [16, 8]
assert (4_096 // 128, 8_192 // 128) == (32, 64)

# %%
# checks: idle-parameters, qk-ov, padding, how-many-heads
as_built = added_heads(p, a[0], b[0], b[0])
moved_by = {name: distance(added_heads(changed, a[0], b[0], b[0]), as_built) for name, changed in changes.items()}
assert moved_by["b_K set to zero"] < 1e-12 < 0.1 < moved_by["b_Q set to zero"]
assert torch.linalg.matrix_rank(where) == torch.linalg.matrix_rank(what) == E
assert distance(added_heads(p, a[0], b[0], b[0]), torch_mha(p, a[0], b[0], b[0])) < 1e-12
assert (len(short), len(padded) - len(short)) == (4, 3)
assert off["zero embeddings, no mask"] > 0.1
assert [paper[heads] for heads in (1, 4, 8, 16, 32)] == [5.29, 5.00, 4.92, 4.91, 5.01]
assert 512 // 32 == 16

# %% [markdown]
# ## Exercises
#
# **1.** A layer's weights are stored interleaved: feature $f$ of the projection belongs to head $f \bmod H$. Which
# permutation of rows makes it a layer with blocks?
#
# <details><summary>Solution</summary>
#
# Block row $hE+e$ must be the old row $eH+h$: `order = torch.arange(D).view(E, H).T.flatten()`, and then
# `w_q[order]`, `w_k[order]`, `w_v[order]` and the *columns* `w_o[:, order]`. Biases of the three move with their rows.
#
# </details>
#
# **2.** A token wants a third of its features from each of three tokens, all independent. What share of the variance
# must two heads lose at best?
#
# <details><summary>Solution</summary>
#
# One head can serve one token perfectly and lose nothing of its third; the other has two tokens to serve and loses half
# of their two thirds, as under *What one softmax cannot do*. Together $\frac23\cdot\frac12=\frac13$. In general $H$
# heads explain at most $H$ of $n$ independent sources: $1-H/n$.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Write the body and run the cell: it is graded as a file would be. Once yours passes,
# `%kata compare mha` shows it beside a reference with the shape at the end of each line.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Vaswani et al. 2017 (1706.03762), sections 3.2.2 and 6.2. Elhage et al. 2021, *A Mathematical
# Framework for Transformer Circuits*. Michel et al. 2019 (1905.10650). Next: [grouped-query attention](gqa.ipynb).
