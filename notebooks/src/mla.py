# %% [markdown]
# # Multi-head latent attention
#
# <!-- badge -->
#
# DeepSeek keeps one narrow vector of a token, and 128 heads make their keys and values of it.
# **After this notebook you can** say what is cached and how large it is, derive why the position has features of its
# own, absorb a projection into the queries, and say from how many queries on that does not pay.
#
# Short of time? 4 minutes: [Rope and the latent](#Rope-and-the-latent), [Absorbed](#Absorbed), and then the questions.
#
# Reading time: 11 minutes. Kata: `python grader.py check mla`

# %% tags=["setup"]
# build.py puts the set-up here

# %%
import io
import math
import textwrap

import matplotlib.pyplot as plt
import PIL.Image
import torch
from IPython.display import Image, display

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
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
# > *Write DeepSeek's attention with its cache. What is in the cache, and why is the position not in the latent? Then
# > decode without ever making a key.*
#
# The letters: H heads, E features of a head, $E_r$ of its rotated part, R of a latent, S tokens.

# %% [markdown]
# ## What is cached
#
# A cache of multi-head attention holds $2HE$ numbers for each token and layer, one of H heads in groups $2KE$. MLA
# projects a token **down** to a latent $c$ of R numbers, and every head makes its own key and value of it when it
# reads: $k^h = W^h_{UK}\,c$ and $v^h = W^h_{UV}\,c$. Beside it stands one key $r$ of $E_r$ numbers for the position,
# which all heads share. So the cache is $R + E_r$ numbers a token.
#
# **Predict.** DeepSeek-V3 has 61 layers, 128 heads of 128 + 64 features and latents of 512. Does it keep more of a
# token than Llama-3-8B, with 32 layers and 8 key/value heads of 128?


# %%
def kib(layers, numbers):
    """KiB of a token, in 16 bits a number."""
    return layers * numbers * 2 / 1024


stored = {
    "DeepSeek-V3, latents": kib(61, 512 + 64),
    "Llama-3-8B": kib(32, 2 * 8 * 128),
    "Llama-3-405B": kib(126, 2 * 8 * 128),
    "DeepSeek-V3, a rope key per head": kib(61, 512 + 128 * 64),
    "DeepSeek-V3, expanded": kib(61, 128 * (128 + 64) + 128 * 128),
}
for name, size in stored.items():
    print(f"{name:33} {round(size, 1):>8,} KiB a token")
assert round(stored["DeepSeek-V3, latents"], 1) == 68.6
assert stored["DeepSeek-V3, expanded"] / stored["DeepSeek-V3, latents"] > 71

# %%
fig, ax = plt.subplots()
ax.barh(list(stored), list(stored.values()), color=[OKABE_ITO[i] for i in (0, 2, 2, 1, 3)])
ax.invert_yaxis()
ax.set(xscale="log", xlabel="cache of a token [KiB]")
show(
    fig,
    "The cache of one token in 16 bits. Blue: what DeepSeek-V3 keeps. Orange and red: what it would keep otherwise.",
)

# %% [markdown]
# Two ways to lose it again, both with the right output: to cache the expanded keys and values, and to give each head
# a rope key of its own, which alone is sixteen times as wide as the latent.
#
# <details><summary>What the grader names here</summary>
#
# `expanded-keys-cached`, `rope-key-cached-per-head`, `rope-key-cached-with-an-axis`, `latent-cache-in-one-tensor`,
# `latent-cache-in-other-order`, `latent-cache-not-returned`, `latent-cache-returned-first`, `three-in-the-cache`,
# `latent-cache-ignored`, `new-latents-first`, `only-new-latents-handed-out`, `latent-cache-not-extended`,
# `latent-cache-not-attended`, `latent-cache-on-self`, `latent-cache-changed-in-place`, `up-weights-kept`.
#
# </details>

# %% [markdown]
# ## Two parts
#
# Three projections give two things at once: `q_proj` a plain part and a rope part for each head, `kv_a_proj` the
# latent and the rope key, `kv_b_proj` key and value for each head. Which comes first, and whether the cut is made
# inside a head or across all heads, is a convention, and a wrong cut has the right shape.
#
# **Predict.** You split `kv_a_proj` with the rope key first. Does a model that you train from scratch notice?

