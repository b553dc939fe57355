# %% [markdown]
# # Attention in blocks
#
# <!-- badge -->
#
# FlashAttention computes the very function of the first kata and never holds its weights. **After this notebook
# you can** derive the update that reads keys once, say which test finds a missing rescale, merge two parts over
# disjoint keys, count the bytes that tiles save, and get the weights back in the backward pass from one number a query.
#
# Short of time? 8 minutes: [Rescaling](#Rescaling), [Merging](#Merging), [Tiles and traffic](#Tiles-and-traffic), and
# then the questions.
#
# Reading time: 22 minutes. Kata: `python grader.py check flash`

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
from torch.utils._python_dispatch import TorchDispatchMode

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
# > *Write attention that never holds an L by S matrix. Then: another device has the other half of the keys. What does
# > it have to send you?*
#
# The loop takes ten minutes. What is asked for is in the second half: an output that is already divided no longer says
# how much its keys weighed.

# %% [markdown]
# ## By hand
#
# One query 1, keys $0, \ln 2, \ln 5$, values $8, 0, 16$: exponentials $1, 2, 5$, output $(8 + 0 + 80)/8 = 11$. Now with
# two keys at a time, and every exponential measured from the largest score so far:
#
# | after | maximum | sum | values times exponentials | quotient |
# |---|---|---|---|---|
# | keys 0, 1 | $\ln 2$ | $\frac12 + 1 = 1.5$ | $\frac12 \cdot 8 = 4$ | $8/3$ |
# | key 2 | $\ln 5$ | $1.5 \cdot \frac25 + 1 = 1.6$ | $4 \cdot \frac25 + 16 = 17.6$ | $11$ |
#
# The factor $\frac25 = e^{\ln 2 - \ln 5}$ is all there is to it.


# %%
def stream(scores, values, size, keep_sum=False, keep_output=False, invert=False):
    """One query whose keys are read `size` at a time: its output and lse. The flags are slips."""
    top, total, mix = -math.inf, 0.0, torch.zeros(values.shape[1:])
    for s, v in zip(scores.split(size), values.split(size), strict=True):
        new = max(top, s.max().item())
        old = math.exp(new - top) if invert and top > -math.inf else math.exp(top - new)
        p = (s - new).exp()
        total = (1.0 if keep_sum else old) * total + p.sum().item()
        mix = (1.0 if keep_output else old) * mix + p @ v
        top = new
    return mix / total, top + math.log(total)


hand_scores, hand_values = torch.tensor([1.0, 2, 5]).log(), torch.tensor([[8.0], [0], [16]])
for size in (1, 2, 3):
    output, lse = stream(hand_scores, hand_values, size)
    assert math.isclose(output.item(), 11)
    assert math.isclose(lse, math.log(8))
    print(f"blocks of {size}: output {output.item():.3g}, exp(lse) {math.exp(lse):.3g}")

# %% [markdown]
# ## Rescaling
#
# **Invariant.** After any set $J$ of keys the state is $m = \max_J s$, $\ell = \sum_J e^{s_j - m}$ and
# $o = \sum_J e^{s_j - m} v_j$. A block with the maximum $m_b$ gives $m' = \max(m, m_b)$; multiplying $\ell$ and $o$ by
# $e^{m - m'} \le 1$ moves their reference from $m$ to $m'$, and the block adds its own terms. At the end
# $o / \ell$ is the output, and $m + \ln \ell = \ln \sum e^{s_j}$ is **lse**, in which $m$ has cancelled.
#
# **Predict.** The factor is forgotten for the output, or for the sum. For which scores does nobody notice?

