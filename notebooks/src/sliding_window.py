# %% [markdown]
# # Sliding window and rolling cache
#
# <!-- badge -->
#
# A layer that sees the last $w$ positions needs no more than these in its cache. **After this notebook you can** draw
# the mask with sinks, say what n layers reach and what of it arrives, keep a cache that never grows, and name the test
# that finds each way of getting it wrong.
#
# Short of time? 6 minutes: [The band](#The-band), [Sinks in the mask](#Sinks-in-the-mask),
# [First append then evict](#First-append-then-evict), and then the questions.
#
# Reading time: 16 minutes. Kata: `python grader.py check sliding_window`

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


# %% [markdown]
# ## The interview question
#
# > *Your model attends to the last 4,096 tokens. Write the mask and the cache. How do you know that a prompt read in
# > chunks gives what one pass gives?*
#
# Both parts are ten lines, and both go wrong by one: in the width of the band, and in the order of two operations.

# %% [markdown]
# ## The band
#
# A query at position $i$ sees $j$ when $0\le i-j<w$. There are two edges. The one towards the future is the causal
# mask; the other one lies $w$ below it. The query counts.
#
# **Predict.** Seven positions and a window of three: how many pairs are allowed?


# %%
def sees(i, j, w, sinks=0):
    return j <= i and (i - j < w or j < sinks)


def table(queries, keys, rule):
    """bool (queries, keys): the queries are the last of the positions."""
    return torch.tensor([[rule(keys - queries + i, j) for j in range(keys)] for i in range(queries)])


band = table(7, 7, lambda i, j: sees(i, j, 3))
wide = table(7, 7, lambda i, j: 0 <= i - j <= 3)
both_sides = table(7, 7, lambda i, j: abs(i - j) < 3)
assert band.sum().item() == 7 * 3 - 3 * (3 - 1) // 2 == 18
assert (wide.sum().item(), both_sides.sum().item()) == (22, 29)
print("keys of each query:", *band.sum(1).tolist(), "  with <= :", *wide.sum(1).tolist())

# %% [markdown]
# $Nw-\frac{w(w-1)}2$ pairs for $N\ge w$, since the first rows are a triangle.
#
# What is got wrong, by the names that the grader uses: *window-one-too-many* is the comparison with `<=`,
# *window-one-too-few* and *window-strict* miss a key, *window-without-itself* has $w$ keys and not the query.
# *window-two-sided* takes the distance with `abs`, *window-centred* puts the window around the query, *window-ahead*
# puts it behind, *later-not-hidden* has one edge only: all four leak. *window-ignored* is the causal mask,
# *far-instead-of-near* its other part. *window-in-blocks* cuts the sequence into blocks, which is another
# architecture (Llama 4 has it): there the first query of a block sees one key.

# %% [markdown]
# ## Queries are the last positions
#
# With a past, row $i$ of L is position $i+S-L$. *window-top-left* forgets it in one edge or in both, and
# *window-of-all-positions* returns all S rows.
#
# **Predict.** A band has two edges, each with its own diagonal. Two queries over six keys, $w=3$, and one of the edges
# starts in the corner: how many keys are seen?

# %%
right = table(2, 6, lambda i, j: sees(i, j, 3))
causal_corner = torch.tensor([[j <= i and (i + 4) - j < 3 for j in range(6)] for i in range(2)])
far_corner = torch.tensor([[j <= i + 4 and i - j < 3 for j in range(6)] for i in range(2)])
assert right.sum(1).tolist() == [3, 3]
assert causal_corner.sum().item() == 0
assert far_corner.sum(1).tolist() == [5, 6]
print("right", right.sum(1).tolist(), "  causal edge in the corner", causal_corner.sum(1).tolist(), end="  ")
print("far edge in the corner", far_corner.sum(1).tolist())

# %% [markdown]
# Nothing at all, or everything.

# %% [markdown]
# ## Sinks in the mask
#
# Weights sum to one, so a head that has nothing to fetch must still put its weight somewhere. The first token is
# visible to every query, and trained models make a sink of it. A window drops it.
#
# **Predict.** A sink has a score of 5, a hundred other keys have 0. What happens to the other weights when the sink
# falls out of the window?

