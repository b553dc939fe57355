# %% [markdown]
# # Multi-query attention
#
# <!-- badge -->
#
# All query heads read one key head and one value head. **After this notebook you can** say what multi-query attention
# (MQA) shares, prove that it is multi-head attention (MHA) with tied rows, say *which* bytes it saves and when that
# matters, and name what it gives up.
#
# Short of time? 13 minutes: [MHA with tied rows](#MHA-with-tied-rows), [Parameters or cache](#Parameters-or-cache),
# [Several GPUs](#Several-GPUs), [Latent attention](#Latent-attention), and then the questions.
#
# Reading time: 40 minutes. Kata: `python grader.py check mqa`

# %% tags=["setup"]
# build.py puts the set-up here

# %%
import io
import math
import textwrap
import time

import matplotlib.pyplot as plt
import PIL.Image
import torch
import torch.nn.functional as F
from IPython.display import Image, display
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

torch.manual_seed(0)
plt.rcParams.update({"figure.figsize": (7, 3), "figure.dpi": 90, "axes.titlesize": "medium"})
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
OKABE_ITO = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000"]
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=OKABE_ITO)


def show(fig, caption):
    """Display the figure, sharp on any screen, and its caption, which is its alt text too."""
    png, small = io.BytesIO(), io.BytesIO()
    fig.savefig(png, format="png", bbox_inches="tight", dpi=2 * fig.dpi)
    plt.close(fig)
    picture = PIL.Image.open(png).convert("RGB").quantize(128)
    picture.save(small, format="png", optimize=True)
    display(Image(small.getvalue(), width=picture.width // 2, alt=caption))
    print(textwrap.fill(caption, 100, break_on_hyphens=False))


# %% [markdown]
# ## The interview question
#
# > *Your decoder is slow. Somebody proposes to keep all 32 query heads but only one key head and one value head.
# > What gets faster, by how much, and what do you lose?*
#
# "K and V have fewer parameters, so it is faster" is the weak answer, and it stands in one of our sources: it
# names the smaller of two effects; below, the two are equal at exactly D cached tokens. The strong
# answer has four parts:
#
# 1. MQA is MHA in which all heads use the same rows of $W_K$ and $W_V$;
# 2. a decoding step reads $H$ times fewer *cache* bytes and does the same arithmetic on them;
# 3. the price is how much a token can tell the others, not the number of attention maps;
# 4. big models keep 8 key/value heads for quality, for stable training, and because on several GPUs the saving stops.
#
# Letters: $D$ d_model, $H$ query heads, $K$ key/value heads (papers: $G$), $E=D/H$ (papers: $d_k$), $L$ queries, $S$
# keys, $t$ cached tokens of one sequence, $n$ of all together.

# %% [markdown]
# ## Three tokens by hand
#
# Head dimension $E=1$, so the scale $1/\sqrt E$ is 1. Three tokens left *one* key and *one* value each:
#
# | token | key $k$ | $e^{k}$ | value $v$ |
# |---|---|---|---|
# | 1 | $0$ | 1 | 7 |
# | 2 | $\ln 2$ | 2 | 0 |
# | 3 | $\ln 4$ | 4 | 14 |
#
# Token 3 asks through three heads, $q=+1,\ 0,\ -1$. The weights go with $e^{qk}=(e^k)^q$:
#
# * $q=+1$: $1:2:4$, weights $\tfrac17,\tfrac27,\tfrac47$, output $\tfrac{7+0+56}{7}=9$
# * $q=0$: $1:1:1$, output $\tfrac{21}{3}=7$
# * $q=-1$: $1:\tfrac12:\tfrac14$, that is $4:2:1$, output $\tfrac{28+0+14}{7}=6$
#
# One key, three maps, three answers. MHA would have cached six numbers per token here; MQA caches two.

# %%
k = torch.tensor([0.0, math.log(2), math.log(4)], dtype=torch.float64).view(3, 1)
v = torch.tensor([7.0, 0.0, 14.0], dtype=torch.float64).view(3, 1)
q = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64).view(3, 1)  # one row per head

hand = torch.stack([(q[h] * k[:, 0]).softmax(0) for h in range(3)])
print("weights x 21:", (21 * hand).round().int().tolist())
print("outputs:     ", (hand @ v)[:, 0].round().int().tolist())
assert torch.allclose(hand @ v, torch.tensor([[9.0], [7.0], [6.0]], dtype=torch.float64))

# PyTorch agrees: three query heads, the single key/value head expanded (a view, not a copy)
heads = F.scaled_dot_product_attention(
    q.view(1, 3, 1, 1), k.view(1, 1, 3, 1).expand(1, 3, 3, 1), v.view(1, 1, 3, 1).expand(1, 3, 3, 1)
)
assert torch.allclose(heads.flatten(), torch.tensor([9.0, 7.0, 6.0], dtype=torch.float64))

# %% [markdown]
# **Predict.** Every token asks the same three questions, under a causal mask. What do the heads answer at token
# 1? Can they differ at token 2?

# %%
causal = torch.ones(3, 3, dtype=torch.bool).tril()
rows = F.scaled_dot_product_attention(
    q.view(1, 3, 1, 1).expand(1, 3, 3, 1),  # every token asks the same three questions
    k.view(1, 1, 3, 1).expand(1, 3, 3, 1),
    v.view(1, 1, 3, 1).expand(1, 3, 3, 1),
    attn_mask=causal,
)[0, :, :, 0]
for token in range(3):
    print(f"token {token + 1}:", [f"{x:.3g}" for x in rows[:, token].tolist()])
assert torch.allclose(rows[:, 0], torch.full((3,), 7.0, dtype=torch.float64))
assert torch.allclose(rows[:, 1], torch.tensor([7 / 3, 7 / 2, 14 / 3], dtype=torch.float64))

# %% [markdown]
# **Explain.** With one key there is one value to return: all heads say 7, and a test with a single key cannot
# tell MQA from anything. With two keys the weights $1:2$, $1:1$, $2:1$ already part them.

# %% [markdown]
# ## MHA with tied rows
#
# Write MHA's key projection as blocks of columns, $W_K=[W_K^1|\dots|W_K^H]\in\mathbb R^{D\times HE}$, and set every
# block to one $\bar W_K\in\mathbb R^{D\times E}$ (values alike):
#
# $$W_K=\mathbf 1_H^\top\otimes\bar W_K,\qquad W_V=\mathbf 1_H^\top\otimes\bar W_V .$$
#
# Then $k^h_j=x_j\bar W_K$ for every $h$, and head $h$ computes $\mathrm{softmax}\big(X W_Q^h\bar W_K^\top X^\top/\sqrt
# E\big)\,X\bar W_V$: the definition of MQA. (`nn.Linear` keeps the transposes.) With $h\mapsto\lfloor hK/H\rfloor$ in
# between, $\mathrm{MQA}=\mathrm{GQA}(1)\subset\mathrm{GQA}(K)\subset\mathrm{GQA}(H)=\mathrm{MHA}$. MQA computes nothing
# that MHA could not: its speed must come from what is *stored and read*.


# %%
def attention_by_loops(x, context, weights, num_heads, num_kv_heads, allowed=None):
    """One sequence, one head after the other: slow, plain, and any number of key/value heads."""
    w_q, w_k, w_v, w_o = weights
    size, per_kv = w_q.size(0) // num_heads, num_heads // num_kv_heads
    outputs = []
    for h in range(num_heads):
        g = h // per_kv
        q_h = x @ w_q[h * size : (h + 1) * size].T
        k_g = context @ w_k[g * size : (g + 1) * size].T
        v_g = context @ w_v[g * size : (g + 1) * size].T
        scores = q_h @ k_g.T / math.sqrt(size)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -math.inf)
        outputs.append(scores.softmax(-1).nan_to_num(0.0) @ v_g)  # a row of -inf becomes zeros
    return torch.cat(outputs, -1) @ w_o.T