# %%
down = torch.randn(6 + 2, 10)  # R = 6, Er = 2, D = 10
x = torch.randn(5, 10)
latent, rope_key = (x @ down.T).split([6, 2], dim=-1)
swapped = torch.cat([down[6:], down[:6]])  # what training would have learned instead
key_first, then_latent = (x @ swapped.T).split([2, 6], dim=-1)
of_others = (x @ down.T).split([2, 6], dim=-1)[1]
unnoticed = max((then_latent - latent).abs().max().item(), (key_first - rope_key).abs().max().item())
noticed = (of_others - latent).abs().max().item()
assert unnoticed < 1e-12
assert noticed > 0.1
print(f"rows exchanged as well: moved by less than 1e-12    weights of others: moved by {noticed:.1f}")

# %% [markdown]
# It does not, and that is why a test needs weights that come from elsewhere.
#
# <details><summary>What the grader names here</summary>
#
# `latent-and-rope-key-exchanged`, `query-parts-exchanged`, `up-parts-exchanged`, `up-keys-as-values`,
# `query-split-without-transpose`, `query-parts-of-all-heads`, `up-parts-of-all-heads`,
# `up-weight-reshaped`, `rope-part-left-out`, `plain-part-left-out`, `latent-normalised`.
#
# </details>

# %% [markdown]
# ## Rope and the latent
#
# Rotated keys would be $R_n W c$, and a score $q^\top R_{m}^\top R_n W c = (W^\top R_{m-n}\, q)^\top c$: the matrix
# between query and latent depends on the distance $m - n$. Without a rotation it is $W$ for all tokens.
#
# **Predict.** A head has 8 features. Over 12 distances, how many different matrices are $W^\top R_d$? How many of
# them are linearly independent?


# %%
def rotation(distance, features=8, base=100.0):
    """The matrix that turns features i and i + features/2 by the angle of pair i; a small base, so that all turn."""
    half, matrix = features // 2, torch.zeros(features, features)
    for i in range(half):
        angle = distance * base ** (-i / half)
        matrix[i, i] = matrix[i + half, i + half] = math.cos(angle)
        matrix[i + half, i], matrix[i, i + half] = math.sin(angle), -math.sin(angle)
    return matrix


W = torch.randn(8, 20)
between = torch.stack([(W.T @ rotation(d)).flatten() for d in range(12)])
rank = int((torch.linalg.svdvals(between / between.norm()) > 1e-9).sum())
plain_rank = int((torch.linalg.svdvals(W.T.flatten().expand(12, -1)) > 1e-9).sum())
print("distances", len(between), "  rotated: dimensions", rank, "  plain:", plain_rank)
assert (rank, plain_rank) == (8, 1)

# %% [markdown]
# With a rotation in between, one absorbed matrix is wrong for all distances but one:

# %%
query, latents = torch.randn(8), torch.randn(400, 20)
far = torch.arange(0, 33)
off = []
for distance in far.tolist():
    exact = latents @ (W.T @ rotation(distance) @ query)
    off.append(((latents @ (W.T @ query) - exact).norm() / exact.norm()).item())
print("error at distance 0 and 1:", f"{off[0]:.1f}", f"{off[1]:.1f}")
assert off[0] < 1e-12
assert off[1] > 0.1

# %%
fig, ax = plt.subplots()
ax.plot(far, off, marker="o", markersize=3)
ax.set(xlabel="distance of query and key [tokens]", ylabel="relative error of the scores")
show(fig, "The error of scores where keys are rotated and one matrix is absorbed for all distances: none at 0 alone.")

# %% [markdown]
# So the position goes into $E_r$ features of its own, of each query and of one key: these are rotated, cached as they
# are, and compared as in MQA. The two scores are added. The latent itself is never rotated, for it is the value, too.
#
# <details><summary>What the grader names here</summary>
#
# `latent-rotated`, `plain-part-rotated-too`, `rope-part-not-rotated`, `rope-query-not-rotated`,
# `rope-key-not-rotated`, `rope-key-rotated-when-read`, `cached-rope-key-rotated-again`, `rope-heads-as-positions`,
# `rope-pairs-of-neighbours`, `rope-exponent-halved`, `rope-exponent-doubled`, `rope-exponent-of-head-dim`,
# `rope-angles-in-float32`.
#
# </details>

# %% [markdown]
# ## Absorbed
#
# $$q^\top (W_{UK}\, c) = (W_{UK}^\top q)^\top c \qquad \sum_j a_j\, (W_{UV}\, c_j) = W_{UV} \sum_j a_j\, c_j .$$
#
# On the left a key, and a value, is made of each cached token, for each head. On the right a query is made as wide as
# a latent, once, and a sum of latents is brought down to a value, once.
#
# **Predict.** Do both sides give the same numbers, to the last digit?