# %%
scores = torch.tensor([5.0] + [0.0] * 100)
with_sink, without = scores.softmax(0), scores[1:].softmax(0)
grown = (without[0] / with_sink[1]).item()
assert round(100 * with_sink[0].item()) == 60
assert 2.45 < grown < 2.55
print(f"the sink takes {with_sink[0]:.0%}; without it each other weight is {grown:.1f} times as large")

# %% [markdown]
# Every head of every layer, at once: StreamingLLM (2309.17453) shows perplexity exploding as the first token leaves,
# and returning to normal with four of them kept. Models trained for it have a learned number in the denominator
# instead (gpt-oss, 2508.10925).
#
# A sink is a key that is *also* visible: near **or** a sink, and never later than the query.
#
# *sinks-not-seen* leaves them out, *sinks-and-near* joins with *and*, *sinks-seen-too-early* lets the first queries
# look ahead, *sinks-count-in-the-window* takes them off $w$, *one-sink-too-many* and *one-sink-too-few* count wrongly,
# *sinks-seen-as-queries* makes rows of them.

# %%
rules = {
    "right": lambda i, j: sees(i, j, 3, 2),
    "sinks-seen-too-early": lambda i, j: sees(i, j, 3) or j < 2,
    "sinks-count-in-the-window": lambda i, j: sees(i, j, 3 - 2, 2),
    "window-two-sided": lambda i, j: sees(i, j, 3, 2) or abs(i - j) < 3,
}
masks = {name: table(8, 8, rule) for name, rule in rules.items()}
wrong_pairs = {name: (mask != masks["right"]).sum().item() for name, mask in masks.items()}
assert list(wrong_pairs.values()) == [0, 1, 9, 13]

# %%
fig, axes = plt.subplots(1, 4, figsize=(11, 2.9), constrained_layout=True)
for ax, (name, mask) in zip(axes, masks.items(), strict=True):
    for i, j in torch.cartesian_prod(torch.arange(8), torch.arange(8)).tolist():
        seen, good = mask[i, j].item(), masks["right"][i, j].item()
        colour = BLUE if seen and good else VERMILLION if seen else "white" if not good else "#FFE9BF"
        ax.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, facecolor=colour, edgecolor="#999999"))
        if seen != good:
            ax.text(j, i, "x" if seen else "o", ha="center", va="center", weight="bold")
    ax.set(xlim=(-0.6, 7.6), ylim=(7.6, -0.6), xticks=range(8), yticks=range(8), aspect="equal", xlabel="key")
    ax.set_title(name, fontsize=9)
axes[0].set_ylabel("query")
show(
    fig,
    "Masks of eight positions with a window of three and two sinks. Blue is right, a cross is seen and must not be, a "
    "ring is hidden and must not be. Sinks that are seen too early leak a single pair.",
)

# %% [markdown]
# ## The form of the mask
#
# bool (L, S), True for what may be seen. *window-mask-inverted*, *window-mask-transposed*, *window-mask-not-bool*,
# *window-mask-additive* and *window-mask-with-leading-dimensions* are other forms. A float mask does harm in silence:
# added to scores, ones raise what is allowed and hide nothing.
#
# **Predict.** PyTorch takes a float mask as a summand. Which share of its weight does the last query then give to keys
# outside of its window, if all scores are equal?

# %%
q, marks = torch.zeros(1, 8, 4), (~masks["right"]).double()[-1].view(1, 8, 1)
leak = F.scaled_dot_product_attention(q, q, marks, masks["right"].double())[0, -1].item()
assert abs(leak - 3 / (3 + 5 * math.e)) < 1e-12
hidden = F.scaled_dot_product_attention(q, q, marks, masks["right"])[0, -1].item()
print(f"weight outside: {leak:.2f} with a float mask, {hidden:.2f} with a bool one")

# %% [markdown]
# ## Reach over layers
#
# Each layer passes on what it saw, so after $n$ layers a position has heard of $n(w-1)$ before it. That is a path, not
# yet a memory. With equal weights the distance is a sum of $n$ even draws from $0\dots w-1$.
#
# **Predict.** $w=4$ and three layers reach 9 back. Which share of the weight comes from the farthest, and within which
# distance lies half of it?