# %%
torch.manual_seed(0)
numbers = torch.arange(1.0, 9)[:, None]  # the value of a key is its number
slopes = torch.linspace(-2, 2, 41)
slips = {
    "output-not-rescaled": {"keep_output": True},
    "sum-not-rescaled": {"keep_sum": True},
    "blocks-not-rescaled": {"keep_sum": True, "keep_output": True},
    "correction-inverted": {"invert": True},
}
errors = {name: [] for name in slips}
for slope in slopes.tolist():
    scores = slope * torch.arange(8.0)
    right = (scores.softmax(0) @ numbers).item()
    assert math.isclose(stream(scores, numbers, 2)[0].item(), right)
    for name, slip in slips.items():
        errors[name].append(abs(stream(scores, numbers, 2, **slip)[0].item() - right))
for name, error in errors.items():
    print(f"{name:20} falling by 1: {round(error[10], 3)}   rising by 1: {error[30]:.3g}")

# %%
fig, ax = plt.subplots(constrained_layout=True)
for (name, error), style in zip(errors.items(), ("-", "--", ":", "-."), strict=True):
    ax.plot(slopes, error, style, label=name)
ax.set(xlabel="slope of the scores, per key", ylabel="error of the output [keys]", ylim=(0, 10))
ax.legend(fontsize=8)
show(
    fig,
    "Error of four slips for eight keys in blocks of two, with the key's number as its value. Where the scores fall "
    "all four errors are zero; where they rise by 1 a key the output is off by 2.7 to 9 keys.",
)
assert all(max(error[:21]) < 1e-12 for error in errors.values())
assert all(error[30] > 0.9 for error in errors.values())

# %% [markdown]
# **Explain.** Where the scores fall the first block has the maximum, and every later factor is 1. A test needs scores
# that *rise*, and more than one block.
#
# Other slips in the loop. *block-rescaled-too* multiplies after adding, and the first factor, $e^{-\infty} = 0$,
# deletes the first block. *maximum-replaced* takes the block's maximum even where it is smaller: right, until $e^{m -
# m'}$ overflows. *maximum-from-finite* starts at 0 or at -10,000: below that every exponential is 0.
# *maximum-missing* subtracts nothing. *sum-of-last-block* and *output-of-last-block* write `=` for `+=`.
# *divided-in-each-block* is the first FlashAttention half remembered: it kept the output divided, and multiplied by
# the old sum before each update.

# %% [markdown]
# ## Blocks of keys
#
# Blocks need not be equal, and the last one may be short. What goes wrong at the seams: *first-block-only* (a
# `return` inside the loop), *one-key-in-two-blocks* and *one-key-between-blocks* (an end that is included or not),
# *padded-keys-count*: a kernel fills the last block with zeros, and a score of 0 is a score. *block-size-unchecked*:
# with `block_size=-1` there is no block at all.
#
# And what is not a sum of blocks: *mean-of-blocks* and *sum-of-blocks* run a softmax in each block and forget how much
# it weighed.
#
# **Predict.** Seven keys with equal scores, filled up to eight with zeros that are not hidden. By which factor is
# the output too small?

# %%
equal, seven = torch.zeros(7), torch.full((7, 1), 8.0)
padded, _ = stream(F.pad(equal, (0, 1)), F.pad(seven, (0, 0, 0, 1)), 4)
parts = [stream(s, v, 4)[0].item() for s, v in zip(hand_scores.split(2), hand_values.split(2), strict=True)]
assert math.isclose(padded.item(), 7)
assert math.isclose(sum(parts) / 2, 28 / 3)
print("padded:", round(padded.item(), 3), "instead of 8")
print("the worked example, mean of blocks:", round(sum(parts) / 2, 2), " sum:", round(sum(parts), 1), " right: 11")

# %% [markdown]
# ## Masks and empty rows
#
# Each block has its own columns of the mask; *mask-of-first-block* gives all of them the first ones. Broadcast the
# mask to $(\dots, L, S)$ before cutting: `expand` copies nothing, and a mask of one column has no second block.
#
# **Predict.** Six queries over six keys in blocks of two. Which of a causal mask and a window of two keys gives NaN,
# and in how many rows?


