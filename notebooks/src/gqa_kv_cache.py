# %% [markdown]
# # Grouped-query attention with a KV cache
#
# <!-- badge -->
#
# **After this notebook you can** prove that a cache changes nothing, write down its size for any model, say why
# decoding waits for memory and not for arithmetic, bound the tokens a second of a whole model, and name the test that
# catches each way to get the mask or the order wrong.
#
# Short of time? 16 minutes: [Derivation](#Derivation), [Experiment 2](#Experiment-2---FLOPs-or-bytes), [A whole
# model](#A-whole-model), and then the questions.
#
# Reading time: 40 minutes. Kata: `python grader.py check gqa_kv_cache`

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
from matplotlib.colors import LogNorm
from torch import nn
from torch.nn.attention.bias import causal_lower_right
from torch.utils.flop_counter import FlopCounterMode

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


def distance(a, b):
    """The largest absolute difference; shapes must agree."""
    assert a.shape == b.shape
    return (a - b).abs().max().item()


# %% [markdown]
# ## The interview question
#
# > *Write `forward(x, kv_cache)`. I will hand you a sequence in pieces of any size and compare with one pass.
# > Then: why may you keep K and V and throw Q away? How many bytes is that for a 70B model at 32k tokens? Is it
# > FLOPs or bytes that we save?*

# %% [markdown]
# ## Three tokens by hand
#
# One head of size 1; every query is 1, so a weight is proportional to $e^{k}$.
#
# | | token 0 | token 1 | token 2 |
# |---|---|---|---|
# | key | $0$ | $\ln 2$ | $\ln 3$ |
# | $e^{\text{key}}$ | 1 | 2 | 3 |
# | value | 6 | 3 | 0 |
#
# One causal pass: token 0 sees itself, **6**. Token 1: $(1 \cdot 6 + 2 \cdot 3)/3 =$ **4**. Token 2:
# $(1 \cdot 6 + 2 \cdot 3 + 3 \cdot 0)/6 =$ **2**.
#
# Now token 0 is in the cache and tokens 1, 2 arrive together. Rows 4 and 2 must come out.
#
# **Predict.** What comes out if the triangle starts at the top left, so that the first new token sees key 0 only? And
# without a mask?

# %%
hand_keys, hand_values = torch.tensor([1.0, 2, 3]).log(), torch.tensor([6.0, 3, 0])


def read(positions):
    """What a query of 1 reads when it may see these positions."""
    positions = list(positions)
    return (torch.softmax(hand_keys[positions], dim=0) @ hand_values[positions]).item()


one_pass = [read(range(i + 1)) for i in range(3)]
chunk = [read(range(1 + i + 1)) for i in range(2)]  # one past token, two new ones
top_left = [read(range(i + 1)) for i in range(2)]
no_mask = [read(range(3)) for _ in range(2)]
for got, wanted in ((one_pass, [6, 4, 2]), (chunk, [4, 2]), (top_left, [6, 4]), (no_mask, [2, 2])):
    assert all(abs(a - b) < 1e-12 for a, b in zip(got, wanted, strict=True))
for name, got in (("one pass", one_pass), ("after a cache", chunk), ("top left", top_left), ("no mask", no_mask)):
    print(f"{name:14} {[round(x) for x in got]}")

# %% [markdown]
# With the triangle at the top left, each token gets the answer of the token before it. (Source C's story starts at
# token 1 and leaves out the **prompt**. The prompt is the longest piece of all: one pass over it fills the cache.)

# %% [markdown]
# ## Derivation
#
# **Claim** ([proved](causal_mask.ipynb#Prefixes-do-not-change) in the notebook on masks, by induction over layers):
# in a causal decoder $h^\ell_t$, and so $k^\ell_t$ and $v^\ell_t$, depends on $x_0, \dots, x_t$ only, in every layer.
#
# **Corollary.** Whatever tokens follow, the keys and values of the past stay what they were: store them. Row t
# needs $q_t$ and no earlier query: throw queries away. A piece of L new tokens after P old ones is rows
# $P, \dots, P+L-1$ of the full pass, so new token i reads positions $0, \dots, P + i$.

# %% tags=["drawing"]
# drawing: growing_cache

# %% [markdown]
# The toy keeps its memory as a Python list, one (key, value) pair per token, and loops over tokens. What new token
# i may read is a function, so that each mistake below is one line.


# %%
HEADS, KV_HEADS, SIZE = 8, 2, 4
WIDTH = HEADS * SIZE


def new_layer():
    outputs = {"q": WIDTH, "k": KV_HEADS * SIZE, "v": KV_HEADS * SIZE, "o": WIDTH, "ffn": WIDTH}
    return {name: 1.5 * torch.randn(WIDTH, width) / math.sqrt(WIDTH) for name, width in outputs.items()}


def split(x, count):
    """(n, count * E) -> (count, n, E)"""
    return torch.stack(x.chunk(count, dim=-1))


def causal_reads(i, past, new):
    return range(past + i + 1)


def attend(x, memory, w, reads=causal_reads, newest_first=False):
    """Remember the tokens x (n, D), then let each read positions of the memory; (n, D)."""
    past = len(memory)
    pairs = [tuple(split(token[None] @ w[name], KV_HEADS) for name in "kv") for token in x]
    memory[:] = pairs + memory if newest_first else memory + pairs
    rows = []
    for i, token in enumerate(x):
        seen = [memory[j] for j in reads(i, past, len(x))]
        keys, values = (torch.cat([pair[side] for pair in seen], dim=1) for side in (0, 1))
        query = split(token[None] @ w["q"], HEADS)
        heads = F.scaled_dot_product_attention(query[None], keys[None], values[None], enable_gqa=True)[0]
        rows.append(torch.cat(list(heads), dim=-1) @ w["o"])
    return torch.cat(rows)


def decoder(x, memories, layers, reads=causal_reads):
    """Attention, residual, norm and a feed-forward, layer by layer."""
    for memory, w in zip(memories, layers, strict=True):
        x = x + attend(F.layer_norm(x, (WIDTH,)), memory, w, reads)
        x = x + torch.tanh(F.layer_norm(x, (WIDTH,)) @ w["ffn"])
    return x


layers = [new_layer() for _ in range(3)]
tokens = torch.randn(12, WIDTH)


def in_pieces(pieces, reads=causal_reads):
    """The sequence handed over piece by piece: (rows, memories)."""
    memories = [[] for _ in layers]
    rows = [decoder(piece, memories, layers, reads) for piece in tokens.split(pieces)]
    return torch.cat(rows), memories


# the list against PyTorch: one layer, one pass, PyTorch's own causal flag
w = layers[0]
q, k, v = (split(tokens @ w[name], n) for name, n in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)))
theirs = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True, enable_gqa=True)[0]
assert distance(attend(tokens, [], w), torch.cat(list(theirs), dim=-1) @ w["o"]) < 1e-12
by_list = attend(tokens, [], w)
print("a list that grows ", [float(f"{x:.2f}") for x in by_list[-1, :5].tolist()])
print("PyTorch, is_causal", [float(f"{x:.2f}") for x in (torch.cat(list(theirs), dim=-1) @ w["o"])[-1, :5].tolist()])

# %% [markdown]
# **Predict.** Replace tokens 7 to 11 of 12. By how much do rows 0 to 6 and their stored keys move, in a causal stack
# and in a bidirectional one?


# %%
def everything(i, past, new):
    return range(past + new)


