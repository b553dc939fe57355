# %% [markdown]
# # Sampling the next token
#
# <!-- badge -->
#
# Between the logits and the text stand twenty lines that nobody tests, for they are random.
# **After this notebook you can** say what temperature, top-k and top-p do to a distribution and to its entropy, put
# them in an order for a reason, get back from ranks to ids, draw a token from a single uniform number, and name the
# two roundings that crash a server once in a million steps.
#
# Short of time? 5 minutes: [Top-p](#Top-p), [Back to ids](#Back-to-ids), [The draw](#The-draw).
#
# Reading time: 13 minutes. Kata: `python grader.py check sampling`

# %% tags=["setup"]
# build.py puts the set-up here

# %%
import io
import itertools
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
# > *Here are logits. Apply a temperature, top-k and top-p, and draw a token. Now convince me that it is right.*
#
# The first sentence takes ten minutes. For the second, "the text looks fine" is what most people say. The way out is
# to take the randomness out: the filters are deterministic, and the draw is, too, once the uniform number is an
# argument.

# %% [markdown]
# ## By hand
#
# Five tokens with the weights 2, 8, 1, 4, 1, which are their exponentials: probabilities in 16ths. The toy below goes
# token by token, as one would on paper, and is what everything here is compared with.


# %%
def on_paper(weights, temperature=1.0, top_k=None, top_p=None):
    """Weights of one row -> probabilities: rank the tokens, keep a prefix of the ranks, divide by what is kept."""
    weights = [weight ** (1 / temperature) for weight in weights]
    ranks = sorted(range(len(weights)), key=lambda token: (-weights[token], token))[:top_k]
    whole, before, kept = sum(weights[token] for token in ranks), 0.0, []
    for token in ranks:
        if top_p is None or before / whole < top_p:
            kept.append(token)
        before += weights[token]
    share = sum(weights[token] for token in kept)
    return [weights[token] / share if token in kept else 0.0 for token in range(len(weights))]


row = [2, 8, 1, 4, 1]
print("as they are ", on_paper(row))
print("T = 0.5, 86ths", [round(86 * p) for p in on_paper(row, 0.5)])
print("top_k=4, 15ths", [round(15 * p) for p in on_paper(row, top_k=4)])
print("top_p=0.6, 12ths", [round(12 * p) for p in on_paper(row, top_p=0.6)])
assert on_paper(row) == [0.125, 0.5, 0.0625, 0.25, 0.0625]
assert [round(86 * p) for p in on_paper(row, 0.5)] == [4, 64, 1, 16, 1]
assert [round(12 * p) for p in on_paper(row, top_p=0.6)] == [0, 8, 0, 4, 0]

# %% [markdown]
# ## Temperature
#
# $p_i \propto e^{x_i/T}$: a ratio of two probabilities is raised to the power $1/T$. The order never changes. With
# $\beta = 1/T$ the entropy $H$ has a slope that can be proved in two lines from $\log Z$:
#
# $$\frac{dH}{dT} = \frac{\operatorname{Var}(x)}{T^3} \ge 0 .$$
#
# **Predict.** Between which two values does the entropy of eight tokens move as T goes from 0 to infinity?


# %%
def entropy(probs):
    return -(probs * probs.clamp_min(1e-300).log()).sum(-1)


logits = torch.tensor([3.0, 2.0, 1.5, 1.0, 0.0, -0.5, -1.0, -2.0])
temperatures = torch.linspace(0.05, 6, 120)
curve = entropy((logits / temperatures[:, None]).softmax(-1))


def slope(T):
    p = (logits / T).softmax(-1)
    return ((p * logits**2).sum() - (p * logits).sum() ** 2) / T**3


for T in (0.5, 1.0, 3.0):
    numeric = entropy((logits / (T + 1e-6)).softmax(-1)) - entropy((logits / (T - 1e-6)).softmax(-1))
    assert abs(numeric / 2e-6 - slope(T)) < 1e-6
assert (curve.diff() > 0).all()
assert curve[0] < 1e-6
assert curve[-1] < math.log(8)
shown = [entropy((logits / T).softmax(-1)).item() for T in (0.5, 1, 6)]
print("entropy at T = 0.5, 1, 6:", [float(f"{x:.3g}") for x in shown])

