# %% [markdown]
# # Start here
#
# <!-- badge -->
#
# The six katas are one idea. **After this page you can** say how each follows from the one before, grade what you have
# written, look a formula or a letter up, and plan the hour before an interview.
#
# Reading time: 12 minutes. The six notebooks take 40 to 55 minutes each, without the time to think; the short path at
# the top of each takes a third of that. Grade what you have written: `python grader.py`
#
# ([中文](zh/start_here.ipynb): this page and the derivations)

# %% tags=["setup"]
# build.py puts the set-up here

# %%
import io
import textwrap

import matplotlib.pyplot as plt
import PIL.Image
import torch
import torch.nn.functional as F
from IPython.display import Image, display

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
# ## The map
#
# Attention is a weighted mean of values; a softmax makes the weights. Everything else answers one of two
# questions: *which values may be averaged* (the upper road) and *how many averages run side by side* (the lower
# one). The cache is where the two meet.

# %%
boxes = {  # place, kata, what is new
    "sdpa": (0.0, 0.5, "weighted mean\nof the values", 0),
    "causal_mask": (1.25, 1.0, "only the past\ncounts", 2),
    "mha": (1.25, 0.0, "H means\nside by side", 1),
    "gqa": (2.5, 0.0, "K < H heads\nof keys, values", 1),
    "gqa_kv_cache": (3.75, 0.5, "the past is\nnot recomputed", 3),
    "mqa": (3.75, -0.45, "K = 1", 1),
}
roads = [
    ("sdpa", "causal_mask"), ("sdpa", "mha"), ("mha", "gqa"), ("causal_mask", "gqa_kv_cache"),
    ("gqa", "gqa_kv_cache"), ("gqa", "mqa"),
]  # fmt: skip
fig, ax = plt.subplots(figsize=(9.5, 3.6))
for start, end in roads:
    (x0, y0, *_), (x1, y1, *_) = boxes[start], boxes[end]
    arrow = {"arrowstyle": "-|>", "color": "#666666", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.5}
    ax.annotate("", (x1 - 0.44, y1), (x0 + 0.44, y0), arrowprops=arrow)
for name, (x, y, news, colour) in boxes.items():
    frame = {"facecolor": "white", "edgecolor": OKABE_ITO[colour], "linewidth": 2.5}
    ax.add_patch(plt.Rectangle((x - 0.44, y - 0.19), 0.88, 0.38, **frame))
    ax.text(x, y + 0.1, name, ha="center", va="center", weight="bold", fontsize=10)
    ax.text(x, y - 0.06, news, ha="center", va="center", fontsize=9)
ax.text(2.5, 1.0, "which values?", ha="center", color=OKABE_ITO[2], fontsize=11)
ax.text(2.1, -0.45, "how many means?", ha="center", color=OKABE_ITO[1], fontsize=11)
ax.set(xlim=(-0.55, 4.3), ylim=(-0.7, 1.25))
ax.axis("off")
show(
    fig,
    "Map of the six katas. From sdpa one road leads over causal_mask to gqa_kv_cache, the other over mha and gqa to "
    "gqa_kv_cache and to mqa.",
)

# %% [markdown]
# ## Six equalities
#
# Each step keeps the one before as a special case. If you can say why these lines hold, you know the subject; the
# notebooks are their proofs.
#
# | | equality | notebook |
# |---|---|---|
# | 1 | equal scores give the plain mean | [sdpa](sdpa.ipynb) |
# | 2 | row i under a causal mask is attention over the first i + 1 keys alone | [causal_mask](causal_mask.ipynb) |
# | 3 | H heads are H attentions on blocks of features | [mha](mha.ipynb) |
# | 4 | K = H is multi-head; K < H is multi-head with repeated keys and values | [gqa](gqa.ipynb) |
# | 5 | the last tokens over a cache are the last rows of one pass | [gqa_kv_cache](gqa_kv_cache.ipynb) |
# | 6 | K = 1: one key and value for all heads | [mqa](mqa.ipynb) |
#
# Below, H = 6, K = 2, five tokens. The letters are explained at the end of this page.