# %%
def heard(w, layers):
    """Weight by distance after so many layers, if all weights of a window are equal."""
    weight, one = torch.ones(1), torch.full((w,), 1 / w)
    for _ in range(layers):
        longer = torch.zeros(len(weight) + w - 1)
        for back, share in enumerate(one.tolist()):
            longer[back : back + len(weight)] += share * weight
        weight = longer
    return weight


three = heard(4, 3)
assert len(three) - 1 == 9 == 3 * (4 - 1)
assert math.isclose(three[9], 1 / 64)
assert math.isclose(three[: 4 + 1].sum(), 1 / 2)
print(f"farthest {three[9]:.3f}   within 4: {three[:5].sum():.2f}")
spread = {n: heard(16, n) for n in (1, 2, 4, 8)}
means = [(torch.arange(len(s)) * s).sum().item() for s in spread.values()]
assert all(abs(mean - n * 15 / 2) < 1e-9 for n, mean in zip(spread, means, strict=True))

# %%
fig, ax = plt.subplots(figsize=(7, 2.6), constrained_layout=True)
for (layers, weight), colour in zip(spread.items(), OKABE_ITO, strict=False):
    ax.plot(range(len(weight)), weight, color=colour, label=f"{layers} layers" if layers > 1 else "1 layer")
    ax.plot([layers * 15], [0], marker="|", color=colour, markersize=12, clip_on=False)
ax.set(xlabel="distance [positions]", ylabel="weight", ylim=(0, 0.07))
ax.legend()
show(
    fig,
    "Where the weight of an output comes from after 1, 2, 4 and 8 layers with a window of 16 and equal weights. The "
    "bars on the axis mark the farthest position in reach: next to nothing arrives from there.",
)

# %% [markdown]
# The mean grows with $n$, the spread with $\sqrt n$: most models put full layers between windowed ones.

# %% [markdown]
# ## What is held
#
# The next query is at position `seen`, and looks back to `seen - w + 1`. A token that is in nobody's window any more is
# dropped for good. The last $w$ tokens are held, although the next query, which brings itself, needs $w-1$ of them.
#
# *nothing-evicted* keeps all, *one-held-too-many* and *one-held-too-few* are off by one, *oldest-held* keeps the wrong
# end. *nothing-held-from-before* and *forgotten-when-full* start again at each chunk, or once. *evicted-among-heads*
# cuts the wrong axis; *values-not-evicted* and *positions-not-evicted* forget a tensor.

# %%
TOKEN = 2 * 32 * 8 * 128 * 2  # Mistral 7B: keys and values, layers, heads, features, bytes
tokens = torch.tensor([2**n for n in range(9, 18)])
full = tokens * TOKEN / 2**30
windowed = tokens.clamp_max(4096) * TOKEN / 2**30
mixed = 0.25 * full + 0.75 * windowed
print("GiB at 131,072 tokens:", [f"{part[-1].item():.3g}" for part in (full, mixed, windowed)])
assert (full[-1], windowed[-1]) == (16, 0.5)

# %%
fig, ax = plt.subplots(figsize=(7, 2.6), constrained_layout=True)
for name, line in (("all layers full", full), ("one full layer in four", mixed), ("window of 4,096", windowed)):
    ax.loglog(tokens, line, marker="o", label=name)
ax.set(xlabel="tokens of the sequence", ylabel="cache [GiB]")
ax.legend()
show(
    fig,
    "Bytes of the cache of one sequence, sizes of Mistral 7B. With a window in all layers the cache stops at half a "
    "GiB; with one full layer in four it grows on, at a quarter of the slope.",
)

# %% [markdown]
# ## First append then evict
#
# For one token at a time it does not matter whether the oldest is dropped before or after. For a chunk of L it does.
# Its first query looks $w-1$ back, its last one sees itself: together $w-1+L$ keys, more than the cache will hold
# afterwards. So the chunk attends to what is held **and** to itself, and only then the cache is updated.
#
# **Predict.** $w=4$, tokens 6 to 9 are held, the chunk is 10 to 12. Written into the ring first, how many of its four
# keys does query 10 still find?


# %%
def update(held, chunk, w, sinks=0):
    """The positions that are held after a chunk."""
    every = held + chunk
    return [p for p in every if p > every[-1] - w or p < sinks]