# %%
def rows_of_nan(mask, size=2):
    """Rows that are NaN where nothing is done about a maximum of -inf."""
    top, total = torch.full((6,), -math.inf), torch.zeros(6)
    for s in torch.zeros(6, 6).masked_fill(~mask, -math.inf).split(size, dim=1):
        new = torch.maximum(top, s.amax(1))
        total = total * (top - new).exp() + (s - new[:, None]).exp().sum(1)
        top = new
    return total.isnan().sum().item()


causal = torch.ones(6, 6, dtype=torch.bool).tril()
window = causal & ~causal.tril(-2)
assert window.sum(1).tolist() == [1, 2, 2, 2, 2, 2]
assert (rows_of_nan(causal), rows_of_nan(window)) == (0, 3)
print("rows of NaN: causal", rows_of_nan(causal), " window of two", rows_of_nan(window))

# %% [markdown]
# **Explain.** Queries 3, 4 and 5 see nothing in the first block: their maximum is still $-\infty$, and
# $e^{-\infty - (-\infty)}$ is NaN (*hidden-block-nan*), which no factor removes. Subtract 0 instead as long as the
# maximum is $-\infty$.
#
# A query that sees nothing at all has the sum 0: *empty-row-divided* is 0/0. *empty-row-repaired-late* puts zeros in
# its place afterwards, and the gradient, zero times infinity, stays NaN: replace the sum by 1 *before* the division.
# Its lse is $-\infty$ and not 0 (*lse-of-empty-row*), for $e^{-\infty}$ is what it may count in a merge.

# %%
score = torch.full((2,), -math.inf, requires_grad=True)
weight = score.exp()
late = torch.where(weight.sum() > 0, weight / weight.sum(), torch.zeros(2)).sum()
(gradient,) = torch.autograd.grad(late, score)
safe = score.exp() / torch.where(score.exp().sum() > 0, score.exp().sum(), 1.0)
(finite,) = torch.autograd.grad(safe.sum(), score)
assert late.item() == 0
assert gradient.isnan().all()
assert (finite == 0).all()
print("gradient, repaired late:", gradient.tolist(), "  divided by 1:", finite.tolist())

# %% [markdown]
# ## What lse is for
#
# The output is a mean; lse says of how much. Both parts of $m + \ln \ell$ are needed:
#
# | slip | what is returned | why it is not enough |
# |---|---|---|
# | *lse-without-maximum* | $\ln \ell$ | near 0 whatever the scores are |
# | *lse-is-maximum* | $m$ | a thousand equal keys count as one |
# | *lse-is-sum* | $\ell$ or $m + \ell$ | a sum is no log |
# | *lse-base-2* | $\log_2$ in it | kernels use `exp2`, and convert at the end |
# | *lse-sign* | $m - \ln \ell$ | more keys, less weight |
# | *lse-keeps-dimension* | shape (..., L, 1) | broadcasts to (..., L, L) |
# | *lse-first* | lse, output | the caller expects the output first |
# | *lse-detached* | no gradient | what is merged by it is not trained |

# %% [markdown]
# ## Merging
#
# Two parts with outputs $a, b$ and log-sum-exps $\alpha, \beta$ stand for the sums $e^\alpha, e^\beta$:
#
# $$\text{out} = \frac{e^{\alpha} a + e^{\beta} b}{e^{\alpha} + e^{\beta}} = a + \sigma(\beta - \alpha)\,(b - a),\qquad
# \text{lse} = \ln(e^\alpha + e^\beta) .$$
#
# It is the addition of pairs (sum, vector), so it is associative and commutative: any tree of merges gives the same,
# and a running softmax is the tree that leans to one side.
#
# **Predict.** Eight devices hold 32 keys each, with scores that differ a lot. How far off is the mean of their outputs,
# beside the merge?


# %%
def part(q, k, v):
    """Attention over some of the keys, and lse."""
    scores = q @ k.T / math.sqrt(q.size(1))
    return scores.softmax(1) @ v, scores.logsumexp(1)