# %%
attend = F.scaled_dot_product_attention
H, K, T, E = 6, 2, 5, 4
q, k, v = (torch.randn(heads, T, E, dtype=torch.float64) for heads in (H, K, K))
wide_k, wide_v = k.repeat_interleave(H // K, 0), v.repeat_interleave(H // K, 0)
see = torch.ones(T, T, dtype=torch.bool).tril()


def same(a, b):
    return torch.allclose(a, b, atol=1e-12)


pass_ = attend(q, wide_k, wide_v, see)
one_by_one = torch.stack([attend(q[h], k[h // 3], v[h // 3], see) for h in range(H)])
grouped = attend(q[None], k[None], v[None], see[None, None], enable_gqa=True)[0]
last_two = attend(q[:, 3:], wide_k, wide_v, see[3:])
one_kv = attend(q[None], k[None, :1], v[None, :1], see[None, None], enable_gqa=True)[0]

equalities = {
    1: same(attend(torch.zeros_like(q), wide_k, wide_v), wide_v.mean(1, keepdim=True).expand(-1, T, -1)),
    2: all(same(pass_[:, i], attend(q[:, i : i + 1], wide_k[:, : i + 1], wide_v[:, : i + 1])[:, 0]) for i in range(T)),
    3: same(pass_, one_by_one),
    4: same(grouped, pass_),
    5: same(last_two, pass_[:, 3:]),
    6: same(one_kv, attend(q, k[:1].expand(H, -1, -1), v[:1].expand(H, -1, -1), see)),
}
assert all(equalities.values())
print(equalities)

# %% [markdown]
# **Two statements that look just as plausible and are false.** Key heads repeated as a tile (0 1 0 1 0 1 instead of 0
# 0 0 1 1 1) give the right shape and wrong numbers. So does PyTorch's `is_causal=True` for two new tokens over five
# keys: its triangle starts at the top left, and a cache needs it at the bottom right.

# %%
tiled = attend(q, k.repeat(3, 1, 1), v.repeat(3, 1, 1), see)
top_left = attend(q[:, 3:], wide_k, wide_v, is_causal=True)
assert tiled.shape == pass_.shape
assert top_left.shape == last_two.shape
assert not same(tiled, pass_)
assert not same(top_left, last_two)
assert same(top_left[:, 0], wide_v[:, 0])  # its first new token sees only key 0
print("same shapes, other numbers:", True)

# %% [markdown]
# ## How to practise
#
# 1. Open `problems/sdpa.py`. The text at its top is the whole contract.
# 2. Write the body against the clock, without the notebook: 10 to 30 minutes, each stub says how many.
# 3. Grade. A failure shows the call, what was wanted and what came. A *cause*, where there is one, is proven;
#    `docs/mistakes.md` names it and the notebook section that explains it.
# 4. Stuck? Ask for a hint. Each call gives one more, three in all, and never the code.
# 5. Passed? Compare with the reference. Then read the notebook: write each *prediction* down before you look at the
#    cell below it, do the exercises, write the kata again in the graded cell at its end, and answer the questions
#    aloud.
# 6. Next day, and a week later: reset, and write it again. It is the second time that makes it stick.
#
# | in a terminal | what it does |
# |---|---|
# | `python grader.py` | grades every kata that you have started |
# | `python grader.py check sdpa` | grades this one |
# | `python grader.py hint sdpa` | gives one hint more |
# | `python grader.py compare sdpa` | shows yours beside the reference, once yours passes |
# | `python grader.py reset sdpa` | puts the empty stub back; yours is kept in `.kata/backups/` |
#
# The tests are in `tests/`; reading them is allowed.

# %% [markdown]
# ## One hour before the interview
#
# | minutes | do |
# |---|---|
# | 0-10 | write sdpa from memory, with a mask; say aloud what a query sees that may attend to nothing |
# | 10-25 | write gqa; K = H and K = 1 give you mha and mqa |
# | 25-35 | draw the mask of 3 new tokens over 7 keys; then [what the cache needs](gqa_kv_cache.ipynb) |
# | 35-60 | the questions at the end of each notebook, one of each, aloud |

# %% [markdown]
# ## One page
#
# | what | formula |
# |---|---|
# | attention | $\mathrm{softmax}(QK^\top/\sqrt E)\,V$, scores and softmax in float32 |
# | mask of L new rows over S keys | $j\le i+S-L$ |
# | a layer | $\sum_hA_hXW_V^hW_O^h$ |
# | its weights | $D^2(2+2K/H)$ |
# | FLOPs of N tokens | $4ND^2+4NDKE+4N^2D$; with the feed-forward layer both halves are equal at $N=6D$ |
# | cache of a token | $2\cdot\text{layers}\cdot K\cdot E\cdot b$ bytes |
# | FLOP per byte in decoding | $2H/(Kb)$ |
#
# Five numbers to know by heart, and where they come from:

# %%
print("cache of a token, Llama-3-8B:", 2 * 32 * 8 * 128 * 2 // 1024, "KiB")
print("FLOP per byte that an H100 needs:", round(989e12 / 3.35e12))
print("tokens at which the quadratic half leads, N = 6D with D = 4,096:", f"{6 * 4096:,}")
print(f"one kv head for 64: the layer keeps {(2 + 2 / 64) / 4:.0%} of its weights and 1/64 of its cache")
print("GQA-8 against MHA in the GQA paper:", round(1.51 / 0.28, 1), "times as fast")
assert 24 * 4096**2 == 4 * (6 * 4096) * 4096  # FLOPs a token: weights against scores and values

# %% [markdown]
# ## Letters
#
# | letter | meaning | in papers |
# |---|---|---|
# | B, L, S | batch, queries, keys | $b$, $n$ or $T$ |
# | D | model width | $d_{model}$ |
# | H, K | query heads, key/value heads; $r=H/K$ share one | $h$, $G$ |
# | E | head size, in these katas D / H | $d_k$, $d_{head}$ |
# | N | tokens of a pass (L = S = N) | $n$, $T$ |
# | T | tokens produced one by one | $T$ |
# | t, n | cached tokens of one sequence, of all sequences | |
# | s, A | scores, weights: $A=\mathrm{softmax}(s)$ | $S$, $P$ |
# | b | bytes a number | |
#
# Q, K and V side by side in a formula are the matrices of queries, keys and values; a K beside H is a number of heads.
# Weights stand on the right, $XW$, as in the papers; `nn.Linear` keeps their transposes. Masks are boolean, True means
# *may attend*.

# %% [markdown]
# ## What the sources get wrong
#
# The katas grew out of five tutorials that many people learn from, called A to E here. Their code was run, their
# claims were measured. Most of it is right, and these are the errors worth knowing, for interviewers have read the
# same pages:
#
# | source | it says or does | in fact | treated in |
# |---|---|---|---|
# | A | a mask gets `unsqueeze(1)` whatever its shape | with L = H each head gets a query's mask | [mha](mha.ipynb) |
# | B | grouped attention takes a mask | and ignores it | [gqa](gqa.ipynb) |
# | C | FlashAttention is 2-4x faster | version 1 is, in attention alone | [sdpa](sdpa.ipynb#Online-softmax) |
# | D | `F.scaled_dot_product_attention` on (B, L, H, E) | tokens never mix | [sdpa](sdpa.ipynb#Heads-as-positions) |
# | D | an einsum for grouped scores | sums the group's queries | [gqa](gqa.ipynb) |
# | E | cross-attention: queries from the encoder | from the decoder | [mha](mha.ipynb) |
# | E | multi-query is fast because it has fewer parameters | because it reads a smaller cache | [mqa](mqa.ipynb) |
#
# `docs/sources.md` in this repository lists every claim of the five, the verdict, the number measured, and the
# section that deals with it.
#
# The einsum has a story. It comes from a public implementation of grouped attention that was wrong from its first
# draft, in July 2023, until May of the next year. It had tests, and they passed: they looked at shapes, and one of
# them asserted the bug's own. This is why the graders here compare numbers, with sizes that are all different, and
# why the numbers in these notebooks are asserted where they are printed.
#
# **Further reading.** Vaswani et al. 2017 (1706.03762), the paper itself. Pope et al. 2022 (2211.05102), what decoding
# costs. Dao et al. 2022 (2205.14135), why bytes and not FLOPs. Next: [scaled dot-product attention](sdpa.ipynb).