D, H, L, S = 24, 6, 5, 7
E = D // H


def draw(num_kv_heads):
    shapes = [(D, D), (num_kv_heads * E, D), (num_kv_heads * E, D), (D, D)]
    return [torch.randn(shape, dtype=torch.float64) / 2 for shape in shapes]


one = draw(1)
x, context = torch.randn(L, D, dtype=torch.float64), torch.randn(S, D, dtype=torch.float64)
toy = attention_by_loops(x, context, one, H, 1)
print("k_proj weight", tuple(one[1].shape), "-> output", tuple(toy.shape))

# %% [markdown]
# **Predict.** Give `nn.MultiheadAttention`, which knows nothing of MQA, our one block six times over. How far
# apart are the two?


# %%
def torch_mha(weights, num_kv_heads):
    """PyTorch's own MHA, each key/value head's rows written out for the query heads that read it."""
    w_q, w_k, w_v, w_o = weights
    full = [w.view(num_kv_heads, E, D).repeat_interleave(H // num_kv_heads, 0).reshape(D, D) for w in (w_k, w_v)]
    layer = nn.MultiheadAttention(D, H, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([w_q, *full]))
        layer.out_proj.weight.copy_(w_o)
    return layer


for kv_heads in (1, 2, 3, 6):
    w = draw(kv_heads)
    want = torch_mha(w, kv_heads)(x[None], context[None], context[None], need_weights=False)[0][0]
    gap = (attention_by_loops(x, context, w, H, kv_heads) - want).abs().max().item()
    print(f"K = {kv_heads}: toy equals nn.MultiheadAttention with repeated rows: {gap < 1e-12}")
    assert gap < 1e-12

# %%
# sources B (MQA is one key/value head) and D, E (K = 1 is MQA, K = H is MHA) are right; and so through F.sdpa:
q4 = (x @ one[0].T).view(1, L, H, E).transpose(1, 2)
k4, v4 = (context @ one[1].T).view(1, 1, S, E), (context @ one[2].T).view(1, 1, S, E)
native = F.scaled_dot_product_attention(q4, k4, v4, enable_gqa=True)
expanded = F.scaled_dot_product_attention(q4, k4.expand(1, H, S, E), v4.expand(1, H, S, E))
assert torch.allclose(native, expanded, atol=1e-12)
assert torch.allclose(native[0].transpose(0, 1).reshape(L, D) @ one[3].T, toy, atol=1e-12)
for name, rows in (("loop", toy), ("enable_gqa", native[0].transpose(0, 1).reshape(L, D) @ one[3].T)):
    print(f"{name:12} {[float(f'{number:.3g}') for number in rows[0, :5].tolist()]}")

# %% [markdown]
# ## What one head can carry
#
# All that token $j$ tells other tokens passes through its keys and values, $2KE$ numbers. So
#
# $$\dim\{u:\ uW_K=0,\ uW_V=0\}\ \ge\ D-2KE\ =\ D\,(1-2K/H)$$
#
# directions of $x_j$ are **invisible** to every other token in this layer.
#
# **Predict.** Move one token a long way in such a direction. What changes in the outputs of the *other* tokens?
# How many such directions are left at $K=H/2$?


# %%
def invisible_directions(w_k, w_v):
    stacked = torch.cat([w_k, w_v])
    rank = int(torch.linalg.matrix_rank(stacked))
    return torch.linalg.svd(stacked).Vh[rank:]  # an orthonormal basis of the null space


for kv_heads in (1, 2, 3, 6):
    w = draw(kv_heads)
    basis = invisible_directions(w[1], w[2])
    assert len(basis) == max(0, D - 2 * kv_heads * E)
    line = f"K = {kv_heads}: {len(basis):2d} of {D} directions invisible"
    if len(basis):
        moved = x.clone()
        moved[2] += 100 * basis[0]
        change = attention_by_loops(moved, moved, w, H, kv_heads) - attention_by_loops(x, x, w, H, kv_heads)
        others = change[[0, 1, 3, 4]].abs().max().item()
        line += f"; other tokens unmoved: {others < 1e-10}; the token itself moved: {change[2].abs().max() > 0.1}"
        assert others < 1e-10
        assert change[2].abs().max() > 0.1
    print(line)

# %% [markdown]
# **Explain.** From $K=H/2$ on a layer *can* see everything; MQA sees 8 of 24 directions. The token itself moves
# because its query still has $D$ rows: sharing cuts what is *told*, not what is *asked*. (The residual stream and
# the next layer can turn hidden directions into visible ones, one reason why whole models lose little.)
#
# How much is lost? Let every head have the perfect map onto the previous token, let $x\sim\mathcal N(0,I_D)$, and
# ask the layer to copy. It returns $xC$, where $C=\sum_hW_V^{g(h)}W_O^h$ has rank at most $KE$, so by
# Eckart-Young
#
# $$\frac1D\,\mathbb E\|x-xC\|^2=\frac1D\|I-C\|_F^2\ \ge\ 1-\frac{KE}{D}=1-\frac KH .$$
#
# **Predict.** $H=8$. Where does training stop for $K=8,4,2,1$?

# %%
heads_, size_ = 8, 4
width_ = heads_ * size_
curves = {}
for kv_heads in (8, 4, 2, 1):
    w_v = (torch.randn(kv_heads, size_, width_) / width_**0.5).requires_grad_()
    w_o = (torch.randn(heads_, width_, size_) / width_**0.5).requires_grad_()
    adam = torch.optim.Adam([w_v, w_o], lr=0.03)
    curves[kv_heads] = []
    for _ in range(100):
        per_head = w_v.repeat_interleave(heads_ // kv_heads, 0)
        copied = torch.einsum("hde,hef->df", w_o, per_head)
        loss = (torch.eye(width_) - copied).square().sum() / width_
        adam.zero_grad()
        loss.backward()
        adam.step()
        curves[kv_heads].append(loss.item())
    floor = 1 - kv_heads / heads_
    print(f"K = {kv_heads}: error after training {curves[kv_heads][-1]:.3f}, floor 1 - K/H = {floor:.3g}")
    assert floor - 1e-5 < min(curves[kv_heads])
    assert curves[kv_heads][-1] < floor + 0.005

# %%
fig, ax = plt.subplots()
for (kv_heads, curve), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=True):
    ax.plot(curve, style, lw=2.2)
    ax.hlines(1 - kv_heads / heads_, 0, 100, color="0.6", lw=0.8)
    ax.text(102, 1 - kv_heads / heads_, f"K = {kv_heads}", va="center")
ax.set(xlabel="training step", ylabel="mean squared error per feature", ylim=(-0.03, 1.3), xlim=(0, 112))
ax.set_title("Copy the previous token: the floor is 1 - K/H")
show(fig, "Training error of copying a token, for 8, 4, 2 and 1 key/value heads; each stops at its floor 1 - K/H")

# %% [markdown]
# **Explain.** Eight heads on the right token fetch the *same* four numbers eight times: MQA keeps $1/8$ of an
# isotropic token. That is the worst case: features of real tokens are correlated. The price in practice stands
# [below](#What-the-paper-measured).

# %% [markdown]
# ## Parameters or cache
#
# One decode step reads every weight once for the whole batch (but for the input embedding, of which it gathers a row a
# token), and every cached key and value once. Per layer:
#
# | | numbers read | MHA $\to$ MQA saves |
# |---|---|---|
# | K and V weights | $2D\cdot KE$ | $2D(D-E)$ |
# | cache, $n$ tokens over all sequences | $2n\cdot KE$ | $2n(D-E)$ |
#
# The same line twice, with $D$ in place of $n$. **The key and value projections weigh exactly as much as $D$
# cached tokens**, for every $K$. The two savings are equal at $n=D$; below, the weights save more; above, the
# cache, without bound. All else that is read ($W_Q$, $W_O$, FFN, embeddings) only dilutes both.
#
# **Predict.** Llama-2-7B ($D=4096$, $H=32$, 13.2 GB to read in 16 bits) with one KV head: what is the byte saving from
# the smaller weights *alone*, at best, and from the smaller cache alone, with 32 sequences of 4096 tokens?

# %%
layers, d, n_heads, d_ff, vocab = 32, 4096, 32, 11008, 32000
e = d // n_heads
weight_bytes = 2 * (vocab * d + layers * (4 * d * d + 3 * d * d_ff + 2 * d) + d)
saved_weights = 2 * layers * 2 * d * (d - e)  # the K and V projections that go
mha_token, mqa_token = 2 * 2 * layers * d, 2 * 2 * layers * e  # cache bytes per token
assert saved_weights == d * (mha_token - mqa_token)  # D tokens' worth, to the byte


def speed_up(tokens, weights=True, cache=True):
    """MHA's bytes of one decode step over the bytes when weights, cache or both shrink."""
    after = weight_bytes - saved_weights * weights + tokens * (mqa_token if cache else mha_token)
    return (weight_bytes + tokens * mha_token) / after


print(f"weights {weight_bytes / 1e9:.1f} GB, of which MQA drops {saved_weights / 1e9:.2f} GB")
print(f"cache per token {mha_token // 1024} KiB -> {mqa_token // 1024} KiB")
print("tokens in batch   weights only   cache only   both")
for tokens in (1, 4096, 32 * 4096):
    kinds = speed_up(tokens, cache=False), speed_up(tokens, weights=False), speed_up(tokens)
    print(f"{tokens:15d}" + "".join(f"{s:12.3g}x" for s in kinds))
assert round(speed_up(0, cache=False), 2) == 1.19
assert math.isclose(speed_up(d, cache=False), speed_up(d, weights=False))
assert round(speed_up(32 * 4096, cache=False), 2) == 1.03
assert round(speed_up(32 * 4096, weights=False), 1) == 5.3

# %%
tokens = [2**i for i in range(7, 22)]

# %%
fig, ax = plt.subplots()
ax.plot(tokens, [speed_up(t) for t in tokens], lw=2.5, label="both (real MQA)")
ax.plot(tokens, [speed_up(t, weights=False) for t in tokens], "--", lw=2, label="cache only")
ax.plot(tokens, [speed_up(t, cache=False) for t in tokens], ":", lw=2.5, label="K/V weights only")
ax.axvline(d, color="0.6", lw=0.8)
ax.text(d * 1.12, 30, "n = D = 4096:\nboth save the same", va="top")
ax.plot([d, 32 * 4096], [speed_up(d, cache=False), speed_up(32 * 4096)], "o", color="black")
ax.annotate("32 sequences x 4096", (32 * 4096, speed_up(32 * 4096)), xytext=(1.6e5, 3.6))
ax.set_xscale("log", base=2)
ax.set_yscale("log", base=2)
ax.set_yticks([1, 2, 4, 8, 16, 32], ["1x", "2x", "4x", "8x", "16x", "32x"])
ax.set(xlabel="cached tokens in the whole batch", ylabel="MHA bytes / bytes left", ylim=(0.93, 36))
ax.set_title("Llama-2-7B, one decode step: where the saving comes from")
ax.legend(loc="upper left")
show(
    fig,
    "Byte saving against cached tokens: weights alone at most 1.19x and fading, cache alone growing towards 32x",
)

# %% [markdown]
# **Explain.** Source E credits the speed to the smaller K and V matrices. They alone give at most 1.19x, and
# 1.03x with a full batch, where the cache alone gives 5.3x. E is right only where it hardly matters: with fewer
# than $D$ cached tokens in all. (Time follows bytes only in a memory-bound step. Is it one?)

# %% [markdown]
# ## Arithmetic intensity
#
# $L$ new queries over $t$ cached tokens: two products of $2LtE$ FLOPs in each head, and $2tKE$ numbers of $b$
# bytes, read once:
#
# $$I=\frac{4LtEH}{2tKEb}=\frac{2LH}{Kb}\quad\xrightarrow{\ b=2,\ L=1\ }\quad I=\frac HK\ \text{FLOP per byte}.$$
#
# Neither $t$ nor the batch is in it: each sequence brings its own cache. MHA multiplies $H$ different matrices by one
# vector each; MQA multiplies *one* matrix by $H$ vectors. A GPU needs about 153 FLOP per byte (A100 80 GB: 312
# TFLOP/s over 2.04 TB/s) or 295 (H100: 989 over 3.35) before arithmetic is the limit. (Only keys and values are
# counted: right while $LH\ll tK$, as in decoding. [In prefill](gqa_kv_cache.ipynb#Experiment-2---FLOPs-or-bytes)
# queries and outputs are bytes too. An FP8 cache, $b=1$, doubles $I$.)
#
# **Predict.** Is Llama-2-70B ($H=64$) compute-bound in decoding as MHA, with $K=8$, as MQA? How many rows at once
# (speculative decoding) would make it so?


# %%
def step_cost(num_heads, num_kv_heads, size, rows, cached, bytes_per_number=2):
    """FLOPs counted by PyTorch and bytes of cache read; meta tensors: shapes only, nothing is computed."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        queries = torch.empty(rows, num_kv_heads, num_heads // num_kv_heads, size)
        keys, values = torch.empty(2, cached, num_kv_heads, size)
        scores = torch.einsum("lgre,sge->grls", queries, keys)
        torch.einsum("grls,sge->lgre", scores, values)
    return counter.get_total_flops(), (keys.numel() + values.numel()) * bytes_per_number


a100, h100 = 312e12 / 2.04e12, 989e12 / 3.35e12
for name, kv_heads in (("MHA", 64), ("GQA-8", 8), ("MQA", 1)):
    flops, read = step_cost(64, kv_heads, 128, 1, 4096)
    intensity = flops / read
    rows_needed = math.ceil(h100 / intensity)
    print(f"{name:6s}{flops:>12,} FLOPs {read:>12,} bytes: {intensity:3.0f} FLOP/byte, H100 needs {rows_needed} rows")
    assert intensity == 64 / kv_heads < a100 < h100
    assert step_cost(64, kv_heads, 128, 5, 4096)[0] == 5 * flops
    assert (rows_needed, kv_heads) in {(296, 64), (37, 8), (5, 1)}

# %% [markdown]
# **Explain.** The FLOPs are the same in all three: MQA skips *reading*. Even at 64 FLOP per byte one-token
# decoding is memory-bound, so its time follows the bytes. Five speculative rows bring MQA to the limit of an
# H100; MHA would need 296. Prefill has thousands of rows: compute-bound anyway, so sharing buys little.

# %% tags=["nbval-ignore-output"]
batch, cached, size = 2, 2048, 128
query = torch.randn(batch, 32, size)
print("one decode step on this CPU, float32, 32 query heads, 2 x 2048 cached tokens; best of 5")
for kv_heads in (32, 8, 1):
    keys, values = torch.randn(2, batch, kv_heads, cached, size)
    grouped = query.view(batch, kv_heads, 32 // kv_heads, size)
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        scores = torch.einsum("bgre,bgse->bgrs", grouped, keys) / math.sqrt(size)
        torch.einsum("bgrs,bgse->bgre", scores.softmax(-1), values)
        best = min(best, time.perf_counter() - start)
    print(f"K = {kv_heads:2d}: {2 * keys.nbytes / 2**20:5.0f} MiB of cache read, {best * 1e3:6.2f} ms")

# %% [markdown]
# ## What the paper measured
#
# Shazeer (2019, arXiv 1911.02150) compared encoder-decoders of 6 + 6 layers, $D=1024$, $H=8$, on WMT14 EN-DE. His
# MQA model has its FFN *widened from 4096 to 5440* to keep the parameters equal: the parameter story, put to the
# test.
#
# **Predict.** Check 5440: how many weights does MQA free in one encoder and one decoder layer (three attentions,
# two FFNs)?

# %%
freed = 3 * 2 * (1024 * 1024 - 1024 * 128)  # self, self, cross; K and V
extra = 2 * 2 * 1024 * (5440 - 4096)  # two FFNs of two matrices
print(f"freed {freed:,}, spent on the FFNs {extra:,}")
assert freed == extra == 5_505_024

paper = {  # MHA, MQA; microseconds are per output token on TPUv2
    "dev ln perplexity": (1.424, 1.439),
    "test BLEU, beam 1": (27.7, 27.5),
    "test BLEU, beam 4": (28.4, 28.5),
    "training, us per token": (13.2, 13.0),
    "decoder, us per token": (46.0, 3.8),
    "beam-4 decoder, us per token": (203.0, 32.0),
}
for what, (mha, mqa) in paper.items():
    ratio = f"   {mha / mqa:4.3g} times" if "us per" in what else ""
    print(f"{what:29s} MHA {mha:5.3g}   MQA {mqa:5.3g}{ratio}")
assert round(46 / 3.8) == 12
assert round(203 / 32, 1) == 6.3
assert round(100 * (math.exp(1.439 - 1.424) - 1), 1) == 1.5  # per cent of perplexity

# %% [markdown]
# **Explain.** Equal to the last weight, and the decoder is still 12 times as fast: parameters cannot be the
# cause. Training hardly moves, as the intensity says. Perplexity rises 1.5%; BLEU falls 0.2 with beam 1 and
# *rises* 0.1 with beam 4, so "quality falls" is true, and small. One caution: cache bytes fall by $H=8$, not 12,
# so bytes are not all of it. The paper does not say what the rest is; a likely part is that $H$ rows fill a
# matrix unit that one row leaves idle.
#
# The GQA paper (2305.13245) is less kind: MQA "can lead to quality degradation and training instability", 0.6 points
# on T5 XXL against 0.1 for eight groups, and models that were trained as MQA from the start were unstable on long
# inputs (its appendix A). Models that do use MQA: PaLM (2204.02311), Falcon-7B (2311.16867), StarCoder (2305.06161),
# Gemma-2B (2403.08295), most of them small or of 2022 to 2024.

# %% [markdown]
# ## Several GPUs
#
# Tensor parallelism (Megatron-LM, 1909.08053) deals the *heads* out to GPUs: $W_Q$, $W_K$ and $W_V$ by columns, $W_O$
# by rows, so that each GPU has a part of the sum $\sum_hA_hXW_V^hW_O^h$ and the parts are added once. A single KV head
# cannot be dealt, so every GPU keeps a copy of it: the cache on each GPU goes with $\max(K/\text{GPUs},1)$.
#
# **Predict.** Llama-2-70B (80 layers, $E=128$) on 8 GPUs: how much would MQA save over its real 8 KV heads?


# %%
def kib_per_gpu(kv_heads, gpus, n_layers=80, size=128):
    return 2 * n_layers * max(kv_heads // gpus, 1) * size * 2 / 1024


gpus = [1, 2, 4, 8, 16]
table = {name: [kib_per_gpu(g, t) for t in gpus] for name, g in (("MHA (K = 64)", 64), ("GQA-8", 8), ("MQA", 1))}
for name, row in table.items():
    print(f"{name:13s}", *(f"{kib:6.0f}" for kib in row), "KiB per token on each of", gpus, "GPUs")
assert table["GQA-8"][0] == 320
assert table["MHA (K = 64)"][0] == 2560
assert table["GQA-8"][3] == table["MQA"][3] == 40  # no saving left at 8
print(f"sums over GPUs in a step: {2 * 80} (after each W_O and each feed-forward layer) of {8192 * 2:,} bytes a token")

# %%
fig, ax = plt.subplots()
for (name, row), style in zip(table.items(), ("o-", "s--", "^:"), strict=True):
    ax.plot(gpus, row, style, lw=2, label=name)
ax.set_xscale("log", base=2)
ax.set_yscale("log", base=2)
ax.set_xticks(gpus, gpus)
ax.set_yticks([40, 160, 640, 2560], ["40", "160", "640", "2560"])
ax.set(xlabel="GPUs that share one model", ylabel="KiB of cache per token and GPU")
ax.set_title("Llama-2-70B: with 8 GPUs, GQA-8 costs what MQA costs")
ax.legend()
show(fig, "Cache per token and GPU against GPUs: MQA is flat at 40 KiB, GQA-8 falls to the same 40 KiB at 8 GPUs")

# %% [markdown]
# **Explain.** Nothing: each GPU holds one KV head either way, and GQA-8's are eight *different* heads. That is one
# argument for 8, and the reason to ask about hardware before you answer "MQA". It is not the only one: Llama-3-8B
# fits on one card and has 8, and the [GQA table](gqa.ipynb#What-the-paper-measured) has the other reason. (One can
# also split an MQA cache along the batch, as Pope et al. did for PaLM, 2211.05102, or along the tokens, and merge as
# the [online softmax](sdpa.ipynb#Online-softmax) does.)

# %% [markdown]
# ## Latent attention
#
# Multi-head latent attention (MLA; DeepSeek-V2, 2405.04434) stores one vector $c_j$ of 512 numbers for each token, from
# which each head makes keys and values of its own, $k_j^h=c_jW_{UK}^h$ and $v_j^h=c_jW_{UV}^h$, and one rotary key of
# 64 that all heads share. Since $q\,(cW_{UK})^\top=(qW_{UK}^\top)\,c^\top$, the matrices can be **absorbed** into
# queries and output, and then decoding *is* MQA with heads 576 wide: 128 query heads read one shared vector. MLA stores
# as little as MQA, and yet each head has keys and values of its own. The rotary key is apart because a rotation between
# the two matrices would depend on the distance, and nothing could be absorbed. (One vector cannot be dealt out to GPUs
# either: DeepSeek-V3 deals out *sequences*, 4 GPUs for the heads of each; 2412.19437, section 3.4.)
#
# **Predict.** How many bytes a token does DeepSeek-V3 (61 layers) store in 16 bits, and is that more or less than
# Llama-3-8B?

# %%
# checks: mla, cache-at-4096, tensor-parallel
latent, rotary, mla_layers = 512, 64, 61
per_token = {
    "Llama-2-7B, MHA": 2 * 32 * 32 * 128 * 2,
    "Llama-3-8B, GQA-8": 2 * 32 * 8 * 128 * 2,
    "Llama-3-8B if MQA": 2 * 32 * 1 * 128 * 2,
    "DeepSeek-V3, MLA": mla_layers * (latent + rotary) * 2,
}
for name, size in per_token.items():
    print(f"{name:18} {size:>8,} bytes a token")
assert per_token["DeepSeek-V3, MLA"] == 61 * (512 + 64) * 2 == 70_272
assert (512 + 64) / (2 * 128) == 576 / 256 == 2.25
mla_flops = 2 * 128 * (latent + rotary) + 2 * 128 * latent  # absorbed: 128 heads read one vector
assert round(mla_flops / (2 * (latent + rotary))) == 242
assert (kib_per_gpu(1, 8), 8 * kib_per_gpu(1, 8)) == (40, 320)

# %% [markdown]
# ## Break it
#
# In MQA the key has *lost* an axis, and broadcasting is glad to invent one. Probes instead of noise: give the
# values of sequence $b$ the number $b$, and the output says whose sequence was read; number the queries by their
# token, and the tensor says where each went.

# %%
B, heads_, rows_, size_ = 4, 4, 5, 2  # as many sequences as heads: the collision that hides the mistake
q4 = torch.randn(B, heads_, rows_, size_)
k3 = torch.randn(B, rows_, size_)
sequence_number = torch.arange(B).float().view(B, 1, 1).expand(B, rows_, size_)

weights = torch.softmax(q4 @ k3.unsqueeze(1).mT, -1)  # (B, H, L, S): the head axis put in by hand
read_right = (weights @ sequence_number.unsqueeze(1))[:, :, 0, 0]
read_wrong = (torch.softmax(q4 @ k3.mT, -1) @ sequence_number)[:, :, 0, 0]  # no head axis on k and v

tokens = torch.arange(rows_).float().view(1, rows_, 1).expand(1, rows_, heads_ * size_)  # features = token number
place_right = tokens.view(1, rows_, heads_, size_).transpose(1, 2)[0, :, :, 0]
place_wrong = tokens.reshape(1, heads_, rows_, size_)[0, :, :, 0]

assert torch.allclose(read_right, torch.arange(4.0).view(4, 1).expand(4, 4))  # head h of b reads b
assert torch.allclose(read_wrong, torch.arange(4.0).view(1, 4).expand(4, 4))  # head h of b reads h
assert (place_wrong != place_right).sum() == 16

# %%
fig, axes = plt.subplots(1, 4, figsize=(10, 2.7))
panels = [
    (read_right, "right: sequence read", "head", "sequence"),
    (read_wrong, "batch as heads", "head", "sequence"),
    (place_right, "right: token at (h, l)", "position", "head"),
    (place_wrong, "split without transpose", "position", "head"),
]
for ax, (grid, title, xlabel, ylabel) in zip(axes, panels, strict=True):
    grid = grid.round().int()
    ax.imshow(grid, cmap="cividis", vmin=0, vmax=4)
    for (i, j), number in ((divmod(n, grid.size(1)), int(m)) for n, m in enumerate(grid.flatten())):
        ax.text(j, i, number, ha="center", va="center", color="white" if number < 2 else "black")
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel, xticks=range(grid.size(1)), yticks=range(grid.size(0)))
    ax.spines[:].set_visible(False)
fig.tight_layout()
show(
    fig,
    "Grids of what each head reads: right, beside batch-as-heads (columns, not rows) and split-without-transpose",
)

# %% [markdown]
# ### Batch as heads
#
# `k` is (B, S, E) and `q` is (B, H, L, E): a matmul lines the *batch* of `k` up with the *heads* of `q`. Right by
# luck when B = 1, a crash when B differs from H, silent when B = H: head $h$ of every sequence answers from
# sequence $h$, somebody else's text. A (B, L, S) mask without a head axis does the same
# (*batch-mask-read-as-heads*).

# %%
silent, crashes = [], []
for batch in (1, 2, 4):
    try:
        out = torch.randn(batch, 4, rows_, size_) @ torch.randn(batch, rows_, size_).mT
        silent.append(batch)
        assert out.shape == (batch, 4, rows_, rows_)
    except RuntimeError:
        crashes.append(batch)
print("4 heads; right shape, no error at B =", silent, "; RuntimeError at B =", crashes)
assert silent == [1, 4]
assert crashes == [2]

# %% [markdown]
# ### Split without transpose
#
# `reshape(B, H, L, E)` of (B, L, H E) alone. The shape agrees, and 16 of 20 queries stand at the wrong place.
# Symptom: under a causal mask, early rows change when late tokens change.
#
# ### First query of group for all
#
# One map for all heads. Sharing K and V is not sharing weights, whatever source D says. Symptom: all heads give
# the same output.
#
# ### Group queries summed
#
# An einsum whose result lacks the head letter (`"bhle,bse->bls"`) adds the queries up. Symptom: one map, too
# sharp (the sum of $H$ independent scores spreads $\sqrt H$ times as wide).
#
# ### Scale d_model
#
# $1/\sqrt D$ for $1/\sqrt E$: scores $\sqrt H$ times too small. Symptom: the right pattern, washed out.

# %%
torch.manual_seed(3)
H_, E_, S_ = 8, 16, 10
q_last, keys = 1.5 * torch.randn(H_, E_), torch.randn(S_, E_)  # one token asks through 8 heads; one key head
scores = q_last @ keys.T / math.sqrt(E_)
maps = {
    "right": scores.softmax(-1),
    "first query for all": scores[:1].softmax(-1).expand(H_, S_),
    "group queries summed": torch.einsum("he,se->s", q_last, keys).div(math.sqrt(E_)).softmax(-1).view(1, S_),
    "scale d_model": (scores / math.sqrt(H_)).softmax(-1),
}
peak = {name: m.max(-1).values.mean().item() for name, m in maps.items()}
print("mean largest weight:", {name: float(f"{p:.2g}") for name, p in peak.items()})
assert peak["group queries summed"] > 1.5 * peak["right"] > 2 * peak["scale d_model"]
assert maps["first query for all"].unique(dim=0).size(0) == 1
assert maps["right"].argmax(-1).equal(maps["scale d_model"].argmax(-1))

# %%
fig, axes = plt.subplots(1, 4, figsize=(10, 2.6), constrained_layout=True)
for ax, (name, m) in zip(axes, maps.items(), strict=True):
    image = ax.imshow(m, cmap="cividis", vmin=0, vmax=0.8, aspect="auto")
    ax.set(title=name, xlabel="key", xticks=range(0, S_, 3), yticks=range(len(m)))
    ax.spines[:].set_visible(False)
axes[0].set_ylabel("query head")
fig.colorbar(image, ax=axes, label="attention weight")
show(
    fig,
    "Attention of one token, heads by keys: eight different rows when right; equal, single or washed out when not",
)

# %% [markdown]
# ### Parameters
#
# *kv-projections-full-width*: `Linear(D, D)` for keys and values is MHA again; every number may look fine, and
# nothing is saved. *all-projections-of-one-head*: `q_proj` narrow too, and one head is left.
#
# ### Cache expanded
#
# `repeat_interleave` before the cache keeps every number right and gives the whole saving back. `expand` is a
# view:

# %%
cached = torch.randn(1, 1, 512, 128, dtype=torch.bfloat16)
as_view, as_copy = cached.expand(1, 32, 512, 128), cached.repeat_interleave(32, 1)
held = [t.untyped_storage().nbytes() for t in (cached, as_view, as_copy)]
print("bytes held: one head {:,}, expand {:,}, repeat_interleave {:,}".format(*held))
assert held == [131_072, 131_072, 4_194_304]
assert torch.equal(as_view, as_copy)

# %% [markdown]
# ## Edge cases

# %%
w = draw(1)
# one query head: MQA, GQA and MHA are one thing
single = [torch.randn(D, D, dtype=torch.float64) for _ in range(4)]
lone = F.scaled_dot_product_attention(x @ single[0].T, context @ single[1].T, context @ single[2].T) @ single[3].T
assert torch.allclose(attention_by_loops(x, context, single, 1, 1), lone)

# one key: whatever the queries are, every head returns that value
one_key = attention_by_loops(x, context[:1], w, H, 1)
assert torch.allclose(one_key, ((context[:1] @ w[2].T).repeat(1, H) @ w[3].T).expand(L, D))

# a query that may attend to nothing gives zeros before o_proj, in F.sdpa too: after it, o_proj's bias remains
allowed = torch.ones(L, S, dtype=torch.bool)
allowed[1] = False
q4 = (x @ w[0].T).view(1, L, H, E).transpose(1, 2)
k4, v4 = (context @ w[1].T).view(1, 1, S, E), (context @ w[2].T).view(1, 1, S, E)
dead = F.scaled_dot_product_attention(q4, k4, v4, attn_mask=allowed, enable_gqa=True)
assert dead[0, :, 1].eq(0).all()
assert attention_by_loops(x, context, w, H, 1, allowed)[1].eq(0).all()

# queries still have heads, so a mask per head is legal: hide a different key from each
per_head = torch.ones(1, H, L, S, dtype=torch.bool)
per_head[0, range(H), :, range(H)] = False
masked = F.scaled_dot_product_attention(q4, k4, v4, attn_mask=per_head, enable_gqa=True)
assert not torch.allclose(masked, F.scaled_dot_product_attention(q4, k4, v4, enable_gqa=True))

# with one KV head, tiling and repeating in place agree: a test with K = 1 cannot see the GQA mistake
assert torch.equal(k4.repeat(1, H, 1, 1), k4.repeat_interleave(H, 1))
k2 = torch.randn(1, 2, S, E)
assert not torch.equal(k2.repeat(1, 3, 1, 1), k2.repeat_interleave(3, 1))
print("5 edge cases hold")

# %% [markdown]
# ## What it costs
#
# Per layer $2D^2+2KDE$ weights ($D^2(2+2/H)$ for MQA), $4ND^2+4NDKE+4N^2D$ FLOPs for $N$ tokens, and
# $2Kn_\text{layers}E\,b$ cache bytes per token. A source counts $4D^2$ for every form; that is MHA only.


# %%
def layer_flops(width, num_heads, num_kv_heads, tokens):
    """FLOPs of one attention layer over a whole sequence, counted on meta tensors (no causal skipping)."""
    size = width // num_heads
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        x, square, narrow = (
            torch.empty(tokens, width),
            torch.empty(width, width),
            torch.empty(width, num_kv_heads * size),
        )
        x @ square, x @ narrow, x @ narrow, x @ square
    return counter.get_total_flops() + step_cost(num_heads, num_kv_heads, size, tokens, tokens)[0]


models = {  # layers, width, query heads, KV heads as built
    "Llama-2-7B": (32, 4096, 32, 32),
    "Llama-2-70B": (80, 8192, 64, 8),
    "Llama-3-8B": (32, 4096, 32, 8),
    "Qwen2-7B": (28, 3584, 28, 4),
}
cost = {}
print(f"{'':18s}{'weights/layer':>14s}{'TFLOP, N=4096':>14s}{'KiB/token':>10s}{'GiB at 4096':>12s}{'FLOP/byte':>10s}")
for model, (n_layers, width, n_heads, built) in models.items():
    size = width // n_heads
    for kv_heads in dict.fromkeys((n_heads, built, 1)):
        weights = 2 * width * width + 2 * width * kv_heads * size
        flops = layer_flops(width, n_heads, kv_heads, 4096)
        assert flops == 2 * 4096 * weights + 4 * 4096**2 * width
        per_token = 2 * n_layers * kv_heads * size * 2
        cost[model, kv_heads] = weights, flops, per_token
        name = f"{model} K={kv_heads}" if kv_heads == n_heads else f"{'':11s} K={kv_heads}"
        gib = per_token * 4096 / 2**30
        size_columns = f"{per_token / 1024:>10.0f}{gib:>12.3g}{n_heads // kv_heads:>10d}"
        print(f"{name:18s}{weights:>14,}{flops / 1e12:>14.3g}{size_columns}")
assert cost["Llama-2-7B", 1][2] == 16 * 1024
assert cost["Llama-2-70B", 1][0] == 136_314_880
assert cost["Llama-3-8B", 1][0] == 34_603_008
assert cost["Qwen2-7B", 1][0] == 26_607_616
assert layer_flops(512, 8, 8, 512) == 1_610_612_736
assert layer_flops(512, 8, 1, 512) == 1_140_850_688

# %% [markdown]
# One KV head takes 97% off the cache of Llama-2-7B, but only 48% off the attention weights and 32% off the FLOPs of
# the *attention layers* in a prefill of 4,096 tokens. The model has feed-forward layers too: 13.8% of the blocks'
# FLOPs, of work that is compute-bound anyway.

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %%
# checks: what-is-shared, mqa-relation, cache-at-4096, batch-collision
assert nn.Linear(4096, 4096 // 32).weight.shape == (128, 4096)
assert k[:, 0].tolist() == [0, math.log(2), math.log(4)]
assert v[:, 0].tolist() == [7, 0, 14]
assert [round(o) for o in (hand @ v)[:, 0].tolist()] == [9, 7, 6]
one_head = torch_mha(one, 1)(x[None], context[None], context[None], need_weights=False)[0][0]
assert torch.allclose(one_head, toy, rtol=0, atol=1e-12)
assert cost["Llama-2-7B", 32][2] * 4096 == 2 * 2**30
assert cost["Llama-2-7B", 1][2] * 4096 == 64 * 2**20
assert cost["Llama-2-70B", 8][2] * 4096 == 1.25 * 2**30
assert cost["Llama-2-70B", 1][2] * 4096 == 160 * 2**20
assert (silent, crashes) == ([1, 4], [2])

# %%
# checks: parameters-or-cache, mqa-flops, mqa-roofline
assert 80 * 10**9 == 80e9
assert d == 4096
assert saved_weights == 4096 * (mha_token - mqa_token)
ratios = [speed_up(32 * 4096, cache=False), speed_up(32 * 4096, weights=False), speed_up(32 * 4096)]
assert [f"{r:.3g}" for r in ratios] == ["1.03", "5.33", "6.17"]
assert f"{speed_up(0, cache=False):.3g}" == "1.19"
assert 2 * 32 * 4096 // (2 * 32 * 4096 // 8) == 8
assert round(46 / 3.8) == 12
assert freed == extra == 3 * 2 * (1024**2 - 1024 * 128) == 4 * 1024 * (5440 - 4096)
before, after = (layer_flops(512, 8, kv_heads, 512) for kv_heads in (8, 1))
assert (before, after) == (1_610_612_736, 1_140_850_688)
assert round(100 * (1 - after / before)) == 29
ffn_flops = 2 * 4096 * 3 * 4096 * 11_008  # of a layer over 4,096 tokens
dense, shared = (cost["Llama-2-7B", kv_heads][1] for kv_heads in (32, 1))
assert round(100 * (1 - shared / dense)) == 32
assert round(100 * (dense - shared) / (dense + ffn_flops), 1) == 13.8
assert (64 // 64, 64 // 1) == (1, 64)
assert (round(a100), round(h100)) == (round(312 / 2.04), 295) == (153, 295)
assert math.ceil(h100 / 64) == 5
assert math.ceil(h100 / 1) == 296

# %%
# checks: what-is-lost, why-8, convert-to-mqa
assert (round(47.2 - 47.1, 1), round(47.2 - 46.6, 1)) == (0.1, 0.6)  # the GQA paper's table 1
assert 5 / 100 == 0.05
assert 2 * 4096 // 32 == 256
assert 1 - 1 / 8 == 0.875
assert paper["test BLEU, beam 1"] == (27.7, 27.5)
assert paper["test BLEU, beam 4"] == (28.4, 28.5)
assert f"{100 * math.expm1(1.439 - 1.424):.1f}" == "1.5"
assert [kib_per_gpu(g, 8) for g in (64, 8, 1)] == [320, 40, 40]

heads = torch.randn(32, 128, 256)  # 32 independent heads' key rows
norm = heads.square().sum()
mean_error = ((heads - heads.mean(0)).square().sum() / norm).item()
first_error = ((heads - heads[0]).square().sum() / norm).item()
print(f"one key head for 32, relative squared error: mean {mean_error:.2f}, head 0 {first_error:.2f}")
assert (round(mean_error, 2), round(first_error, 2)) == (0.97, 1.94)

# the sentence under the cost table
assert round(100 * (1 - cost["Llama-2-7B", 1][2] / cost["Llama-2-7B", 32][2])) == 97
assert round(100 * (1 - cost["Llama-2-7B", 1][0] / cost["Llama-2-7B", 32][0])) == 48
assert round(100 * (1 - cost["Llama-2-7B", 1][1] / cost["Llama-2-7B", 32][1])) == 32

# %% [markdown]
# ## Exercises
#
# **1.** Plot or compute the byte saving of Llama-2-70B from GQA-8 to MQA. At how many cached tokens do weights and
# cache save the same?
#
# <details><summary>Solution</summary>
#
# Again at $n=D=8192$: weights save $2D(K-1)E$ numbers a layer, the cache $2n(K-1)E$. Why it must be so: the key and
# value projections weigh what D cached tokens weigh, for *every* K.
#
# </details>
#
# **2.** Give the copy experiment correlated tokens, of rank 8 in 32 features. Where is the floor for K = 1 with E = 4?
#
# <details><summary>Solution</summary>
#
# $C$ of rank $KE=4$ has to reproduce a covariance with 8 nonzero eigenvalues: by Eckart-Young the four largest are
# kept. If they are equal, half of the variance is lost instead of 7/8; if they fall off, less.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Aim at 15 minutes with the page above out of sight.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Shazeer 2019 (1911.02150), four pages. Pope et al. 2022 (2211.05102), section 3.3. DeepSeek-V2
# 2024 (2405.04434), section 2.1. And back: every result of [grouped-query attention](gqa.ipynb) at K = 1.