def join(a, b):
    """Two parts by the sigmoid of the difference."""
    share = torch.sigmoid(b[1] - a[1])[:, None]
    return a[0] + share * (b[0] - a[0]), torch.logaddexp(a[1], b[1])


torch.manual_seed(0)
q, k, v = 3 * torch.randn(4, 16), torch.randn(256, 16), torch.randn(256, 2)
whole = part(q, k, v)
devices = [part(q, *pair) for pair in zip(k.split(32), v.split(32), strict=True)]
chain, tree = devices[0], devices
for other in devices[1:]:
    chain = join(chain, other)
while len(tree) > 1:
    tree = [join(tree[i], tree[i + 1]) for i in range(0, len(tree), 2)]
mean = torch.stack([output for output, _ in devices]).mean(0)
for found in (chain, tree[0]):
    assert all(torch.allclose(x, y) for x, y in zip(found, whole, strict=True))
assert (mean - whole[0]).abs().max() > 0.5
for name, found in (("one pass", whole[0]), ("chain", chain[0]), ("tree", tree[0][0]), ("mean", mean)):
    print(f"{name:9} first query {[float(f'{x:.2f}') for x in found[0].tolist()]}")

# %% [markdown]
# Slips of a merge. In the output: *merge-averages*, *merge-adds*, *merge-exchanged* (the sigmoid of the other
# difference), *merge-by-logs* (weights $\alpha / (\alpha + \beta)$), *merge-not-divided*, *merge-takes-larger*. In lse:
# *merge-lse-maximum*, *merge-lse-added*, *merge-lse-averaged*, *merge-lse-without-maximum*. In the numbers:
# *merge-without-maximum* ($e^{1000}$ is infinite) and *merge-empty-nan*, where both parts are empty and
# $-\infty - (-\infty)$ comes back; `torch.logaddexp` knows that case, and the weights do not.

# %% [markdown]
# ## Precision
#
# **Predict.** Ones are added one by one in float16 and in bfloat16. Where does the sum stop?

# %%
stops = {}
for dtype in (torch.float16, torch.bfloat16):
    total, one = torch.zeros((), dtype=dtype), torch.ones((), dtype=dtype)
    while total + one != total:
        total += one
    stops[dtype] = int(total)
assert list(stops.values()) == [2048, 256]
lse_error = max(abs(x - torch.tensor(x).bfloat16().item()) for x in torch.arange(8.0, 12, 0.001).tolist())
assert 0.03 < lse_error < 0.032
print("sums of ones stop at", list(stops.values()), "  a bfloat16 lse near 10 is off by up to", round(lse_error, 3))

# %% [markdown]
# **Explain.** A term below half of the sum's last digit is lost, so scores, sums and accumulator are float32 whatever
# comes in (*half-throughout*), and float64 where float64 comes in (*float-throughout*). lse is an exponent: rounded
# to the inputs' dtype (*lse-in-half*, *merge-in-half*) or to float32 (*lse-always-float32*), it makes every weight
# that is computed from it wrong by that much.

# %% [markdown]
# ## Memory
#
# **Predict.** 256 queries; the number of keys doubles from 256 to 2,048. How does the largest tensor grow, at once
# and in blocks of 32?