held, chunk = [6, 7, 8, 9], [10, 11, 12]
after = update(held, chunk, 4)
wanted = [j for j in range(13) if sees(10, j, 4)]
assert wanted == [7, 8, 9, 10]
assert after == [9, 10, 11, 12]
found = [j for j in wanted if j in after]
assert found == [9, 10]
beside = [j for j in wanted if j in held + chunk]
print("query 10 wants", wanted, "  finds in the ring", found, "  side by side", beside)

# %% [markdown]
# What goes wrong in the update itself: *evicted-before-appending* makes room for nothing and ends up with $w+L$
# tokens, *long-chunk-held-whole* never shortens the chunk, *first-chunk-held-whole* not the prompt,
# *one-dropped-at-a-time* and *as-many-dropped-as-come* count instead of asking what is too old,
# *only-the-last-token-taken* and *only-the-first-token-taken* take every chunk for one token, *new-tokens-first* puts
# the chunk on the wrong side. Test with chunks of one, of some, and of more than $w$.

# %% [markdown]
# ## Sinks in the cache
#
# Sinks are held besides the $w$ tokens: $\min(\text{seen}, s+w)$ in all. *sinks-evicted* drops them,
# *sinks-count-in-the-cache* gives them places of the window, *sinks-of-the-chunk* takes the first tokens of each
# chunk, *sinks-of-the-first-chunk-only* misses those that come later, *first-chunk-cut-without-sinks* cuts the prompt
# before it thinks of them, *one-sink-held-too-many* and *one-sink-held-too-few* count wrongly.
#
# *sinks-held-twice* shows in short sequences only: `[:s]` and `[-w:]` overlap there, and a key that is there twice
# counts twice.
#
# **Predict.** Three tokens with equal scores, $s=1$, $w=3$, and the sink is held twice. Which weight does it get?

# %%
row = [0, 1, 2]
twice = row[:1] + row[-3:]
share = twice.count(0) / len(twice)
assert twice == [0, 0, 1, 2]
assert share == 1 / 2
print("held", twice, f"  weight of the sink {share:.2f} instead of {1 / 3:.2f}")

# %% [markdown]
# ## Positions that stay
#
# After an eviction a token's place in the cache is no longer its position in the sequence. New tokens go on from
# `seen`, not from the number held.
#
# *positions-from-the-tokens-held* is the classical one, right until the cache is full. *positions-renumbered*,
# *positions-of-the-window* and *positions-are-slots* lose the positions of what is held, *chunk-positions-from-zero*,
# *chunk-positions-from-one*, *chunk-positions-after-the-chunk* and *one-position-for-the-chunk* those of what is new;
# *chunk-taken-for-one-token* loses them and the count.
# The count goes wrong as *seen-is-held*, *seen-of-the-chunk*, *seen-not-advanced*, *seen-advanced-by-one*,
# *seen-counted-twice*, *seen-of-held-and-chunk* and *seen-is-the-last-position*.
#
# The order in the cache is free: attention is a sum over keys.
#
# **Predict.** A ring has turned, so that its keys lie in another order. How much does the output of a query change with
# a mask by positions, and with a triangle over the slots?

# %%
slots = torch.tensor([4, 5, 6, 0, 1, 2, 3])  # slot -> position
q, k, v = torch.randn(1, 3, 8), torch.randn(1, 7, 8), torch.randn(1, 7, 8)
mask = table(3, 7, lambda i, j: sees(i, j, 7))
in_a_row = F.scaled_dot_product_attention(q, k, v, mask)
by_position = F.scaled_dot_product_attention(q, k[:, slots], v[:, slots], mask[:, slots])
by_slot = F.scaled_dot_product_attention(q, k[:, slots], v[:, slots], mask)
off = [(out - in_a_row).abs().max().item() for out in (by_position, by_slot)]
assert off[0] < 1e-12
assert off[1] > 0.1
print(f"mask by positions: off by {off[0]:.1f}   triangle over slots: off by {off[1]:.1f}")

# %% [markdown]
# ## The form of the cache
#
# (keys, values, positions, seen), all of them: *positions-not-returned* cannot tell a sink, *seen-not-returned* has to
# guess. *empty-slots-returned* hands out a ring that is not full yet, whose zeros get a weight. *cache-in-float32* is
# `torch.zeros` without a dtype, *positions-not-integer* and *seen-as-a-tensor* are other types, *keys-for-values* and
# *values-for-keys* slips. *cache-written-in-place* changes what was handed in: a prefix is continued once only.
#
# And a trap that no number shows: a slice is a view of all that it was cut from.