# %%
fig, ax = plt.subplots(constrained_layout=True)
ax.plot(temperatures, curve)
ax.axhline(math.log(8), color="black", linewidth=1, linestyle=":")
ax.text(6, math.log(8) - 0.17, "ln 8: all equal", ha="right")
ax.set(xlabel="temperature", ylabel="entropy [nats]", ylim=(0, 2.2))
show(fig, "Entropy of eight tokens against the temperature: 0 at T = 0, rising everywhere, towards ln 8 = 2.08.")

# %% [markdown]
# From 0, which is greedy decoding, to $\ln 8$. T = 0 itself is a division by zero and needs a path of its own; an API
# that takes options refuses what it cannot mean, a negative T most of all (*temperature-not-refused*).
#
# Slips: *temperature-ignored*, which is also what dividing **probabilities** and renormalising comes to;
# *temperature-on-probabilities*, the same without renormalising; *temperature-multiplied*; *temperature-after-filter*,
# after which top-p counts probabilities that nothing is drawn from. `logits /= T` writes into the caller's tensor
# (*logits-modified*): a second draw from the same logits is then twice as sharp.

# %% [markdown]
# ## Top-k
#
# Keep the k tokens of the highest logits: a cut at a rank. The temperature cannot change it.
#
# **Predict.** Repositories write `logits < kth` for what is dropped. The logits are 3, 1, 1, 1, 1 and k is 2. How many
# tokens are left?

# %%
tied = torch.tensor([3.0, 1, 1, 1, 1])
by_threshold = (tied >= tied.topk(2).values[-1]).sum().item()
by_rank = sum(p > 0 for p in on_paper(tied.exp().tolist(), top_k=2))
print("kept by threshold:", by_threshold, "  kept by rank:", by_rank)
assert (by_threshold, by_rank) == (5, 2)

# %% [markdown]
# Five: a threshold cannot tell ties apart (*top-k-ties-kept*). A stable descending sort keeps exactly two, the lower
# id first; read from the end of an ascending one, ties turn round (*ties-from-the-end*). `topk` raises for a k above V
# (*top-k-above-vocabulary*), a slice of the sorted row does not.
#
# Slips: *top-k-ignored*, *top-k-ignored-with-top-p* (`elif`), *top-k-one-more*, *top-k-one-less* (the k-th is not above
# itself), *top-k-lowest*, and k = 0 that means "no filter" (*top-k-not-refused*).

# %% [markdown]
# ## Top-p
#
# The nucleus is the smallest set of most probable tokens with at least p together. So a token is kept while the sum
# **before** it is below p: the token that crosses is in, and the first always is.
#
# **Predict.** Two rows of 50 tokens: in one the model is sure, in the other it is not. How many tokens does p = 0.9
# keep of each, and k = 10?

# %%
ranks = torch.arange(50.0)
rows = {"sure": (-1.2 * ranks).softmax(-1), "unsure": (-0.06 * ranks).softmax(-1)}
levels = torch.linspace(0.02, 0.999, 120)
sizes = {name: [sum(x > 0 for x in on_paper(p.tolist(), top_p=q.item())) for q in levels] for name, p in rows.items()}
entropies = {
    name: [entropy(torch.tensor(on_paper(p.tolist(), top_p=q.item()))).item() for q in levels]
    for name, p in rows.items()
}
nucleus = {name: sum(x > 0 for x in on_paper(p.tolist(), top_p=0.9)) for name, p in rows.items()}
lost = {name: 1 - p[:10].sum().item() for name, p in rows.items()}
print("kept at p = 0.9:", nucleus, "  probability that k = 10 drops:", {n: float(f"{x:.2g}") for n, x in lost.items()})
assert nucleus == {"sure": 2, "unsure": 33}

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3), constrained_layout=True)
for name, style in (("sure", "-"), ("unsure", "--")):
    axes[0].plot(levels, sizes[name], style, label=name)
    axes[1].plot(levels, entropies[name], style, label=name)
axes[0].set(xlabel="top_p", ylabel="tokens kept")
axes[1].set(xlabel="top_p", ylabel="entropy [nats]")
axes[0].legend()
show(
    fig,
    "Tokens kept and entropy against top_p. Where the model is unsure the nucleus grows ever faster to 50 tokens, "
    "where it is sure it stays at a few tokens; the entropy is a staircase below that of the whole row.",
)