def keys_of(memory):
    return torch.cat([key for key, _ in memory], dim=1)


whole, memories = in_pieces([12])
kept = tokens.clone()
tokens[7:] = torch.randn(5, WIDTH)
changed, changed_memories = in_pieces([12])
changed_both_ways = in_pieces([12], everything)[0]
tokens = kept
assert distance(whole[:7], changed[:7]) == 0
for before, after in zip(memories, changed_memories, strict=True):
    assert distance(keys_of(before)[:, :7], keys_of(after)[:, :7]) == 0
assert distance(in_pieces([12], everything)[0][:7], changed_both_ways[:7]) > 0.1
print("rows 0 to 6, causal: largest move", distance(whole[:7], changed[:7]))

# %%
nudge = torch.randn(WIDTH)
nudge *= 0.001 / nudge.norm()  # the same small step for every token
moved = {"causal": torch.zeros(12, 12), "bidirectional": torch.zeros(12, 12)}
for name, reads in (("causal", causal_reads), ("bidirectional", everything)):
    before = in_pieces([12], reads)[0]
    for j in range(12):
        kept = tokens.clone()
        tokens[j] += nudge
        moved[name][:, j] = (in_pieces([12], reads)[0] - before).norm(dim=-1) / nudge.norm()
        tokens = kept
colors = plt.get_cmap("cividis").with_extremes(bad="#D9D9D9")
scale = LogNorm(0.1, 10)

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, constrained_layout=True)
for ax, (name, change) in zip(axes, moved.items(), strict=True):
    image = ax.imshow(change.where(change > 0, math.nan), cmap=colors, norm=scale)
    ax.set_title(f"{name}, 3 layers")
    ax.set_xlabel("token nudged")
axes[0].set_ylabel("output row")
fig.colorbar(image, ax=axes, label="move of the row / nudge (grey: exactly 0)")
show(
    fig,
    "How far each output row moves, as a multiple of a small nudge to one token, on a logarithmic scale. Causal: only "
    "rows from that token on move, the upper triangle is exactly 0. Bidirectional: every row moves.",
)
assert (moved["causal"].triu(1) == 0).all()
assert (moved["bidirectional"] > 0).all()

# %% [markdown]
# The grey triangle on the left is what makes a cache possible: no later token changes an earlier row. On the right
# each new token changes every earlier row, so all that was stored is stale. Now we check the contract for any split:

# %%
for pieces in ([1] * 12, [5, 7], [3, 1, 4, 4], [11, 1]):
    rows, stored = in_pieces(pieces)
    assert distance(rows, whole) < 1e-12
    assert all(distance(keys_of(a), keys_of(b)) < 1e-12 for a, b in zip(stored, memories, strict=True))
    print(f"pieces {pieces}: last row {[float(f'{x:.2f}') for x in rows[-1, :4].tolist()]}")

both_ways = in_pieces([12], everything)[0]
stale = in_pieces([1] * 12, everything)[0]
assert distance(stale, both_ways) > 1
assert distance(stale, whole) < 1e-12  # a "cached" bidirectional decoder is a causal one
print("a bidirectional stack with a cache gives the rows of the causal stack:", True)

# %% [markdown]
# Source A stores (B, T, K, E), tokens before heads; the kata's layout is (B, K, T, E). Both are right. The corollary
# needs more than a triangle: no dropout (source A's loop runs in train mode, so it cannot be compared with anything),
# no norm across positions, and a position that stays with its token.
#
# ### Positions
#
# Attention does not see order ([why](sdpa.ipynb#Order-is-not-seen)). **Rotary embeddings** (RoPE, 2104.09864) turn
# pairs of features: they turn pair $i$ of a vector at position $m$ by the angle $m\theta_i$, with
# $\theta_i=10000^{-2i/E}$. (Llama 3 has the base 500,000, so its slowest pair turns more slowly still.) With $R_m$
# the rotation of all pairs,
#
# $$(R_mq)^\top(R_jk)=q^\top R_m^\top R_jk=q^\top R_{j-m}k,$$
#
# because rotations by $-m\theta$ and by $j\theta$ together are one by $(j-m)\theta$. Positions enter the score only
# through their distance. Values are not rotated. Two layouts are in use: neighbouring features form a pair (as here),
# or a feature of the first half and one of the second half do (Llama in transformers). Mixing the two up gives fluent
# nonsense. The older *sinusoids* are the same idea, added instead of multiplied: $(\sin m\theta_i,\cos m\theta_i)$
# turns by a fixed angle when $m$ grows by one.

# %% tags=["drawing"]
# drawing: rotating_pair

# %% [markdown]
# **Longer than trained.** Slow pairs do not complete a turn within the trained length, so longer texts bring angles
# that the model has never seen. Position interpolation (2306.15595) divides all positions; YaRN (2309.00071) slows the
# slow pairs down and leaves the fast ones, which tell neighbours apart, as they are.
#
# A key keeps its turn for ever if it is turned by its *absolute* position: rotate, then store. (That is one design.
# StreamingLLM stores keys unrotated, in order to renumber what is left in its window.)
#
# **Predict.** Each piece counts its positions from 0, not from the end of the past. Which distances are wrong: those
# inside a piece, or those to the cached keys?

# %%
unturned = {}
for base in (10_000, 500_000):
    wavelengths = 2 * math.pi * base ** (torch.arange(64) / 64)  # E = 128
    unturned[base] = (wavelengths > 8_192).sum().item()
    print(f"base {base:7,}: {unturned[base]} of 64 pairs turn less than once in 8,192 tokens")
assert unturned == {10_000: 14, 500_000: 29}