# %%
heads, E, R, S = 3, 4, 6, 9
up_key, up_value = torch.randn(heads, E, R), torch.randn(heads, E, R)
queries, cached = torch.randn(heads, E), torch.randn(S, R)
expanded, absorbed = [], []
for h in range(heads):
    keys, values = cached @ up_key[h].T, cached @ up_value[h].T
    expanded.append(torch.softmax(keys @ queries[h], 0) @ values)
    a = torch.softmax(cached @ (up_key[h].T @ queries[h]), 0)
    absorbed.append(up_value[h] @ (a @ cached))
moved = (torch.stack(expanded) - torch.stack(absorbed)).abs().max().item()
print("made:", heads * S * 2 * E, "numbers of keys and values, or", heads * (R + R), "of queries and sums")
assert moved < 1e-12

# %% [markdown]
# But for rounding. What it costs is another matter: a pair of query and key compares and sums $2R + E_r$ numbers
# instead of $2E + E_r$.
#
# **Predict.** A chunk of L new tokens meets a long cache. From which L on is it cheaper to expand?

# %%
wide, narrow, making = 576 + 512, 192 + 128, 512 * 2 * 128  # multiply-adds for each head and cached token
chunk = torch.tensor([2**n for n in range(13)])
cost = {"expanded": making + narrow * chunk, "absorbed": wide * chunk}
turn = next(n for n in range(1, 1000) if making + narrow * n < wide * n)
print("one token:", making + narrow, "expanded,", wide, "absorbed.  Expanding pays from", turn, "tokens on")
assert turn == 171

# %%
fig, ax = plt.subplots()
for name, line in cost.items():
    ax.loglog(chunk, line, marker="o", label=name)
ax.axvline(turn, color="#888888", linestyle=":")
ax.set(xlabel="new tokens in a call", ylabel="multiply-adds")
ax.legend()
show(
    fig,
    "Multiply-adds for each head and cached token at DeepSeek-V3's sizes: absorbed for few new tokens, else expanded.",
)

# %% [markdown]
# So servers absorb in decoding and expand in prefill and training. The kata takes either, and its star is for a step
# that makes no keys.

# %% [markdown]
# ## A copy for each head
#
# A trap waits in the absorbed form: `q @ latent.unsqueeze(1).mT` broadcasts the latents over the heads, and PyTorch
# copies them for each head to do so. That is H times the cache, more than the keys would have been. With heads and
# tokens as rows of one matrix, nothing is copied.

# %%
four = torch.randn(2, 16, 1, 32)  # (B, H, L, R)
cache = torch.randn(2, 100, 32)  # (B, S, R)
copies = cache.unsqueeze(1).mT.expand(2, 16, 32, 100).reshape(32, 32, 100)  # what the product does within
rows = four.flatten(1, 2) @ cache.mT
print(
    "numbers: cache",
    cache.numel(),
    "  copied for the product",
    copies.numel(),
    "  as rows: only the scores",
    rows.numel(),
)
assert copies.numel() == 16 * cache.numel()
assert torch.allclose(rows, (four @ cache.unsqueeze(1).mT).flatten(1, 2))

# %% [markdown]
# ## Scale
#
# A score adds $E + E_r$ products of features, so it is divided by $\sqrt{E + E_r}$. The absorbed form adds $R + E_r$
# products and gets the same number.
#
# **Predict.** Features are independent with variance 1. Which of three scales gives scores of variance 1?

# %%
q, k = torch.randn(4000, 128 + 64), torch.randn(4000, 128 + 64)
scores = (q * k).sum(-1)
spread = {name: (scores / math.sqrt(n)).var().item() for name, n in (("E + Er", 192), ("E", 128), ("R + Er", 576))}
print("variance with the root of:", {name: f"{value:.1f}" for name, value in spread.items()})
assert 0.9 < spread["E + Er"] < 1.1

# %% [markdown]
# <details><summary>What the grader names here</summary>
#
# `latent-scale-of-head-dim`, `latent-scale-of-latent-dim`, `latent-scale-of-d-model`, `latent-scale-missing`,
# `latent-scale-without-root`, `latent-scale-fourth-root`, `latent-scale-by-parts`.
#
# </details>

# %% [markdown]
# ## Positions
#
# The first new token has the position P, the number of cached tokens. A cache of keys (B, K, S, E) has them in
# dimension 2; a cache of latents (B, S, R) has features there.
#
# **Predict.** 7 tokens are cached, a latent has 512 features. Which position does `cache[0].shape[2]` give to the next
# token?

# %%
kept = torch.zeros(1, 7, 512), torch.zeros(1, 7, 64)
print("dimension 1:", kept[0].shape[1], "  dimension 2:", kept[0].shape[2])
assert (kept[0].shape[1], kept[0].shape[2]) == (7, 512)