# %% [markdown]
# Two and 33. The number follows the distribution, and k = 10 is wrong for both rows: eight tokens of noise in one, half
# of the probability gone in the other. Entropy only falls, and in steps: top-p is a set, and not a smooth knob.
#
# Which probabilities are summed? Those of what top-k left, **renormalised**, after the temperature.
#
# **Predict.** Weights 8, 4, 3, 2, 1 and p = 0.6. How many tokens are kept, how many at T = 2, and how many after
# top_k = 2?

# %%
weights = [8, 4, 3, 2, 1]
counts = [
    sum(x > 0 for x in on_paper(weights, *options)) for options in ((1.0, None, 0.6), (2.0, None, 0.6), (1.0, 2, 0.6))
]
print("kept:", counts)
assert counts == [2, 3, 1]
together = torch.tensor([0.6, 0.3, 0.1]).cumsum(0)
print("first row of a nucleus of 0.5 by the sum with the token itself:", (together <= 0.5).tolist())
assert not (together <= 0.5).any()  # nothing is left, and a softmax of nothing is NaN

# %% [markdown]
# Slips: *crossing-dropped* is that last line. *top-p-of-all* sums over what top-k has dropped, or filters by p first.
# *top-p-reached*: `>` for `>=` keeps one more where the sum is exactly p; *top-p-one-more* shifts twice.
# *top-p-as-threshold* and *top-p-as-min-p* take no sum. Then *top-p-inverted* (1 - p), *top-p-lowest* (an ascending
# sort), *top-p-unsorted*, *top-p-ties-kept*, *top-p-ignored*, *top-p-ignored-with-top-k*, and a percentage such as 90
# that passes for a p (*top-p-not-refused*).

# %% [markdown]
# ## What is left
#
# What is dropped gets $-\infty$, so that the softmax of the rest sums to one.
#
# **Predict.** Somebody fills with 0 instead. Logits are -1, -2, -3 and k is 1. Which token is the most probable?

# %%
filled = torch.tensor([-1.0, 0.0, 0.0]).softmax(-1)
print("filled with 0:", [float(f"{p:.2g}") for p in filled.tolist()])
assert filled.argmax() != 0
twice = logits.softmax(-1).softmax(-1)
assert twice.max() / twice.min() < math.e

# %% [markdown]
# Those that were dropped (*zero-for-dropped*): $e^0 = 1$ is more than $e^{-1}$. Filtering **probabilities** and taking
# a softmax again (*softmax-of-probabilities*) cannot give ratios above $e$. *not-renormalised* rows sum to less than
# one, and a draw beyond their end falls on the last token. Also: *softmax-over-rows*, *logits-returned*,
# *log-probs-returned*, and *greedy-with-filter*, an argmax that a judge of samples may let pass.

# %% [markdown]
# ## Back to ids
#
# `sorted, order = x.sort()` means `sorted[r] = x[order[r]]`. The way back writes `out[order[r]] = sorted[r]`: a
# scatter. A gather with the same order applies it once more.
#
# **Predict.** In how many of the 120 orders of five tokens does gather give the right answer by accident?

# %%
orders = torch.tensor(list(itertools.permutations(range(5))))
own_inverse = (orders.gather(1, orders) == torch.arange(5)).all(1).sum().item()
print(len(orders), "orders,", own_inverse, "are their own inverse")
assert (len(orders), own_inverse) == (120, 26)

batch = torch.tensor([[8.0, 4, 1, 1], [1, 1, 8, 4]]).log()
drop = {0: [2, 3], 1: [0, 1]}  # the ids that top_p = 0.6 drops, by row
together = batch.clone()
together[:, drop[0] + drop[1]] = -math.inf
print("left of each row when ids are pooled:", (together > -math.inf).sum(1).tolist())
assert (together == -math.inf).all()

# %% [markdown]
# 26: a test with one short row is passed by accident often enough. And a gist for one row, given a batch, pools the ids
# of all rows: what one drops, all lose (*nucleus-of-batch*).
#
# Ranks for ids: *sort-not-undone*, *sort-undone-by-gather*, *nucleus-by-gather*, *nucleus-by-rank*, *top-k-first-ids*,
# *draw-rank*. One row for all: *top-k-of-first-row*, *nucleus-of-first-row*, *top-k-of-batch*, *top-p-one-count*,
# *top-p-over-batch*. Test with several rows, none of them sorted.