# %%
class Largest(TorchDispatchMode):
    """The most numbers that any tensor made under it holds."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.numbers = max(self.numbers, made.numel())
        return made


def in_blocks(q, k, v, size):
    found = None
    for block in zip(k.split(size), v.split(size), strict=True):
        found = part(q, *block) if found is None else join(found, part(q, *block))
    return found


lengths, at_once, blocked = [256, 512, 1024, 2048], [], []
for length in lengths:
    q, k, v = torch.randn(256, 8), torch.randn(length, 8), torch.randn(length, 8)
    with Largest() as counted:
        one = part(q, k, v)
    at_once.append(counted.numbers)
    with Largest() as counted:
        other = in_blocks(q, k, v, 32)
    blocked.append(counted.numbers)
    assert torch.allclose(one[0], other[0])
assert at_once == [256 * length for length in lengths]
assert blocked == [256 * 32] * 4
print("at once:  ", at_once)
print("in blocks:", blocked)

# %% [markdown]
# *all-scores-at-once* is a loop over blocks that are cut from a product of all the keys: right, and of no use. A mask
# is another such matrix, a byte a pair; kernels take a rule instead.

# %% [markdown]
# ## Tiles and traffic
#
# Memory is not why it is fast. Plain attention writes the scores, reads them, writes the weights and reads them:
# $4N^2$ numbers a head. In tiles the $r$ queries of a block stay on the chip while all keys and values go past: $N/r$
# times $2NE$ numbers. Queries, accumulators and a tile of keys and values have to fit into $M$ numbers, so $r \sim M
# / 4E$ and the traffic is $\Theta(N^2 E^2 / M)$ (Dao et al. 2022, 2205.14135, theorem 2).
#
# **Predict.** With how many rows does the tiled version move as much as the plain one, at E = 64?

# %%
N, E, MIB = 4096, 64, 2**20


def plain_bytes(N, E):
    return 2 * (4 * N * N + 4 * N * E)  # 16 bits: scores and weights written and read; query, key, value, output once


def tiled_bytes(N, E, rows):
    return 2 * (N // rows * 2 * N * E + 2 * N * E)  # keys and values for each block; query and output once


rows = [8, 16, 32, 64, 128, 256]
for r in rows:
    print(f"{r:4} rows: {tiled_bytes(N, E, r) / MIB:6.0f} MiB a head, plain {plain_bytes(N, E) / MIB:.0f} MiB")
assert tiled_bytes(N, E, 32) == plain_bytes(N, E) - 2 * 2 * N * E

# %%
fig, ax = plt.subplots(constrained_layout=True)
for E, colour in ((64, OKABE_ITO[0]), (128, OKABE_ITO[3])):
    ax.loglog(rows, [tiled_bytes(N, E, r) / MIB for r in rows], "o-", color=colour, label=f"in tiles, E = {E}")
ax.axhline(plain_bytes(N, 64) / MIB, color="black", linestyle="--", label="plain")
ax.set(xlabel="queries in a block", ylabel="traffic of a head [MiB]", xticks=rows, xticklabels=rows)
ax.minorticks_off()
ax.legend()
show(
    fig,
    "Bytes between main memory and chip for one head at 4,096 tokens in 16 bits. In tiles they fall with the number of "
    "queries in a block: from 513 MiB for 8 to 33 MiB for 128, with E = 64. The plain way moves 130 MiB.",
)

# %% [markdown]
# **Explain.** $4N^2 = 2N^2E/r$ at $r = E/2$: with fewer rows than that tiles move *more*. It is on-chip memory that
# is traded for traffic.

# %% [markdown]
# ## Recomputation
#
# The backward pass needs the weights $P$. It makes them again from one number a query, $P_{ij} = e^{s_{ij} -
# \text{lse}_i}$, tile by tile. The softmax's gradient is $P_{ij}(g_{ij} - D_i)$ with $g = \text{grad} \cdot v$, and
# its row sum is $D_i = \sum_j P_{ij}\, \text{grad}_i \cdot v_j = \text{grad}_i \cdot \text{out}_i$: no pass over the
# keys.

# %%
torch.manual_seed(0)
q, k, v = (torch.randn(n, 8, requires_grad=True) for n in (5, 12, 12))
output = F.scaled_dot_product_attention(q, k, v)
grad = torch.randn(5, 8)
output.backward(grad)
with torch.no_grad():
    lse = (q @ k.T / math.sqrt(8)).logsumexp(1)
    D = (grad * output).sum(1)
    grad_k = []
    for kb, vb in zip(k.split(4), v.split(4), strict=True):
        P = (q @ kb.T / math.sqrt(8) - lse[:, None]).exp()
        grad_k.append((P * (grad @ vb.T - D[:, None])).T @ q / math.sqrt(8))
assert torch.allclose(torch.cat(grad_k), k.grad)
print("grad of key 0, autograd:", [float(f"{x:.2f}") for x in k.grad[0, :4].tolist()])
print("grad of key 0, tiles:   ", [float(f"{x:.2f}") for x in grad_k[0][0, :4].tolist()])

# %% [markdown]
# ## Three versions
#
# Version 1 had the keys in the outer loop and wrote partial outputs to memory. Version 2 (Dao 2023, 2307.08691) has the
# queries there, a block of them for each multiprocessor, and divides once at the end. Version 3 (Shah et al. 2024,
# 2407.08608) is for Hopper: copies, products and exponentials of different tiles overlap. In a decode step there is one
# query and nothing to tile: flash-decoding splits the *keys* and merges.

# %% [markdown]
# ## Interview questions
#
# <!-- questions -->

# %%
# checks: online-update, rescale-unseen, why-lse
assert math.isclose(1.5 * 0.4 + 1, 1.6)
assert math.isclose(4 * 0.4 + 16, 17.6)
assert math.isclose(17.6 / 1.6, 11)
assert torch.tensor(89.0, dtype=torch.float32).exp().isinf()
rising = torch.arange(8.0)
assert all(error[10] < 1e-12 for error in errors.values())
assert round((rising.softmax(0) @ numbers).item(), 1) == 7.4
assert round(stream(rising, numbers, 2, keep_sum=True, keep_output=True)[0].item(), 1) == 4.7
assert math.isclose((3 * 8 / 3 + 5 * 16) / 8, 11)
assert round((8 / 3 + 16) / 2, 2) == 9.33
assert round(lse_error, 2) == 0.03

# %%
# checks: ring-exchange, hidden-first-block, tile-traffic, recompute-backward
assert 8192 * 2 * 8 * 128 * 2 == 33_554_432
assert 32 * 129 * 4 == 16_512
assert rows_of_nan(causal) == 0
assert rows_of_nan(window) == 3
assert [tiled_bytes(4096, e, r) / MIB for e, r in ((64, 128), (64, 64), (128, 128))] == [33, 65, 66]
assert plain_bytes(4096, 64) / MIB == 130
assert 8192 * 32 * 4 / MIB == 1
assert 32 * 8192**2 * 2 == 4 * 2**30
assert round(100 * (7 / 6 - 1)) == 17

# %%
# checks: flash-versions, sums-in-float32
reported = {1: (25, 40), 2: (50, 73), 3: (round(100 * 740 / 989),) * 2}  # percent of the peak, from the papers
assert reported[3] == (75, 75)
assert sorted(reported.values()) == list(reported.values())
assert list(stops.values()) == [2048, 256]

# %% [markdown]
# ## Exercises
#
# **1.** Show that $\text{lse} = m + \ln \ell$ does not depend on $m$: with any other reference $c$ in its place, what
# is $\ell$?
#
# <details><summary>Solution</summary>
#
# $\ell_c = \sum e^{s_j - c} = e^{m - c} \ell$, so $c + \ln \ell_c = c + m - c + \ln \ell$.
#
# </details>
#
# **2.** Attention over a prompt that 16 sequences share, and over each one's own keys: what is computed once, and
# what is merged?
#
# <details><summary>Solution</summary>
#
# The queries of all 16 attend over the shared keys in one product, which reads these keys once. Each attends over its
# own keys, and the two parts are merged by lse.
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
# **Further reading.** Milakov and Gimelshein 2018 (1805.02867), the running softmax. Rabe and Staats 2021
# (2112.05682), attention with little memory. Liu et al. 2023 (2310.01889), ring attention. The same loop by hand with
# its backward pass: [scaled dot-product attention](sdpa.ipynb#Online-softmax).