# %% [markdown]
# No shape fails: the positions jump by 505, the same jump in each call, and only distances to the prompt are wrong.
#
# <details><summary>What the grader names here</summary>
#
# `latent-positions-from-zero`, `latent-positions-one-too-many`, `latent-positions-of-the-whole`,
# `past-length-from-features`.
#
# </details>

# %% [markdown]
# ## Parameters
#
# H * E has nothing to do with D: DeepSeek-V3 has D = 7,168 and heads that are 16,384 features wide together.
#
# **Predict.** Which of the four layers is the largest, and which is hardly there?

# %%
D, H = 7168, 128
shapes = {
    "q_proj": (H * (128 + 64), D),
    "kv_a_proj": (512 + 64, D),
    "kv_b_proj": (H * 2 * 128, 512),
    "o_proj": (D, H * 128),
}
for name, (rows_, columns) in shapes.items():
    print(f"{name:10} ({rows_:6,}, {columns:6,})  {round(rows_ * columns / 1e6):4} million")
assert max(shapes, key=lambda name: math.prod(shapes[name])) == "q_proj"

# %% [markdown]
# The queries are what DeepSeek compresses as well, through a latent of 1,536, to save activations in training; and
# each latent has a norm. The kata leaves both out.
#
# <details><summary>What the grader names here</summary>
#
# `rope-key-per-head`, `rope-query-for-all-heads`, `up-with-rope`, `output-layer-of-d-model`, `latent-biases`,
# `latent-norm-added`, `latent-layers-renamed`, `latent-layers-divided`, `odd-rope-dim-unchecked`,
# `assert-on-odd-rope-dim`, `divisibility-demanded`.
#
# </details>

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %% [markdown]
# Each number above, asserted:

# %%
# checks: latent-cache-size, latent-parallel, latent-rank
assert (61 * (512 + 64) * 2, round(stored["DeepSeek-V3, latents"], 1)) == (70_272, 68.6)
assert (stored["Llama-3-8B"], stored["Llama-3-405B"], stored["DeepSeek-V3, expanded"]) == (128, 504, 4_880)
assert int(stored["DeepSeek-V3, expanded"] / stored["DeepSeek-V3, latents"]) == 71
assert torch.float16.itemsize * 8 == 16
assert round(8 * stored["DeepSeek-V3, latents"]) == 549
assert 504 / 8 == 63
assert 576 / (2 * 128) == 2.25
assert 128 * 128 == 16_384
assert torch.linalg.matrix_rank(torch.randn(600, 512)) == 512

# %%
# checks: latent-absorbed, latent-prefill
assert wide == 576 + 512 == 1_088
assert making == 2 * 128 * 512 == 131_072
assert narrow == 320
assert round((making + narrow) / wide) == 121
assert round(wide / narrow, 1) == 3.4
assert turn == 171

# %%
# checks: latent-scale, latent-on-mqa-kernel
assert round(1 / math.sqrt(192), 4) == 0.0722
assert round(1 / math.sqrt(576), 4) == 0.0417
assert round(1 / math.sqrt(128), 4) == 0.0884
assert round(2 * 128 * (576 + 512) / (2 * 576)) == 242
assert round(989e12 / 3.35e12) == 295

# %%
# checks: latent-decoupled-rope, latent-invisible
assert (len(rotation(0)), len(between), rank, plain_rank) == (8, 12, 8, 1)
assert unnoticed < 1e-12 < 0.1 < noticed

# %% [markdown]
# ## Exercises
#
# **1.** Write any GQA layer with K groups as latents and `kv_b_proj`, without rope. How wide is the latent?
#
# <details><summary>Solution</summary>
#
# The latent is all keys and values side by side, $2KE$ numbers, and `kv_b_proj` copies for head $h$ the key and the
# value of its group: rows of the identity. So MLA with $R = 2KE$ can do what GQA can, and with a smaller R it is a
# low-rank version of it.
#
# </details>
#
# **2.** A colleague puts a norm on each head's key, as QK-norm does. What becomes of the absorbed form?
#
# <details><summary>Solution</summary>
#
# The norm of a key is no linear function of the latent: the keys have to be made in order to be measured. One can
# norm the latent instead, once for all heads, and that is what DeepSeek does.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Write it expanded first; then absorb, and see that nothing changes.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** DeepSeek-AI 2024, *DeepSeek-V2* (2405.04434), section 2.1. DeepSeek-AI 2024, *DeepSeek-V3
# Technical Report* (2412.19437). Su et al. 2021 (RoPE, 2104.09864). Shazeer 2019 (MQA, 1911.02150).