# %% [markdown]
# ## The draw
#
# The intervals $[c_{i-1}, c_i)$ of the cumulative sum have the lengths $p_i$. A uniform $u$ falls into the one of token
# $i$ that often: the draw is the first id whose sum **exceeds** $u$.
#
# **Predict.** Probabilities 0, 1/2, 0, 1/2. Which ids do u = 0 and u = 1/2 draw, and which if the sum has only to reach
# u?

# %%
cdf = torch.tensor([0.0, 0.5, 0.0, 0.5]).cumsum(0)
u = torch.tensor([0.0, 0.5])
exceeds, reaches = (torch.searchsorted(cdf, u, right=side).tolist() for side in (True, False))
print("exceeds u:", exceeds, "  reaches u:", reaches)
assert (exceeds, reaches) == ([1, 3], [0, 1])

hundredths = torch.tensor([7, 31, 12, 40, 10])
spread = (torch.arange(100) + 0.5) / 100
drawn = torch.searchsorted(hundredths.cumsum(0) / 100, spread, right=True)
print("100 numbers that are evenly spread draw", drawn.bincount().tolist())
assert drawn.bincount().tolist() == hundredths.tolist()

# %%
fig, ax = plt.subplots(constrained_layout=True)
sums = hundredths.cumsum(0) / 100
ax.step([-0.5, *[i + 0.5 for i in range(5)]], [0, *sums.tolist()], where="pre")
for level, token in ((0.2, 1), (0.45, 2), (0.8, 3)):
    ax.annotate("", xy=(token, 0), xytext=(token, level), arrowprops={"arrowstyle": "->", "color": OKABE_ITO[3]})
    ax.plot([-0.5, token], [level, level], color=OKABE_ITO[3], linestyle="--", linewidth=1)
ax.set(xlabel="token id", ylabel="cumulative probability", xlim=(-0.5, 4.5), ylim=(0, 1), xticks=range(5))
show(
    fig,
    "The cumulative probability as a staircase over the ids. A number u on the vertical axis goes right until it meets "
    "a step and then down to the id: 0.2 draws token 1, 0.45 draws token 2, 0.8 draws token 3.",
)

# %% [markdown]
# A token of probability 0 must not be drawn, not even by u = 0 (*draw-reached*). And where rounding leaves the end of
# the sum below u, the draw is the last token **that has a probability**: not V (*draw-beyond-vocabulary*), not V - 1
# (*draw-last-id*), not 0 (*draw-falls-to-first*, an argmax of nothing).
#
# Right as a distribution, and another token: *draw-from-the-end*, *draw-sorted*. Plainly wrong: *draw-greedy*,
# *draw-own-probability*, *draw-first-u*, *draw-first-row*, *draw-over-batch*, *draw-one-late*, *draw-one-early*. What a
# caller trips over: *draw-as-column*, *draw-not-int64*, *draw-dtypes-differ*, *probabilities-modified*.

# %% [markdown]
# ## Rounding
#
# **Predict.** 4,096 tokens of probability 1/4,096 are added up one by one in bfloat16. What is the sum at the end?

# %%
running, total = [], torch.tensor(0.0, dtype=torch.bfloat16)
for _ in range(4096):
    total = total + torch.tensor(2.0**-12, dtype=torch.bfloat16)
    running.append(total.item())
print("sum in bfloat16:", running[-1])
assert running[-1] == 0.0625

tenths = torch.full((10,), 0.1).cumsum(0)[-1].item()
largest = 1 - 2**-24
print("ten tenths are below 1:", tenths < 1, "  the largest float32 below 1 is 1 - 2^-24:", largest < 1)
assert torch.nextafter(torch.tensor(1.0, dtype=torch.float32), torch.tensor(0.0, dtype=torch.float32)) == largest

# %%
fig, ax = plt.subplots(constrained_layout=True)
ax.plot(torch.arange(1, 4097) / 4096, label="float32")
ax.plot(running, "--", label="bfloat16")
ax.set(xlabel="tokens added", ylabel="cumulative probability")
ax.legend()
show(fig, "Cumulative sum of 4,096 equal tokens: a straight line to 1 in float32, stuck at 0.0625 in bfloat16.")