# %%
prompt = torch.zeros(1, 8, 4096, 64, dtype=torch.float16)
window_of_it = prompt[:, :, -256:]
alive = [part.untyped_storage().nbytes() / 2**20 for part in (window_of_it, window_of_it.clone())]
assert alive == [4, 0.25]
print("MiB kept alive by the last 256 of 4,096 tokens:", alive[0], "as a slice,", alive[1], "as a copy")

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %%
# checks: share-of-scores, reach-in-practice, why-sinks
N, w = 32_768, 4_096
assert N * w - w * (w - 1) // 2 == 125_831_168
assert N * (N + 1) // 2 == 536_887_296
assert round(100 * 125_831_168 / 536_887_296) == 23
assert round(100 * (w * w - w * (w - 1) // 2) / (w * (w + 1) // 2)) == 100
assert 32 * 4_095 == 131_040
assert round(131_040, -3) == 131_000
assert math.isclose(heard(4, 3)[9], 1 / 64)
assert math.isclose(heard(4, 3)[: 4 + 1].sum(), 1 / 2)
assert scores[0] == 5
assert (scores[1:] == 0).sum() == 100
assert round(100 * with_sink[0].item()) == 60
assert round(grown, 1) == 2.5

# %%
# checks: sink-positions, how-many-to-hold, bytes-of-a-window
assert 100_000 - 1 == 99_999
assert 4 + 1_020 - 1 == 1_023
assert 4_096 - 1 == 4_095
assert table(5, 5, lambda i, j: 0 <= i - j <= 1).sum(1).tolist() == [1, 2, 2, 2, 2]
assert 2 * 32 * 8 * 128 * 2 == 128 * 2**10 == TOKEN
assert TOKEN * 131_072 / 2**30 == 16
assert TOKEN * 4_096 / 2**30 == 0.5
assert 16 / 0.5 == 32
assert round(16 * 8 / 32 + 0.5 * 24 / 32, 1) == 4.4
assert mixed[-1] == 4.375

# %%
# checks: append-then-evict, order-in-a-ring, roll-back-a-ring
assert update([6, 7, 8, 9], [10, 11, 12], 4) == [9, 10, 11, 12]
assert (len(found), len(wanted)) == (2, 4)
assert len(held + chunk) == 7
assert len(range(10 - 4 + 1, 12 + 1)) == 6
assert len(slots) == 7
assert off[0] < 1e-12
assert off[1] > 0.1
back = [p for p in after if p < 10]
assert back == [9]
assert [j for j in range(10) if sees(10, j, 4) and j not in back] == [7, 8]

# %% [markdown]
# ## Exercises
#
# **1.** A query sees its window and every $d$-th position before it. What does the cache have to hold, and does it
# still stop growing?
#
# <details><summary>Solution</summary>
#
# The window and every $d$-th token: $w+\frac{\text{seen}}d$. It grows, $d$ times more slowly. If the query counts from
# itself, $(i-j)\bmod d=0$, then other tokens are wanted at each step, and nothing may be dropped at all.
#
# </details>
#
# **2.** A prompt of N tokens is read in chunks of C through a window. How many keys does a chunk meet, and which
# C makes the largest score tensor as large as the cache, for $w$ tokens of 2E numbers and H / K query heads a
# key/value head?
#
# <details><summary>Solution</summary>
#
# $w+C$ keys, or $w-1+C$ that are needed. The scores of a key/value head are $\frac HK C(w+C)$ numbers beside $2wE$ in
# the cache. For $C\ll w$ that is $C=\frac{2EK}H$: 64 for Mistral's E of 128 and four query heads.
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
# **Further reading.** Beltagy, Peters and Cohan 2020 (Longformer, 2004.05150), section 3.1. Jiang et al. 2023 (Mistral
# 7B, 2310.06825), section 2: ring and chunks. Xiao et al. 2023 (StreamingLLM, 2309.17453): sinks. Gemma team 2025
# (Gemma 3, 2503.19786): five windowed layers to a full one. Before:
# [the causal mask](causal_mask.ipynb#Windows-and-documents).