# %%
angles = torch.polar(torch.ones(SIZE // 2), torch.tensor([1.0, 0.1]))


def rotate(x, positions):
    """x (n, SIZE), pairs of features turned by position times angle."""
    turned = torch.view_as_complex(x.reshape(len(x), -1, 2)) * angles ** torch.tensor(positions)[:, None]
    return torch.view_as_real(turned).flatten(1)


q, k = torch.randn(1, SIZE), torch.randn(6, SIZE)
full = rotate(q, [5]) @ rotate(k, range(6)).T
shifted = rotate(q, [105]) @ rotate(k, range(100, 106)).T
in_two = rotate(q, [5]) @ torch.cat([rotate(k[:4], range(4)), rotate(k[4:], [4, 5])]).T
restarted = rotate(q, [1]) @ torch.cat([rotate(k[:4], range(4)), rotate(k[4:], [0, 1])]).T
assert distance(full, shifted) < 1e-12  # only differences count
assert distance(full, in_two) < 1e-12  # rotated once, stored
assert distance(full, restarted) > 0.1
for name, row in (
    ("one pass", full),
    ("all shifted by 100", shifted),
    ("rotated, stored", in_two),
    ("from 0", restarted),
):
    print(f"{name:19} scores {[float(f'{s:.2f}') for s in row[0].tolist()]}")

# %% [markdown]
# If every piece counts its positions from 0, the distances to the cached keys are wrong.

# %% [markdown]
# ## Experiment 1 - how many FLOPs
#
# One attention layer over N tokens costs $F(N) = 4ND^2 + 4NDKE + 4N^2D$ (projections, then scores and values). A
# cached step at length t costs $4D^2 + 4DKE + 4tD$. For T tokens
#
# $$F_{\text{cache}} = T(4D^2 + 4DKE) + 2T(T+1)D, \qquad
# F_{\text{no}} = \tfrac{T(T+1)}{2}(4D^2 + 4DKE) + \tfrac23 T(T+1)(2T+1)D .$$
#
# The ratio has two limits. For $T\ll D$ the first terms lead: $\frac{T(T+1)}2\big/T\approx\frac T2$. For $T\gg D$ the
# last ones: $\frac23\cdot2T^3\big/2T^2=\frac{2T}3$.
#
# **Predict.** About how many times the FLOPs without a cache, for 256 tokens of source A's sizes (D = 512, 8 and 4
# heads)?


# %%
def layer_flops(new, length, D, H, K):
    """FLOPs of `new` tokens that read `length` positions, as FlopCounterMode counts, without any data."""
    E = D // H
    x = torch.empty(new, D, device="meta")
    past = torch.empty(K, length - new, E, device="meta")
    with FlopCounterMode(display=False) as counter:
        q, k, v = (split(x @ torch.empty(D, n * E, device="meta"), n) for n in (H, K, K))
        k, v = (torch.cat([past, t], dim=1).repeat_interleave(H // K, dim=0) for t in (k, v))
        split_heads = (q @ k.mT) @ v
        torch.cat(list(split_heads), dim=-1) @ torch.empty(D, D, device="meta")
    return counter.get_total_flops()


def with_cache(T, D, H, K):
    return T * (4 * D * D + 4 * D * K * (D // H)) + 2 * T * (T + 1) * D


def without_cache(T, D, H, K):
    return T * (T + 1) // 2 * (4 * D * D + 4 * D * K * (D // H)) + 2 * T * (T + 1) * (2 * T + 1) * D // 3


T, shape = 256, (512, 8, 4)
counted = tuple(sum(layer_flops(t if again else 1, t, *shape) for t in range(1, T + 1)) for again in (False, True))
assert counted == (with_cache(T, *shape), without_cache(T, *shape)) == (470_024_192, 63_261_376_512)
print(f"{T} tokens with a cache {counted[0]:>14,} FLOPs")
print(f"{T} tokens without      {counted[1]:>14,} FLOPs, {counted[1] / counted[0]:.0f} times as many")
for T, D, H, K, ratio in ((1024, 512, 8, 8, 569), (2048, 4096, 32, 32, 1062), (2048, 8192, 64, 8, 1059)):
    found = without_cache(T, D, H, K) / with_cache(T, D, H, K)
    assert round(found) == ratio
    print(f"T = {T}, D = {D}, {H} and {K} heads: {found:.0f} times")
ffn = 2 * 3 * 4096 * 11_008  # FLOPs of Llama-2-7B's feed-forward layer for a token
with_ffn = [without_cache(2048, 4096, 32, 32) + 2048 * 2049 // 2 * ffn, with_cache(2048, 4096, 32, 32) + 2048 * ffn]
assert round(with_ffn[0] / with_ffn[1]) == 1038
print(f"Llama-2-7B, 2048 tokens, with its feed-forward layers: {with_ffn[0] / with_ffn[1]:.0f} times")

# %%
lengths = [2**i for i in range(5, 18)]
D, H, K = 4096, 32, 8
projections = layer_flops(1, 1, D, H, K) - 4 * D
steps = {
    "without a cache": [layer_flops(t, t, D, H, K) for t in lengths],
    "with a cache": [layer_flops(1, t, D, H, K) for t in lengths],
}

# %%
fig, ax = plt.subplots(figsize=(7, 3.4), constrained_layout=True)
for (label, flops), marker in zip(steps.items(), "so", strict=True):
    ax.plot(lengths, flops, marker=marker, label=label)
ax.axhline(projections, color="black", linestyle=":", linewidth=1)
ax.text(lengths[-1], projections / 1.6, "projections of one token", ha="right", va="top")
ax.set(yscale="log", ylim=(1e7, 1e15), xlabel="tokens so far", ylabel="FLOPs for the next token")
ax.set_xscale("log", base=2)
ax.set_xticks(lengths[::3], [f"{t:,}" for t in lengths[::3]])
ax.legend()
ax.set_title("one layer of Llama-3-8B")
show(
    fig,
    "FLOPs for the next token of one Llama-3-8B layer against tokens so far, both axes logarithmic. Without "
    "a cache the line rises steeply; with a cache it stays flat until about 2,000 tokens and has doubled at 5,120.",
)
equal = next(t for t in range(1, 2**15) if 4 * t * D >= projections)
assert equal == D + K * (D // H) == 5120
print("scores and values cost a cached step as much as its projections at", equal, "tokens")

# %% [markdown]
# **Explain.** The new token is still projected ("no recomputation of K and V" is about the past), so a step always
# costs at least the projections of one token. Projecting the past again (`all-tokens-projected`) gives the right
# numbers, but the price of a step then grows with the length again. Source E's $O(n^2 d)$ is half the story: the
# projections are $O(n d^2)$. The two are equal at $n = 2D$ in a multi-head layer, and at $n=6D$ in a whole block with
# a feed-forward layer ([derived here](mha.ipynb#Cost)). Transformers' `generate` uses a cache by default: `use_cache`
# is True in a Llama's configuration, and in `GenerationConfig()` it is None in 5.23, which leaves it to the model.

# %%
shares = []
for N in (128, 512, 1024, 2048):
    total, quadratic = layer_flops(N, N, 512, 8, 8), 4 * N * N * 512
    shares.append(round(100 * (total - quadratic) / total))
    print(f"D = 512, N = {N:>4}: projections are {shares[-1]}% of the FLOPs")
assert shares == [89, 67, 50, 33]

# %% [markdown]
# ## Experiment 2 - FLOPs or bytes
#
# Source E calls decoding compute-intensive *and* bandwidth-hungry. Count both for L queries over t cached keys, b
# bytes a number: $4LtEH$ FLOPs on $2tEKb$ bytes,
#
# $$I = \frac{2LH}{Kb} \ \overset{b=2,\,L=1}{=}\ \frac{H}{K} \ \text{FLOP per byte.}$$
#
# Neither t nor the batch is in it: each sequence has its own cache, and a step reads it once. (The batch shares the
# weights: their intensity is the batch size.) The bytes b are a choice: an FP8 cache, b = 1, doubles the intensity
# and halves the bytes. An H100 does 989 TFLOP/s and moves 3.35 TB/s: below 295 FLOP per byte, its **ridge**, it waits
# for memory. For an A100 with 80 GB (312, 2.04) the ridge is at 153.
#
# **Only K and V are counted**, which is right while $L H\ll tK$, as in decoding. In **prefill**, $L=t$, and the
# queries and outputs have as many bytes as K and V, or more. If all four are moved once,
# $I=\frac{4t^2EH}{2tE\,b\,(K+H)}=\frac{2tH}{b(K+H)}$. It is half of that if the kernel skips the masked half.
#
# **Predict.** At how many FLOP per byte does Llama-2-70B (H = 64, K = 8) decode? Is a prompt of 2,048 tokens left or
# right of the ridge?


# %%
MODELS = {  # layers, D, H, K
    "Llama-2-7B": (32, 4096, 32, 32),
    "Llama-2-70B": (80, 8192, 64, 8),
    "Llama-3-8B": (32, 4096, 32, 8),
    "Qwen2-7B": (28, 3584, 28, 4),
}


def intensity(new, length, H, K, E=128):
    """FLOPs of scores and values for each byte moved, all counted; a prompt moves its queries and outputs too."""
    q = torch.empty(K, H // K, new, E, device="meta", dtype=torch.bfloat16)
    cache = torch.empty(2, K, length, E, device="meta", dtype=torch.bfloat16)
    with FlopCounterMode(display=False) as counter:
        scores = torch.einsum("krle,kse->krls", q, cache[0])
        torch.einsum("krls,kse->krle", scores, cache[1])
    moved = cache.nbytes if new == 1 else cache.nbytes + 2 * q.nbytes
    return counter.get_total_flops() / moved


points = {name: intensity(1, 4096, H, K) for name, (_, _, H, K) in MODELS.items()}
points |= {"64 heads on one": intensity(1, 4096, 64, 1), "Llama-2-7B, prompt": intensity(2048, 2048, 32, 32)}
assert list(points.values()) == [1, 8, 4, 7, 64, 1024]
prompts = [intensity(2048, 2048, H, K) for H, K in ((32, 32), (32, 8), (64, 8))]
assert [int(p) for p in prompts] == [2048 * H // (H + K) for H, K in ((32, 32), (32, 8), (64, 8))] == [1024, 1638, 1820]
ridges = {"A100": 312 / 2.04, "H100": 989 / 3.35}
assert {name: round(ridge) for name, ridge in ridges.items()} == {"A100": 153, "H100": 295}

# %%
fig, ax = plt.subplots(figsize=(7.5, 3.6), constrained_layout=True)
line = torch.logspace(-0.5, 5, 200)
ax.plot(line, (line * 3.35).clamp_max(989), color="black", linewidth=1.5)
for i, (name, x) in enumerate(points.items()):
    y = min(989, 3.35 * x)
    ax.scatter(x, y, s=60, color=OKABE_ITO[i], marker="os^Dvp"[i], zorder=3)
    left = name in ("Qwen2-7B", "64 heads on one")
    ax.annotate(
        f"{name}: {x:,.0f}",
        (x, y),
        xytext=(-9 if left else 9, 6 if left else -12),
        textcoords="offset points",
        ha="right" if left else "left",
    )
ax.axvline(ridges["H100"], color="black", linestyle=":", linewidth=1)
ax.text(ridges["H100"] * 0.9, 1.5, "waits for memory", ha="right")
ax.text(ridges["H100"] * 1.1, 1.5, "limited by arithmetic")
ax.set(xscale="log", yscale="log", xlim=(0.5, 1e5), ylim=(1, 3000), xlabel="FLOP per byte of cache")
ax.set_ylabel("TFLOP/s within reach of an H100")
show(
    fig,
    "Roofline of an H100: reachable TFLOP/s against FLOP per byte. Decoding: Llama-2-7B at 1, Llama-3-8B 4, "
    "Qwen2-7B 7, Llama-2-70B 8, 64 heads on one 64, all left of the ridge at 295; a prompt is right of it.",
)
for name in ("Llama-2-7B", "Llama-2-70B"):
    print(f"{name:11} decodes with at most {100 * points[name] * 3.35 / 989:.2g}% of the arithmetic of an H100")

# %% [markdown]
# **Explain.** A step is not compute-intensive: multi-head attention can use 0.34% of the arithmetic. Its time is
# its bytes, so it falls with K. That also says when grouping does *not* help: with the prompt (limited by
# arithmetic), or if you expand the heads first.
#
# ### What copies cost
#
# A copy per query head reads each number, writes it r times and reads those: up to $1+2r$ times the bytes, 9 for r =
# 4. A benchmark can show far more, and then it measures the **allocator**: above 32 MiB glibc maps every new buffer
# afresh, and the kernel must zero its pages, one fault for each 4 KiB. So one column below repeats into a buffer that
# is kept, and one lets each call allocate.
#
# **Predict.** 32 query heads, 4,096 positions on this CPU. Which columns get faster as K falls from 32 to 1?


# %% tags=["nbval-ignore-output"]
def milliseconds(step, repeats=5):
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        found.append(1000 * (time.perf_counter() - start))
    return min(found)


def grouped_step(q, k, v):
    scores = torch.einsum("kre,kse->krs", q, k) / math.sqrt(q.shape[-1])
    return torch.einsum("krs,kse->kre", torch.softmax(scores, dim=-1), v)


kept = torch.empty(2, 32, 4096, 128, dtype=torch.float32)


def expanded_step(q, k, v):
    k, v = (t.repeat_interleave(q.shape[1], dim=0) for t in (k, v))
    return grouped_step(q.flatten(0, 1)[:, None], k, v).view_as(q)


def into_kept_step(q, k, v):
    for buffer, t in zip(kept, (k, v), strict=True):
        buffer.view(len(t), -1, 4096, 128).copy_(t[:, None])
    return grouped_step(q.flatten(0, 1)[:, None], *kept).view_as(q)


print("32 query heads    MiB   shared   repeated into a kept buffer   repeated anew")
for K in (32, 8, 4, 1):
    q = torch.randn(K, 32 // K, 128, dtype=torch.float32)
    k, v = torch.randn(2, K, 4096, 128, dtype=torch.float32)
    ways = grouped_step, into_kept_step, expanded_step
    assert all(distance(grouped_step(q, k, v), way(q, k, v)) < 1e-5 for way in ways)
    times = [milliseconds(lambda s=step, a=(q, k, v): s(*a)) for step in ways]
    print(f"K = {K:>2}        {2 * k.nbytes >> 20:>9}   {times[0]:>6.1f}   {times[1]:>27.1f}   {times[2]:>13.1f}  [ms]")

# %% [markdown]
# ## Experiment 3 - how many bytes
#
# Per token and sequence: $2 \cdot \text{layers} \cdot K \cdot E \cdot b$.
#
# **Predict.** Llama-3-8B has 32 layers and 8 kv heads of 128. How many bytes is one token in 16 bits?


# %%
def token_bytes(depth, D, H, K, element=2):
    one_layer = torch.empty(2, K, D // H, device="meta", dtype=torch.bfloat16)  # key and value of one token
    assert one_layer.nbytes == 2 * K * (D // H) * element
    return depth * one_layer.nbytes


print("             KiB for one token          GiB for 4,096 tokens       GiB for 32,768")
print("          as built  K = H  K = 1      as built  K = H  K = 1          as built")
for name, (depth, D, H, K) in MODELS.items():
    per_token = [token_bytes(depth, D, H, k) for k in (K, H, 1)]
    kib = " ".join(f"{b // 1024:>6,}" for b in per_token)
    gib = " ".join(f"{4096 * b / 2**30:>6.3g}" for b in per_token)
    print(f"{name:12} {kib}        {gib}            {32768 * per_token[0] / 2**30:>6.3g}")
assert [token_bytes(*m) // 1024 for m in MODELS.values()] == [512, 320, 128, 56]
assert [32768 * token_bytes(*m) / 2**30 for m in MODELS.values()] == [16, 10, 4, 1.75]

# %%
fig, ax = plt.subplots(figsize=(7.5, 3), constrained_layout=True)
for row, (depth, D, H, K) in enumerate(MODELS.values()):
    gib = {k: 32768 * token_bytes(depth, D, H, k) / 2**30 for k in (1, K, H)}
    ax.plot([gib[1], gib[H]], [row, row], color="#999999", linewidth=2, zorder=1)
    for k, marker, color, label in ((1, "v", 1, "K = 1"), (H, "s", 0, "K = H"), (K, "o", 3, "as built")):
        label = None if row else label
        ax.scatter(gib[k], row, marker=marker, color=OKABE_ITO[color], s=60, zorder=2, label=label)
    ax.annotate(f"{gib[K]:.3g} GiB", (gib[K], row), xytext=(0, 8), textcoords="offset points", ha="center")
ax.axvline(80e9 / 2**30, color="black", linestyle=":", linewidth=1)
ax.text(80e9 / 2**30 * 0.95, -0.45, "all memory of an 80 GB card", ha="right", va="center")
ax.set_xscale("log", base=2)
ax.set_xticks([0.5, 1, 2, 4, 8, 16, 32, 64], ["0.5", "1", "2", "4", "8", "16", "32", "64"])
ax.set_yticks(range(4), MODELS)
ax.set(ylim=(-0.8, 4.3), xlabel="cache of one sequence of 32,768 tokens, 16 bits [GiB]")
ax.legend(loc="upper left", ncols=3)
show(
    fig,
    "Cache of one sequence of 32,768 tokens in GiB, with all heads, as built, with one kv head. Llama-2-7B "
    "16 as built, Llama-2-70B 10 (80 with all heads), Llama-3-8B 4, Qwen2-7B 1.75.",
)
weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 2 * 32000 * 4096 + 4096
batch = 32 * 4096 * token_bytes(*MODELS["Llama-2-7B"]) / 2**30
assert weights == 6_738_415_616
assert batch == 64
assert math.ceil(2 * (weights - 32000 * 4096) / token_bytes(*MODELS["Llama-2-7B"])) == 25_206
print(f"Llama-2-7B, 32 times 4,096 tokens: {batch:.0f} GiB of cache, {2 * weights / 1e9:.1f} GB of weights")

# %% [markdown]
# **Explain.** One token is 131,072 bytes. The 70B model needs less cache per token than the 7B one (320 against 512
# KiB): it has 80 layers against 32, 2.5 times as many, but 8 kv heads against 32, a quarter. H and D count only
# through $E=D/H$; what counts is layers times $KE$.
#
# And the weights? A step reads them once for the whole batch (all but the input embedding, of which a token needs one
# row), and it reads the cache of every sequence once. For Llama-2-7B the cache is the larger read once all sequences
# in flight hold 25,206 tokens together.
#
# One more cost hides in `torch.cat`: each step copies the whole cache to make it one token longer.

# %%
steps, size = 4096, token_bytes(*MODELS["Llama-3-8B"])
copied = sum(t * size for t in range(1, steps + 1))  # what cat writes
assert copied == size * steps * (steps + 1) // 2
print(f"cat writes {copied / 2**30:.0f} GiB to build a cache of {steps * size / 2**30:.1f} GiB; in place: 0.5 GiB")
assert round(copied / 2**30) == 1024

# %% [markdown]
# A step reads the cache for its scores anyway; the copy adds a read and a write, so three times the traffic (and in
# docs/performance.md six times the time at 16,384 tokens, where each copy is a fresh mapping). The kata accepts that
# (the cache handed in must survive); a server allocates once and writes in place, or keeps pages.
#
# ### Models since
#
# The factors of $2\cdot\text{layers}\cdot KE\cdot b\cdot\text{tokens}$ have all been worked on: kv heads (GQA, MQA),
# features (MLA keeps one latent vector, [more](mqa.ipynb#Latent-attention)), bytes (FP8), tokens (windows). $H\cdot
# E$ need not be D.

# %%
# checks: cache-70b, quantised-cache
SINCE = {  # layers, of which see everything, window of the others, numbers a layer and token
    "Llama-3.1-70B (2024)": (80, 80, 0, 2 * 8 * 128),
    "DeepSeek-V3 (2024)": (61, 61, 0, 512 + 64),
    "Gemma 3 4B (2025)": (34, 5, 1024, 2 * 4 * 256),
    "Qwen3-8B (2025)": (36, 36, 0, 2 * 8 * 128),
    "gpt-oss-20b (2025)": (24, 12, 128, 2 * 8 * 64),
}
print("16 bits                 KiB a token, no window    GiB at 32,768 tokens")
held = {}
for name, (depth, seeing, window, numbers) in SINCE.items():
    held[name] = 2 * numbers * (seeing * 32_768 + (depth - seeing) * min(window, 32_768)) / 2**30
    print(f"{name:23} {2 * numbers * depth / 1024:>22.1f}    {held[name]:>20.3g}")
assert SINCE["DeepSeek-V3 (2024)"][3] * 2 * 61 == 70_272
assert round(70_272 / 1024, 1) == 68.6
assert token_bytes(*MODELS["Llama-2-70B"]) / 1024 == 320
assert token_bytes(*MODELS["Llama-2-7B"]) / 1024 == 512
assert (80 / 32, 8 / 32) == (2.5, 0.25)
assert [32_768 * 131_072 * bits / 16 / 2**30 for bits in (16, 8, 4)] == [4, 2, 1]
assert 2 * 32 / 8 == 8  # FP8: 2 H / K FLOPs a byte for Llama-3-8B
assert 64 < 512

# %% [markdown]
# ## Serving
#
# - **Prefill** runs the prompt in one pass: it is compute-bound and sets the time to the first token. **Decode** runs
#   one row a sequence: it is memory-bound and sets the time between tokens. **Chunked prefill** (Sarathi-Serve,
#   2403.02310) puts a piece of one user's prompt into the same step as the single rows of the others. This kata shows
#   that such a piece over a cache is exact. Prefill and decode can also run on different cards, and then the cache is
#   sent over (DistServe, 2401.09670).
# - **Continuous batching** (Orca, OSDI 2022): sequences join and leave at every step. Their lengths differ, so
#   kernels take ragged batches, one long row of tokens and cumulative lengths.
# - **Paged caches** (vLLM, 2309.06180): blocks of some 16 tokens and a block table, so that nothing is reserved for
#   tokens that may never come. **Prefix caches** (SGLang, 2312.07104) share the blocks of equal first tokens: the
#   corollary above.
# - **Quantised caches** (KIVI, 2402.02750): keys by channel, because a few channels are large, values by token;
#   unpacked in the kernel.
# - **Speculative decoding** (2211.17192, 2302.01318): a small model writes L drafts. The large one checks them in one
#   pass of L + 1 rows over the cache, and accepts by a rule that keeps its distribution exactly. Memory-bound steps
#   have the arithmetic to spare. The draft may come from a head on the model itself (EAGLE, 2401.15077; DeepSeek-V3's
#   multi-token prediction).
# - A **sliding window** needs a ring buffer of $w$ tokens. Often a few first tokens are kept besides, as
#   [sinks](sdpa.ipynb#Sinks). **Eviction** (H2O, 2306.14048) keeps the tokens that have drawn most attention so far,
#   and guesses that they will go on drawing it.
# - **Ring attention** (2310.01889) deals one long sequence out to several cards: keys and values go round, and each
#   card merges what passes, as the [online softmax](sdpa.ipynb#Online-softmax) does.
#
# **Predict.** A draft is accepted with probability 0.8, four drafts a pass. How many tokens does a pass give in
# expectation?

# %%
# checks: paged-cache, speculative, prefill-decode, one-pass-or-steps
drafts, accepted = 4, 0.8
expected = sum(accepted**i for i in range(drafts + 1))  # i drafts accepted at least, and one token of its own
assert math.isclose(expected, (1 - 0.8**5) / (1 - 0.8))
assert round(expected, 2) == 3.36
assert round(100 * (1 - 500 / 4_096)) == 88
assert -500 % 16 <= 15
for pieces in ([5, 7], [3, 1, 4, 4]):
    assert distance(in_pieces(pieces)[0], in_pieces([12])[0]) < 1e-12
print(f"{expected:.2f} tokens a pass")

# %% [markdown]
# ## A whole model
#
# *How many tokens a second, and for how many users?* Llama-3-70B in 16 bits on 8 H100s of 80 GB, 8,192 tokens of
# context.
#
# A step reads every weight once and every sequence's cache once. It takes at least these bytes divided by the
# bandwidth, and at least its FLOPs divided by the arithmetic rate. The largest batch is the memory that the weights
# leave free, divided by the cache of one user.
#
# The prompt comes first, and all of its arithmetic must be done before the first token: 2 FLOPs for each weight and
# token, and the causal half of $4N^2D$ in each layer.
#
# **Predict.** Batch 32: which is larger, the time for the bytes or the time for the arithmetic, and by which factor?

# %%
# checks: whole-model
depth, D, H, K, wide, vocabulary = 80, 8192, 64, 8, 28_672, 128_256
block = 2 * D * D + 2 * D * K * (D // H) + 3 * D * wide + 2 * D
parameters = depth * block + 2 * vocabulary * D + D
assert parameters == 70_553_706_496
weight_bytes, read_bytes = 2 * parameters, 2 * (parameters - vocabulary * D)  # of the input embedding, one row a token
user = 8_192 * token_bytes(depth, D, H, K)
bandwidth, arithmetic, memory = 8 * 3.35e12, 8 * 989e12, 8 * 80e9
step_bytes = read_bytes + 32 * user
bound = step_bytes / bandwidth
flops = 32 * (read_bytes + 4 * 8_192 * D * depth)  # 2 FLOPs a weight, and two products over the cache
print(f"weights {weight_bytes / 1e9:.0f} GB, cache of a user {user / 2**30:.1f} GiB")
print(f"a step of 32 users reads {step_bytes / 1e9:.0f} GB: at least {1e-3 * round(1e6 * bound / 100) / 10:.4f} s")
print(f"its arithmetic takes at least {flops / arithmetic:.5f} s")
print(f"at most {1 / bound:.0f} tokens a second for each user, {32 / bound:,.0f} in all")
print(f"room for {int((memory - weight_bytes) // user)} users")
assert (round(weight_bytes / 1e9), user / 2**30) == (141, 2.5)
assert (round(step_bytes / 1e9), round(bandwidth / 1e12, 1)) == (225, 26.8)
assert (round(1000 * bound, 1), round(1000 * flops / arithmetic, 1)) == (8.4, 0.6)
assert (int(1 / bound), int(32 / bound / 10) * 10) == (119, 3_810)
assert int((memory - weight_bytes) // user) == 185
assert round(100 * read_bytes / step_bytes) == 62
assert 1000 * bound > 5
prompt = 8_192 * read_bytes + depth * 2 * 8_192**2 * D
print(f"a prompt of 8,192 tokens: at least {prompt / arithmetic:.2f} s, {prompt / arithmetic / bound:.0f} steps")
assert (round(prompt / arithmetic, 2), round(prompt / arithmetic / bound)) == (0.16, 18)

# %% [markdown]
# **Explain.** The bytes take thirteen times as long as the arithmetic. Weights are 62% of the bytes, so FP8 weights
# help first and an FP8 cache next. Real servers reach perhaps half of the bound: cards communicate, kernels start and
# end, and lengths are uneven.
#
# **Predict.** Halve the context. Does the number of users double, and does the rate of one user?

# %%
SERVED = {  # layers, D, H, K, width of the feed-forward layer, vocabulary
    "Llama-2-7B": (32, 4096, 32, 32, 11_008, 32_000),
    "Llama-3-8B": (32, 4096, 32, 8, 14_336, 128_256),
    "Llama-3-70B": (80, 8192, 64, 8, 28_672, 128_256),
}


def serving(model="Llama-3-70B", context=8_192, weight_bits=16, cache_bits=16, cards=8):
    """Bytes that a step reads of the weights, bytes of a user's cache, and users for which H100s of 80 GB have room."""
    depth, D, H, K, wide, vocabulary = SERVED[model]
    block = 2 * D * D + 2 * D * K * (D // H) + 3 * D * wide + 2 * D
    weights = (depth * block + 2 * vocabulary * D + D) * weight_bits / 8
    user = context * token_bytes(depth, D, H, K) * cache_bits / 16
    return weights - vocabulary * D * weight_bits / 8, user, max(0, int((cards * 80e9 - weights) // user))


# %%
def serving_picture(**choice):
    """What `serving` gives for a choice, for every number of users that there is room for."""
    weights, user, room = serving(**choice)
    users = torch.arange(1, max(room, 1) + 1)
    step = (weights + users * user) / (choice["cards"] * 3.35e12)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 2.9), constrained_layout=True)
    left.stackplot(users, torch.full_like(users, weights / 1e9), users * user / 1e9, labels=["weights", "cache"])
    left.set(xlabel="users", ylabel="read in a step [GB]", title=f"room for {room} users")
    left.legend(loc="upper left")
    right.plot(users, 1 / step, color=OKABE_ITO[2], linewidth=2.5)
    right.set(xlabel="users", ylabel="tokens a second\nfor each user", ylim=(0, 1.1 / step.min().item()))
    right.set_title(f"at most {1 / step[0]:,.0f} for one user, {users[-1] / step[-1]:,.0f} for all when full")
    caption = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in choice.items())
    show(fig, f"Bytes read in a step and the bound on the rate of a user, against the number of users: {caption}.")


# %%
# checks: whole-model
assert (serving()[2], serving(context=4_096)[2]) == (185, 371)
assert abs(serving()[0] - read_bytes) < 1
one, half = ((serving()[0] + 32 * serving(context=t)[1]) / bandwidth for t in (8_192, 4_096))
assert round(one / half, 2) == 1.24
serving_picture(model="Llama-3-70B", context=8_192, weight_bits=16, cache_bits=16, cards=8)

# %% [markdown]
# **Explain.** The users double; the rate of one among 32 rises by a quarter only, because the weights stay. Move the
# sliders: which of weight bits, cache bits and cards moves which side?

# %% tags=["slider", "nbval-ignore-output"]
from ipywidgets import SelectionSlider, interact

sliders = interact(
    serving_picture,
    model=list(SERVED),
    context=SelectionSlider(options=[2**i for i in range(10, 18)], value=8_192),
    weight_bits=SelectionSlider(options=[4, 8, 16], value=16),
    cache_bits=SelectionSlider(options=[4, 8, 16], value=16),
    cards=SelectionSlider(options=[1, 2, 4, 8], value=8),
)

# %% [markdown]
# ## Break it
#
# Which test sees a mask at the wrong corner, and which a missing one, is in [the notebook
# on masks](causal_mask.ipynb#Which-test-sees-a-wrong-mask). New here is the store. Three new tokens on four old
# ones: what may each read?

# %%
past, new = 4, 3
BROKEN = {
    "right": causal_reads,
    "causal-mask-missing": everything,
    "new-before-old": causal_reads,
}
kinds = {
    (True, True): (OKABE_ITO[0], "reads"),
    (True, False): (OKABE_ITO[3], "reads the future"),
    (False, True): (OKABE_ITO[1], "misses"),
    (False, False): ("#E5E5E5", "rightly unread"),
}

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 2.5), sharey=True, constrained_layout=True)
for ax, (name, reads) in zip(axes, BROKEN.items(), strict=True):
    order = [*range(4, 7), *range(4)] if name == "new-before-old" else list(range(7))
    for i in range(new):
        for j in range(7):
            color, _ = kinds[j in reads(i, past, new), order[j] <= past + i]
            ax.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, color=color))
    ax.set_title(name)
    ax.set_xticks(range(7), [str(p) for p in order])
    ax.set_yticks(range(3), ["4", "5", "6"])
    ax.set(xlim=(-0.6, 6.6), ylim=(2.6, -0.6), xlabel="position of the stored key", aspect="equal")
axes[0].set_ylabel("position of\nthe new token")
patches = [plt.Rectangle((0, 0), 1, 1, color=color, label=label) for color, label in kinds.values()]
fig.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)
show(
    fig,
    "What three new tokens read of seven positions: right, without a mask, and with the new keys stored before the "
    "old ones. Without a mask two tokens read the future; new before old reads the future and misses the past.",
)

# %% [markdown]
# **Predict.** Three stores: new tokens before old ones; only the new tokens kept; only the old ones kept. Which of
# these tests sees all three: one pass, single steps, 5 then 7, or 3, 4, 5?


# %%
def run(pieces, name):
    """(rows, stored keys) of one layer whose store has one mistake."""
    memory, rows = [], []
    for piece in tokens.split(pieces):
        old = list(memory)
        rows.append(attend(piece, memory, layers[0], newest_first=name == "new-before-old"))
        if name == "only-new-handed-out":
            memory = memory[len(old) :]
        elif name == "cache-not-extended":
            memory = old or memory
    return torch.cat(rows), keys_of(memory)


def differ(a, b):
    return a.shape != b.shape or distance(a, b) > 1e-12


tests = {"one pass": [12], "single steps": [1] * 12, "5 then 7": [5, 7], "3, 4, 5": [3, 4, 5]}
seen = {}
for name in ("new-before-old", "only-new-handed-out", "cache-not-extended"):
    rows = {test: differ(run(pieces, name)[0], run(pieces, "right")[0]) for test, pieces in tests.items()}
    seen[name] = rows | {"stored keys": differ(run([5, 7], name)[1], run([5, 7], "right")[1])}
print(" " * 20, *(f"{test:>13}" for test in (*tests, "stored keys")))
for name, found in seen.items():
    print(f"{name:20}", *(f"{'seen' if one else '-':>13}" for one in found.values()))
assert list(seen["new-before-old"].values()) == [False, False, True, True, True]
for name in ("only-new-handed-out", "cache-not-extended"):
    assert list(seen[name].values()) == [False, True, False, True, True]

# %% [markdown]
# Two tests each see all three mistakes: three pieces of which the later ones are longer than one, and a look at the
# **stored keys**. No other test here does. A cache that returns only the new keys, or only the old ones, passes any
# test with two pieces, because the second piece still receives the whole first one. New before old passes single
# steps: without positions attention does not depend on the order of what it reads. Source A tests single steps and
# asserts shapes only. (Its loop is right all the same.)
#
# ### Causal mask top left
#
# `causal-mask-top-left` starts the triangle at key 0, as `is_causal=True` in `F.scaled_dot_product_attention` does;
# it should end at the last key. One query over seven keys then gets the first value. `causal-mask-missing` lets new
# tokens see each other's future: it is right for single steps and wrong for every prompt.
# `causal-mask-only-without-cache` masks the prompt and no later piece. `causal-mask-without-past`, (L, L) over P + L
# keys, raises, except for a single step, where its one entry broadcasts. `causal-mask-strict` and
# `causal-mask-one-ahead` are off by one.
#
# ### Cache
#
# #### new-before-old
#
# `cat([new, old])`: single steps agree and only the cache itself is wrong. Source E's Llama block has no positions
# either: it takes `position_ids` and never uses them. (Its cache is right; it has no grouping.)
#
# #### only-new-handed-out and cache-not-extended
#
# The detection table above shows these two stores that forget. `cache-ignored` and `cache-not-attended` read nothing
# old: each piece is a sequence of its own. Other mistakes join along a wrong axis (`cache-joined-along-heads`,
# `cache-joined-along-batch`, `cache-joined-along-features`) or exchange keys and values (`old-keys-as-values`,
# `cache-unpacked-in-wrong-order`, `cache-handed-out-in-wrong-order`). With these the first piece is right.

# %%
q, k, v = torch.randn(1, 8, 1, 4), torch.randn(1, 8, 7, 4), torch.randn(1, 8, 7, 4)
assert distance(F.scaled_dot_product_attention(q, k, v, is_causal=True), v[:, :, :1]) < 1e-12
shuffled = torch.randperm(7)
plain = F.scaled_dot_product_attention(q, k, v)
assert distance(plain, F.scaled_dot_product_attention(q, k[:, :, shuffled], v[:, :, shuffled])) < 1e-12
print("is_causal with one query returns the first value, the order of the keys does not matter:", True)

# %% [markdown]
# #### cache-changed-in-place
#
# Two continuations of one prefix (beam search, a shared system prompt) must not see each other's tokens.
#
# #### cache-on-self
#
# State on the module fails in the same way, and worse: two sequences decoded in turns read each
# other.
#
# ### Bytes
#
# `cache-expanded`: correct numbers, and r times the bytes. The shape, (B, K, past, E), is part of the contract. (Source
# A keeps tokens before heads, `cache-token-major`: as good, but not exchangeable.) `cache-unprojected` stores x and
# projects it again.

# %%
prefix, left, right = tokens[:5], tokens[5:8], tokens[8:]
memory = []
attend(prefix, memory, layers[0])
apart = [attend(branch, list(memory), layers[0]) for branch in (left, right)]  # each on its own copy
assert len(memory) == 5
shared = [attend(branch, memory, layers[0]) for branch in (left, right)]  # both on the same list
assert distance(shared[0], apart[0]) == 0
assert distance(shared[1], apart[1]) > 0.1
assert token_bytes(80, 8192, 64, 64) == 8 * token_bytes(80, 8192, 64, 8)  # stored after repeating
print("first branch right, second branch reads", len(memory) - 5 - len(right), "tokens that are not its own")

# %% [markdown]
# ## Edge cases
#
# An empty cache, an exact fit, and an autograd graph that keeps all past activations alive.

# %%
# a past of length 0 needs no case of its own
assert torch.cat([torch.empty(2, 3, 0, 4), torch.ones(2, 3, 5, 4)], dim=2).shape == (2, 3, 5, 4)

# L == S: top-left and bottom-right are one mask, which is how a test of the first piece alone is fooled
assert all(causal_reads(i, 0, 5) == range(i + 1) for i in range(5))

# a stored key keeps the graph of all that made it, unless decoding runs under no_grad
trained = {name: weight.clone().requires_grad_() for name, weight in layers[0].items()}
with_graph, without_graph = [], []
attend(tokens[:2], with_graph, trained)
with torch.no_grad():
    attend(tokens[:2], without_graph, trained)
assert with_graph[0][0].requires_grad
assert not without_graph[0][0].requires_grad
for name, memory in (("with gradients", with_graph), ("under no_grad", without_graph)):
    print(f"decoding {name}: stored keys carry a graph: {memory[0][0].requires_grad}")

# %% [markdown]
# ## Equivalences
#
# Single steps over a list = PyTorch's attention with its bottom-right mask = PyTorch's multi-head layer with a
# causal mask and key/value rows tied in groups ([grouped-query attention](gqa.ipynb#Derivation)). With K = 1 the
# same code is [multi-query attention](mqa.ipynb).

# %%
w, memory = layers[0], []
by_steps = torch.cat([attend(token[None], memory, w) for token in tokens])

last = split(tokens[7:] @ w["q"], HEADS)  # 5 new tokens on 7 old ones
keys, values = (split(tokens @ w[name], KV_HEADS).repeat_interleave(HEADS // KV_HEADS, dim=0) for name in "kv")
heads = F.scaled_dot_product_attention(last[None], keys[None], values[None], attn_mask=causal_lower_right(5, 12))
assert distance(torch.cat(list(heads[0]), dim=-1) @ w["o"], by_steps[7:]) < 1e-12

tied = [w["q"].T] + [w[n].T.unflatten(0, (KV_HEADS, -1)).repeat_interleave(4, dim=0).flatten(0, 1) for n in "kv"]
layer = nn.MultiheadAttention(WIDTH, HEADS, bias=False, batch_first=True)
with torch.no_grad():
    layer.in_proj_weight.copy_(torch.cat(tied))
    layer.out_proj.weight.copy_(w["o"].T)
    forbidden = torch.ones(12, 12, dtype=torch.bool).triu(1)  # here True means: may not attend
    theirs = layer(tokens[None], tokens[None], tokens[None], attn_mask=forbidden, need_weights=False)[0][0]
assert distance(theirs, by_steps) < 1e-12
for name, rows in (("single steps", by_steps), ("tied multi-head layer", theirs)):
    print(f"{name:22} {[float(f'{x:.2f}') for x in rows[-1, :5].tolist()]}")

# %% [markdown]
# ## Cost
#
# One step at 4,096 tokens in all layers, one sequence: what attention computes, what it reads, and the price of
# `all-tokens-projected`, which projects the keys and values of the past again. (So does `cache-unprojected`.
# `cache-expanded` multiplies the bytes by H/K. `cache-token-major`, `cache-unsplit` and `cache-keys-scaled` cost
# nothing, but nobody else can read them; `cache-keys-scaled-again` shrinks old keys at each call and is wrong.)

# %%
print("             GFLOP projections   GFLOP scores   MiB of cache read   FLOP per byte   GFLOP more, projected again")
for name, (depth, D, H, K) in MODELS.items():
    every, scores = depth * layer_flops(1, 4096, D, H, K), depth * 4 * 4096 * D
    cache = 4096 * token_bytes(depth, D, H, K)
    assert scores / cache == H / K
    again = depth * 4095 * 4 * D * K * (D // H)
    print(
        f"{name:12} {(every - scores) / 1e9:>16.3g} {scores / 1e9:>15.3g} {cache / 2**20:>19,.0f} {H // K:>15}", end=""
    )
    print(f" {again / 1e9:>28,.0f}")

# %% [markdown]
# ## Interview questions
#
# <!-- questions -->
#
# Each number above, asserted:

# %%
# checks: cache-size, cache-70b
assert token_bytes(*MODELS["Llama-3-8B"]) == 2 * 32 * 8 * 128 * 2 == 131_072
assert 32_768 * 131_072 / 2**30 == 4
gib = [32_768 * token_bytes(80, 8192, 64, K) / 2**30 for K in (8, 64, 1)]
assert gib == [10, 80, 1.25]
assert gib[1] * 2**30 > 80e9

# %%
# checks: compute-or-memory, prefill-decode, keep-k-v
assert distance(whole[:7], changed[:7]) == 0
assert [len(range(7)), 7 + 4, 6 + 1] == [7, 11, 7]
assert [points[name] for name in ("Llama-2-7B", "Llama-3-8B", "Llama-2-70B")] == [1, 4, 8]
assert round(989 / 3.35) == 295
assert [int(p) for p in prompts] == [1_024, 1_638, 1_820]
assert prompts[0] > 295
assert 2_048 * 32 // (32 + 32) == 1_024

# %%
# checks: flops-saved, cat-in-server
assert math.isclose(without_cache(10**7, 512, 8, 8) / with_cache(10**7, 512, 8, 8), 2 * 10**7 / 3, rel_tol=1e-3)
assert round(with_ffn[0] / with_ffn[1]) == 1_038
assert round(without_cache(256, 512, 8, 4) / with_cache(256, 512, 8, 4)) == 135
assert round(without_cache(2_048, 4_096, 32, 32) / with_cache(2_048, 4_096, 32, 32)) == 1_062
assert round(copied / 2**30) == 1_024
assert 4_096 * token_bytes(*MODELS["Llama-3-8B"]) / 2**30 == 0.5

# %%
# checks: one-pass-or-steps, rope-cache
assert distance(full, shifted) < 1e-12  # all positions shifted by 100
assert distance(full, restarted) > 0.1
assert [len(causal_reads(i, 4, 3)) for i in range(3)] == [5, 6, 7]
one_hot = F.scaled_dot_product_attention(  # the weights themselves, and from them what the mask allows
    torch.zeros(1, 1, 3, 7), torch.zeros(1, 1, 7, 7), torch.eye(7)[None, None], attn_mask=causal_lower_right(3, 7)
)
assert (one_hot[0, 0] > 0).sum(-1).tolist() == [5, 6, 7]
assert torch.ones(3, 7, dtype=torch.bool).tril().sum(-1).tolist() == [1, 2, 3]
assert distance(in_pieces([1] * 12, everything)[0], in_pieces([1] * 12)[0]) == 0
assert not seen["new-before-old"]["single steps"]
assert not seen["cache-not-extended"]["5 then 7"]

# %% [markdown]
# ## Exercises
#
# **1.** Change the pieces in the detection table to `[11, 1]`. Which of the three stores go into hiding, and why?
#
# <details><summary>Solution</summary>
#
# All three. With two pieces the forgetful stores still hand out the whole first piece, and the second piece is a single
# row, for which the order of the keys does not matter. Only the stored keys show it.
#
# </details>
#
# **2.** A server keeps pages of 16 tokens. 200 users share a system prompt of 1,000 tokens and have 500 tokens each.
# How many pages does Llama-3-8B need, with and without sharing, and how many GiB is that?
#
# <details><summary>Solution</summary>
#
# A page is $16\cdot128$ KiB = 2 MiB. The prompt fills 62 pages and 8 tokens of a 63rd, which each user must copy before
# writing. Shared: $62+200\cdot\lceil508/16\rceil=62+200\cdot32=6{,}462$ pages, 12.6 GiB. Not shared:
# $200\cdot\lceil1500/16\rceil=200\cdot94=18{,}800$ pages, 36.7 GiB.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Draw the mask for 3 new tokens on 4 old ones first. Then write the body and run the cell.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Pope et al. 2022, *Efficiently Scaling Transformer Inference* (2211.05102). Kwon et al. 2023
# (vLLM, 2309.06180). Su et al. 2021 (RoPE, 2104.09864). Next: [one kv head](mqa.ipynb), the far end of the roofline.