# %% [markdown]
# One sixteenth: there, half a step of bfloat16 is as large as a token. (A library's cumsum adds in float32 and rounds
# each sum, which is better, and still off by steps of 1/256.) So convert once and work in float32: *work-in-half*,
# *draw-sums-in-half*, and for float64 *work-in-float32*, *draw-sums-in-float32*. Round at the end, to the dtype that
# came in (*always-float32*).
#
# Sums of floats do not end at 1: at p = 1 they drop tokens (*top-p-one-range*), so 1 means no filter. And
# $e^{1000}$ is infinite unless the maximum is subtracted (*exp-without-maximum*).

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %%
# checks: temperature-limits, top-p-or-top-k, crossing-token, filter-order
first = {T: (torch.tensor([2.0, 1, 0]) / T).softmax(-1)[0].item() for T in (1, 0.5, 2)}
assert {T: round(p, 2) for T, p in first.items()} == {1: 0.67, 0.5: 0.87, 2: 0.51}
assert sum(p > 0 for p in on_paper([0.9, 0.1], top_p=0.85)) == 1
assert sum(p > 0 for p in on_paper([1] * 10, top_p=0.85)) == 9
assert sum(p > 0 for p in on_paper([0.6, 0.3, 0.1], top_p=0.5)) == 1
assert (torch.tensor([0.6, 0.3, 0.1]).cumsum(0) <= 0.5).sum() == 0
assert sum([8, 4, 3, 2, 1]) == 18
assert [sum(p > 0 for p in on_paper([8, 4, 3, 2, 1], T, None, 0.6)) for T in (1, 2)] == [2, 3]
assert on_paper([8, 4, 3, 2, 1], 1.0, 2, None)[0] == 8 / 12 > 0.6

# %%
# checks: temperature-zero, one-uniform-number, sum-below-one
assert f"{math.exp(-100):.1e}" == "3.7e-44"
assert round(1 / 0.01) == 100
assert round(700 / 0.01) == 70000 > 65504 == torch.finfo(torch.float16).max
assert drawn.bincount().tolist() == [7, 31, 12, 40, 10]
assert len(drawn) == 100
assert tenths == 0.9999999999999999
assert sum([0.1] * 10) == tenths
assert f"{1 - 2**-24:.8f}" == "0.99999994"

# %%
# checks: half-sums, sort-back, kth-ties
assert torch.finfo(torch.bfloat16).eps == 2**-7  # 8 bits with the hidden one: steps of 1/256 in [1/2, 1)
assert torch.nextafter(torch.tensor(100.0).bfloat16(), torch.tensor(200.0).bfloat16()) == 100 + 0.5
assert running[4096 - 1] == 0.0625
assert f"{1 / 128256:.1e}" == "7.8e-06"
assert round(1 / 256, 4) == 0.0039
assert torch.finfo(torch.float32).eps > 1e-7
assert (len(orders), own_inverse, orders.size(1)) == (120, 26, 5)
assert by_threshold == 5
assert tied.tolist() == [3, 1, 1, 1, 1]
assert torch.nextafter(torch.tensor(16.0).bfloat16(), torch.tensor(32.0).bfloat16()) == 16 + 0.125

# %% [markdown]
# ## Exercises
#
# **1.** Show that the probabilities which top-p leaves have an entropy of at most $\ln n$ for n tokens, and say for
# which rows it is reached.
#
# <details><summary>Solution</summary>
#
# The entropy of n probabilities is at most $\ln n$ (Gibbs' inequality against the uniform distribution), with equality
# only where all n are equal. So top-p on equal tokens keeps $\lceil pV \rceil$ of them and gives
# $\ln \lceil pV \rceil$.
#
# </details>
#
# **2.** Draw with Gumbel noise instead of a cumulative sum, and compare frequencies for the five hundredths above.
#
# <details><summary>Solution</summary>
#
# `noise = -torch.log(-torch.log(torch.rand(100_000, 5)))`, then `(hundredths.log() + noise).argmax(-1).bincount()`. It
# gives about 7, 31, 12, 40 and 10 percent. No sum, no sort; but V random numbers a row in place of one.
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
# **Further reading.** Holtzman et al. 2019 (1904.09751), section 3. Fan et al. 2018 (1805.04833), for top-k.
# Nguyen et al. 2024 (min-p, 2407.01082). Next: [the causal mask](causal_mask.ipynb), which makes step by step decoding
# legal.
