# %% [markdown]
# # Scaled dot-product attention
#
# <!-- badge -->
#
# **After this notebook you can** write attention on a whiteboard, say where the square root comes from and what it
# does not do, differentiate it by hand, survive float16, long inputs and a mask that forbids everything, and correct
# what tutorials get wrong about all of it. Sources A to E are five of them
# ([which](start_here.ipynb#What-the-sources-get-wrong)).
#
# Short of time? 18 minutes: [Why the square root](#Why-the-square-root), [Empty rows](#Empty-rows), [Half
# precision](#Half-precision), the pictures of [Break it](#Break-it), and the questions at the end.
#
# Reading time: 55 minutes. Kata: `python grader.py check sdpa`

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


def near(got, wanted, relative):
    return abs(got - wanted) <= relative * abs(wanted)


# %% [markdown]
# ## The interview question
#
# > *Here are query (..., L, E), key (..., S, E) and value (..., S, Ev). Write attention. Why the root? What if a
# > query may see nothing? Would you ship it in float16?*
#
# The formula is $\mathrm{softmax}(QK^\top/\sqrt{E})\,V$. Source A calls it "single-head self-attention". It is
# neither: it has no projections and no heads, and nothing says that queries and keys come from one sequence.
# Source E dates attention to 2017; Bahdanau et al. had it in 2014, with a decoder state as the query and the
# encoder's states as keys and values at once (arXiv 1409.0473); self-attention followed in 2016 (1601.06733,
# 1606.01933). Convolutions had done without recurrence a month before the Transformer (1705.03122). New in the
# Transformer (1706.03762, June 2017) were the scale, several heads with projections of their own for queries, keys and
# values, and self-attention as the only layer that mixes positions.

# %% tags=["drawing"]
# drawing: attention_shapes

# %% [markdown]
# ## Three tokens by hand
#
# E = 4, so the root is 2. Queries $q_0=(2,0,0,0)$, $q_1=(0,2,0,0)$, $q_2=0$; keys $k_0=(\ln 2,0,0,0)$,
# $k_1=(0,\ln 8,0,0)$, $k_2=0$; values $(8,0)$, $(0,4)$, $(4,4)$.
#
# | query | scaled scores | exponentials | weights | output |
# |---|---|---|---|---|
# | $q_0$ | $\ln 2,\ 0,\ 0$ | 2, 1, 1 | 1/2, 1/4, 1/4 | (5, 2) |
# | $q_1$ | $0,\ \ln 8,\ 0$ | 1, 8, 1 | 0.1, 0.8, 0.1 | (1.2, 3.6) |
# | $q_2$ | 0, 0, 0 | 1, 1, 1 | 1/3, 1/3, 1/3 | (4, 8/3) |
#
# **Predict.** Cover the last two columns. Which of the three outputs lies closest to the plain mean (4, 8/3)?
#
# As a person does it, one query at a time, without a tensor:


# %%
def attend_one(query, keys, values):
    """One query, plain lists: similarity, softmax, weighted mean."""
    similarity = [sum(q * k for q, k in zip(query, key, strict=True)) / math.sqrt(len(query)) for key in keys]
    exponentials = [math.exp(s) for s in similarity]
    shares = [e / sum(exponentials) for e in exponentials]
    return [sum(w * x for w, x in zip(shares, feature, strict=True)) for feature in zip(*values, strict=True)]


queries = [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]]
keys = [[math.log(2), 0, 0, 0], [0, math.log(8), 0, 0], [0, 0, 0, 0]]
values = [[8, 0], [0, 4], [4, 4]]
by_hand = torch.tensor([attend_one(q, keys, values) for q in queries])
assert torch.allclose(by_hand, torch.tensor([[5, 2], [1.2, 3.6], [4, 8 / 3]]))
for row in by_hand.tolist():
    print([float(f"{x:.3g}") for x in row])

# %% [markdown]
# PyTorch agrees. Look at the shape: three queries, three keys, two value features, and the result is (3, 2).
# Source E calls row $z_i$ "the attention score of token $i$", with a length of seq_len. A row of the *weights* has
# a length of seq_len. A row of the result is $A_iV$: a vector where the values live.

# %%
as_tensors = (torch.tensor(x, dtype=torch.float32) for x in (queries, keys, values))
torch_says = F.scaled_dot_product_attention(*as_tensors)
assert torch.allclose(torch_says, by_hand, atol=1e-6)
assert torch_says.shape == (3, 2)
print("by hand   ", [[float(f"{x:.3g}") for x in row] for row in by_hand.tolist()])
print("PyTorch   ", [[float(f"{x:.3g}") for x in row] for row in torch_says.tolist()])

# %% [markdown]
# ## A weighted mean
#
# Write $\kappa(q,k)=e^{q^\top k/\sqrt E}$. Then $o_i=\sum_j\kappa(q_i,k_j)\,v_j\big/\sum_j\kappa(q_i,k_j)$: a
# kernel average, known to statisticians since 1964 (Nadaraya, Watson). Among six tokens, a token's row of weights is
# six numbers that sum to one. Four facts follow without a model:
#
# 1. $o_i$ lies between the smallest and the largest value, feature by feature.
# 2. Pairs $(k_j,v_j)$ may come in any order; queries may too, and the outputs follow them.
# 3. Any number of keys will do. There is no parameter that knows S.
# 4. The weights are computed from the input. A fully connected layer across positions has the same weights for
#    every input, and one size.
#
# **Predict.** Six keys become five. Which of the two layers below still runs, attention or a linear layer across
# positions?

# %%
q, k, v = torch.randn(4, 8).double(), torch.randn(6, 8).double(), torch.randn(6, 3).double()
out = F.scaled_dot_product_attention(q, k, v)
order, order_q = torch.randperm(6), torch.randperm(4)
across_positions = nn.Linear(6, 4).double()
a, b = across_positions(v.T), across_positions(10 * v.T)
facts = {
    "1 between the smallest and the largest value": (out >= v.min(0).values).all() and (out <= v.max(0).values).all(),
    "2 pairs in any order": torch.allclose(F.scaled_dot_product_attention(q, k[order], v[order]), out),
    "2 outputs follow the queries": torch.allclose(F.scaled_dot_product_attention(q[order_q], k, v), out[order_q]),
    "3 five keys instead of six": F.scaled_dot_product_attention(q, k[:5], v[:5]).shape == out.shape,
    "4 a linear layer: one matrix for all": torch.allclose(b - a, 9 * (v.T @ across_positions.weight.T)),
}
try:
    across_positions(v[:5].T)
    facts["4 and it refuses five positions"] = False
except RuntimeError:
    facts["4 and it refuses five positions"] = True
for fact, holds in facts.items():
    print(f"{fact:45}", bool(holds))
assert all(facts.values())

# %% [markdown]
# ### Self-attention
#
# *Self*-attention is this function with all three inputs made from one sequence: $Q=XW_Q$, $K=XW_K$, $V=XW_V$. In
# *cross*-attention the queries come from one sequence and keys and values from another
# ([more](mha.ipynb#Cross-attention)). The function has no parameters; all that is learned stands in the three
# projections.
#
# **Why a dot product?** All $L\cdot S$ of them are one matrix product, which is what hardware does best. Additive
# attention, $w^\top\tanh(W_1q+W_2k)$, needs a hidden vector for every *pair*: at 4,096 tokens and width 128 that is
# 4 GiB a head in 16 bits, against 32 MiB of scores. The Transformer paper (3.2.1) finds both about equally good for
# small heads, and the unscaled product worse for large ones: hence the root below.
#
# **One step between any two tokens.** $o_i$ is a direct sum over all $j$, so a signal and its gradient cross any
# distance in one layer. A recurrent network needs $|i-j|$ steps; a convolution of width $w$ needs $|i-j|/(w-1)$
# layers, or their logarithm when dilated. And since no $o_i$ waits for another, all queries of a known input are
# computed **in parallel**; generation stays serial, because there the next input is not known. The price is a score
# for each pair.
#
# ### Order is not seen
#
# For a permutation $P$ and scores $s$, $\mathrm{softmax}(PsP^\top)\,PV=P\,\mathrm{softmax}(s)V$: shuffle the tokens of
# self-attention and the outputs are shuffled alike (it is *permutation equivariant*). "Dog bites man" and "man bites
# dog" give the same three vectors. Hence **positions** must be put in: added to the input (sinusoids, 1706.03762),
# rotated into queries and keys (RoPE, 2104.09864, [derived here](gqa_kv_cache.ipynb#Positions)), or added to the
# scores (ALiBi, 2108.12409). A causal mask breaks the symmetry too.
#
# **Predict.** Shuffle all tokens; then shuffle only keys and values. In which case does a row of the output change?

# %%
# checks: dot-product, shuffle
x, w_q, w_k, w_v = torch.randn(5, 8).double(), *torch.randn(3, 8, 8).double()
shuffled_x = x[torch.tensor([3, 0, 4, 1, 2])]
self_attention = F.scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)
both = F.scaled_dot_product_attention(shuffled_x @ w_q, shuffled_x @ w_k, shuffled_x @ w_v)
keys_only = F.scaled_dot_product_attention(x @ w_q, shuffled_x @ w_k, shuffled_x @ w_v)
assert torch.allclose(both, self_attention[torch.tensor([3, 0, 4, 1, 2])])
assert torch.allclose(keys_only, self_attention)
assert (4096**2 * 128 * 2, 4096**2 * 2) == (4 * 2**30, 32 * 2**20)  # a hidden vector for each pair; a score
assert round(math.sqrt(8), 2) == 2.83
for name, rows in (("as they are", self_attention), ("all shuffled", both), ("keys shuffled", keys_only)):
    print(f"{name:14} first feature of each output: {[float(f'{r:.2f}') for r in rows[:, 0].tolist()]}")

# %% [markdown]
# ### Without the softmax
#
# Replace $e^{q^\top k}$ by $\phi(q)^\top\phi(k)$ and the sums over keys can be taken first:
# $o_i=\phi(q_i)^\top\big(\sum_j\phi(k_j)v_j^\top\big)\big/\,\phi(q_i)^\top\sum_j\phi(k_j)$. That is **linear
# attention** (2006.16236): a state of fixed size instead of a cache, updated token by token like a recurrent network.
# It costs linear time and cannot look up one key among thousands as sharply as an exponential can; models that use it
# mix it with some layers of softmax attention. Of 2025: Qwen3-Next (Gated DeltaNet, 2412.06464) and Kimi Linear
# (2510.26692), both with three linear layers to one that has a softmax.

# %% [markdown]
# ## Why the square root
#
# **Assume** that the components of $q$ and $k$ have mean 0 and variance 1, that $q$ and $k$ are independent, and
# that the products $q_ik_i$ are uncorrelated. Then $\mathbb E[q_ik_i]=0$,
# $\mathrm{Var}(q_ik_i)=\mathbb E[q_i^2]\,\mathbb E[k_i^2]=1$, and variances of uncorrelated terms add:
#
# $$\mathrm{Var}(q^\top k)=E,\qquad \mathrm{Var}\big(q^\top k/\sqrt E\big)=1.$$
#
# None of this needs a Gaussian. E (the papers' $d_k$) is the size of *one head*. Source E writes "the embedding
# dimension", and in one place "divide by d_k".
#
# **Predict.** What is the variance of $q^\top k$ over E at E = 4 and at 1024, and what if all components are signs,
# $\pm1$?

# %%
sizes = [4, 16, 64, 256, 1024]
pairs = 10_000
measured = []
for E in sizes:
    q, k = torch.randn(2, pairs, E)
    measured.append((q * k).sum(-1).var().item())
    assert near(measured[-1] / E, 1, 0.06)
q, k = torch.randn(2, pairs, 64).sign()
assert near((q * k).sum(-1).var().item() / 64, 1, 0.06)
print("variance / E, rounded:", [round(m / E, 1) for m, E in zip(measured, sizes, strict=True)])

# %% [markdown]
# It is 1 each time. **Break the assumptions.** E = 64, and the scores before the root:
#
# - mean $\mu$ instead of 0: mean $E\mu^2$, variance $E(1+2\mu^2)$. At $\mu=0.5$ that is 16 and 96. Scaling makes the
#   mean 2, not 0: in source E's "scaling gives mean 0 and variance 1" the mean of 0 is the assumption, not a result.
# - all components equal: variance $E^2=4096$. The root is too weak.
# - $q=k$, as on the diagonal of self-attention with tied projections: mean 64. Here the distribution does matter: the
#   variance is $E(\kappa-1)$ with the kurtosis $\kappa$ of a component, 128 for normal ones ($\kappa=3$), 0 for signs.

# %%
# checks: standard-normal
E, many = 64, 100_000
q, k = torch.randn(2, many, E)
shifted = ((q + 0.5) * (k + 0.5)).sum(-1)
equal = E * q[:, 0] * k[:, 0]
same = (q * q).sum(-1)
assert near(shifted.mean().item(), 16, 0.02)
assert near(shifted.var().item(), 96, 0.03)
assert near(shifted.mean().item() / math.sqrt(E), 2.0, 0.02)
assert near(equal.var().item(), 4096, 0.05)
assert near(same.mean().item(), 64, 0.01)
assert near(same.var().item(), 128, 0.03)
assert q.sign().square().sum(-1).var() == 0  # signs: every q.q is 64
for name, score in {"mean 0.5": shifted, "all equal": equal, "q = k": same}.items():
    print(f"{name:10} mean {abs(score.mean()):.0f}, variance about {float(f'{score.var():.2g}'):.0f}")
print(f"mean 0.5, after scaling: mean {shifted.mean() / math.sqrt(E):.0f}")

# %% [markdown]
# **Predict.** PyTorch's `nn.Linear` has smaller weights than Xavier's. Does a fresh layer without the root look broken?
#
# **Real layers.** PyTorch's default `nn.Linear` draws weights from $U(\pm1/\sqrt d)$: variance $1/(3d)$, so $q_i$
# has variance 1/3 and the scaled score 1/9. A fresh layer attends almost uniformly and *hides a wrong scale from a
# test*. Xavier gives 1. T5 divides by nothing and trains: source E credits "T5's Xavier initialisation", but T5
# draws $W_Q$ with standard deviation $(d\,E)^{-1/2}$. The root has moved into the weights.

# %%
# checks: t5-no-scale
x, y = torch.randn(2, 2000, 512)
E = 64


def scaled_score_variance(weight_std, scale):
    w_q, w_k = weight_std[0] * torch.randn(512, E), weight_std[1] * torch.randn(512, E)
    return (((x @ w_q) @ (y @ w_k).T) * scale).var().item()


one = 512**-0.5
default = scaled_score_variance([one / math.sqrt(3)] * 2, 1 / 8)
xavier = scaled_score_variance([one] * 2, 1 / 8)  # Glorot for a (512, 512) matrix: variance 2 / (512 + 512)
t5 = scaled_score_variance([(512 * 64) ** -0.5, one], 1)
assert near(nn.Linear(512, 512).weight.var().item(), 1 / (3 * 512), 0.02)
assert near(default, 1 / 9, 0.15)
assert near(xavier, 1, 0.15)
assert near(t5, 1, 0.15)
print(f"score variance: default {default:.1f}, Xavier {xavier:.0f}, T5 without a root {t5:.0f}")

# %% [markdown]
# ## Softmax Jacobian
#
# Why care about a variance? Because of the softmax behind it. With $p=\mathrm{softmax}(s)$,
#
# $$J=\frac{\partial p}{\partial s}=\mathrm{diag}(p)-pp^\top,\qquad J\mathbf 1=0,\qquad
# u^\top Ju=\mathrm{Var}_{j\sim p}(u_j)\ \ge 0,\qquad \mathrm{tr}J=1-\|p\|^2 .$$
#
# A variance is at most a quarter of the squared range (Popoviciu: the variance is at most the mean square distance from
# the middle of the range). For a unit vector the squared range is at most 2, because $(a-b)^2\le2(a^2+b^2)$. So
# $\|J\|\le 1/2$, with equality at $p=(\frac12,\frac12)$. And if the best score leads by a gap $\Delta$ over $n-1$
# others, then $1-p_{\max} \le(n-1)e^{-\Delta}$, hence $\mathrm{tr}J\le2(n-1)e^{-\Delta}$: the gradient dies
# exponentially in the gap, and unscaled gaps grow like $\sqrt E$.

# %%
# checks: softmax-jacobian
s = torch.randn(64, dtype=torch.float64)
p = s.softmax(0)
formula = p.diag() - p.outer(p)
by_autograd = torch.autograd.functional.jacobian(lambda t: t.softmax(0), s)
assert (formula - by_autograd).abs().max() < 1e-15
assert formula.sum(1).abs().max() < 1e-15  # J 1 = 0
rows = (3 * torch.randn(1000, 5, dtype=torch.float64)).softmax(-1)
largest = torch.linalg.eigvalsh(rows.diag_embed() - rows[:, :, None] * rows[:, None, :])[:, -1].max()
half = torch.tensor([0.5, 0.5]).double()
assert 0.49 < largest <= 0.5 + 1e-12
assert torch.linalg.eigvalsh(half.diag() - half.outer(half))[-1] == 0.5
print("the formula is autograd's Jacobian:", True)
print(f"largest norm in 1,000 rows: {largest:.2f}")

# %%
# checks: softmax-jacobian
leads = torch.zeros(64, dtype=torch.float64)
leads[0] = 10  # one score leads 63 others by 10
others, trace = 1 - leads.softmax(0).max(), 1 - leads.softmax(0).square().sum()
assert others <= 63 * math.exp(-10)
assert trace <= 2 * others <= 2 * 63 * math.exp(-10)
print(f"weight of the other 63: {others:.2g}")
print(f"trace of J:             {trace:.2g}")

# %% [markdown]
# The same as a picture: one query, six keys, E = 64. Each entry says how much a weight moves with a score.

# %%
torch.manual_seed(4)
raw = torch.randn(6, 64) @ torch.randn(64)

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3), constrained_layout=True)
traces = {}
for ax, (name, scale) in zip(axes, {"no scale": 1, "root": 1 / 8, "divided by E": 1 / 64}.items(), strict=True):
    p = (raw * scale).softmax(0)
    J = p.diag() - p.outer(p)
    traces[name] = J.trace().item()
    picture = ax.imshow(J, cmap="PuOr", vmin=-0.25, vmax=0.25)
    ax.set(title=f"{name}: trace {traces[name]:.2f}", xlabel="score", xticks=range(6), yticks=range(6))
    ax.set_yticklabels([f"{j}: {weight:.2f}" for j, weight in enumerate(p.tolist())])
axes[0].set_ylabel("key: its weight")
fig.colorbar(picture, ax=axes, label="change of a weight\nper change of a score", shrink=0.9)
assert traces["no scale"] < 0.01
assert traces["root"] > 0.4
show(
    fig,
    "The softmax Jacobian of one query over six keys as three heat maps. No scale: one weight is 1 and the matrix is "
    "zero. Root: weights differ, entries are large. Divided by E: weights nearly equal, the matrix nearly uniform.",
)

# %% [markdown]
# Without a scale no score moves any weight: nothing to learn from.
#
# **Predict.** Many queries, 64 keys, so an entropy of at most $\ln 64=4.16$. What happens to the entropy as E grows
# without a scale, with the root, and divided by E?

# %%
# checks: root-of-e
assert round(math.sqrt(8), 2) == 2.83  # 8 heads, scaled by the width of the model
torch.manual_seed(0)
n = 64
trace, entropy, dead, gradient = {}, {}, {}, {}
for E in (16, 64, 256, 1024):
    q, k = torch.randn(200, 50, E), torch.randn(200, n, E)
    raw = q @ k.transpose(1, 2)
    upstream = torch.randn(200, 50, n) * math.sqrt(E)  # of a loss sum(output * g), with v and g N(0, 1)
    for name, scale in {"no scale": 1, "root": E**-0.5, "E": 1 / E}.items():
        p = (raw * scale).softmax(-1)
        trace[name, E] = (1 - p.square().sum(-1)).median().item()
        entropy[name, E] = -(p * p.clamp_min(1e-30).log()).sum(-1).mean().item()
        to_query = scale * (p * (upstream - (p * upstream).sum(-1, keepdim=True))) @ k
        gradient[name, E] = to_query.norm(dim=-1).median().item()
        dead[name, E] = (to_query.norm(dim=-1) < 1e-3).float().mean().item()
assert near(trace["no scale", 64], 0.23, 0.1)
assert trace["no scale", 1024] < 1e-3
assert all(0.95 < trace["root", E] < 0.98 for E in (16, 64, 256, 1024))
assert [round(entropy[name, 64], 1) for name in ("no scale", "root")] == [0.6, 3.7]
assert round(entropy["E", 64], 2) == 4.15
assert round(math.log(64), 2) == 4.16
assert gradient["E", 64] < gradient["root", 64] / 5  # a full trace, and a tenth of the gradient: the scale is in it too
print("at E = 64    trace  entropy  gradient to the query")
for name in ("no scale", "root", "E"):
    print(f"{name:12} {trace[name, 64]:5.2f} {entropy[name, 64]:8.2f} {gradient[name, 64]:12.2g}")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.1), constrained_layout=True)
left.loglog(sizes, measured, "o-", label="$q^T k$")
left.loglog(sizes, [m / E for m, E in zip(measured, sizes, strict=True)], "s-", label=r"$q^T k\,/\,\sqrt{E}$")
left.loglog(sizes, [m / E**2 for m, E in zip(measured, sizes, strict=True)], "^-", label="$q^T k\\,/\\,E$")
left.set(xlabel="head size E", ylabel="variance of the score", title="What the scale does to scores")
left.legend(frameon=False)
for name, marker in (("no scale", "o"), ("root", "s"), ("E", "^")):
    right.semilogx([16, 64, 256, 1024], [entropy[name, E] for E in (16, 64, 256, 1024)], marker + "-")
for ax in (left, right):
    ticks = sizes if ax is left else sizes[1:]
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
right.plot([13, 1100], [math.log(64)] * 2, color="black", linestyle=":", linewidth=1)
right.text(16, 4.28, "all 64 keys alike: ln 64", fontsize=9)
right.text(64, 0.85, "one key takes all", fontsize=9)
for name, colour in zip(("no scale", "root", "E"), OKABE_ITO, strict=False):
    right.text(1300, entropy[name, 1024], name, fontsize=10, color=colour, va="center", weight="bold")
right.set(xlabel="head size E", ylabel="mean entropy (nats)", title="What it does to the weights of 64 keys")
right.set(xlim=(13, 2300), ylim=(-0.2, 4.9))
show(
    fig,
    "Left: score variance against head size, growing from 4 to 1024 without a scale, flat at 1 with the root, "
    "falling with 1/E. Right: entropy of the weights of 64 keys, falling to 0.1 without a scale, constant at 3.7 with "
    "the root, 4.2, the maximum, when divided by E.",
)

# %% [markdown]
# Without the root, trace and entropy collapse as E grows; with it, nothing happens. Divided by E, the entropy is at its
# maximum: the layer is a plain mean. (By the trace alone that would look best. The trace says how far weights can move,
# not whether they carry information.)
#
# **An honest caveat.** "Without the root gradients vanish" is half the truth. Without it the gradient to the query
# also lacks a factor $1/\sqrt E$, so the *median* gradient is larger up to E = 256. What grows is the share of
# queries whose gradient is practically zero (norm below 0.001): about 0%, 2%, 12% and a third for E = 16, 64, 256,
# 1024. With the root: none.

# %%
# checks: root-of-e
for E, wanted in {16: 0.00, 64: 0.02, 256: 0.12, 1024: 0.33}.items():
    assert abs(dead["no scale", E] - wanted) < 0.03
    assert dead["root", E] == 0
    assert (gradient["no scale", E] > gradient["root", E]) == (E <= 256)
assert [round(100 * dead["no scale", E]) for E in (64, 256, 1024)] == [2, 12, 33]
print("        median gradient       no gradient")
print("   E   no scale     root   no scale  root")
for E in (16, 64, 256, 1024):
    no_scale, root = f"{gradient['no scale', E]:.2g}", f"{gradient['root', E]:.2g}"
    print(f"{E:4} {no_scale:>10} {root:>8} {dead['no scale', E]:>10.0%} {dead['root', E]:>5.0%}")

# %% [markdown]
# ### Backward
#
# That Jacobian is all it takes to differentiate attention by hand. With weights $A$, output $O=AV$, scores
# $s=QK^\top/\sqrt E$ and the gradient $dO$ from above:
#
# $$dV=A^\top dO,\quad dA=dO\,V^\top,\quad ds=A\circ(dA-\delta),\quad
# dQ=\tfrac1{\sqrt E}\,ds\,K,\quad dK=\tfrac1{\sqrt E}\,ds^\top Q .$$
#
# The third is $J$ applied to each row of $dA$, with $\delta_i=\sum_jA_{ij}\,dA_{ij}$. And
# $\delta_i=\sum_jA_{ij}\,dO_i\cdot V_j=dO_i\cdot O_i$: one number a row, found from the output alone. That is what lets
# a [fused kernel](#FlashAttention) forget the weights and make them again, tile by tile.
#
# **Predict.** Forward is two products of this size. How many is backward, and how many if the weights were not kept?

# %%
q, k, v = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((5, 8), (7, 8), (7, 3)))
output = F.scaled_dot_product_attention(q, k, v)
from_above = torch.randn(5, 3, dtype=torch.float64)
output.backward(from_above)
with torch.no_grad():
    A = torch.softmax(q @ k.T / math.sqrt(8), dim=-1)
    delta = (from_above * output).sum(-1, keepdim=True)  # instead of (A * dA).sum(-1)
    ds = A * (from_above @ v.T - delta)
    by_hand = {"dQ": ds @ k / math.sqrt(8), "dK": ds.T @ q / math.sqrt(8), "dV": A.T @ from_above}
for (name, gradient_by_hand), tensor in zip(by_hand.items(), (q, k, v), strict=True):
    assert torch.allclose(gradient_by_hand, tensor.grad, atol=1e-14)
    for who, rows in (("by hand ", gradient_by_hand), ("autograd", tensor.grad)):
        print(name, who, [float(f"{x:.2f}") for x in rows[0].tolist()])

# %% [markdown]
# Four products; a fifth, $QK^\top$ again, if the weights were not kept. So training attention costs three times its
# forward pass, and 3.5 times with a fused kernel.
#
# ### After initialisation
#
# The root is a statement about *fresh* layers. Training aligns queries with keys, and then $q^\top k$ grows like E and
# not like its root: that is why **muP** (2203.03466) divides by E. Logits keep growing, rows become one-hot, the loss
# spikes. Models since 2023 hold them down:
#
# - **QK-norm** (2010.04245; ViT-22B, OLMo 2, Qwen3, Gemma 3): an RMS norm of each head's $q$ and $k$. With
#   $\|q\|=\|k\|=\sqrt E$, Cauchy-Schwarz gives $|q^\top k|/\sqrt E\le\sqrt E$, whatever the weights do.
# - **Soft-capping** (Gemma 2, 2408.00118): $c\tanh(s/c)$ with $c=50$. Gemma 3 went back to QK-norm, which stays outside
#   the kernel.
# - **QK-clip** (Kimi K2, 2507.20534): after a step, shrink $W_Q$ and $W_K$ of each head whose largest score has passed
#   a bound. Nothing is added to the model.
#
# **Predict.** Scale fresh queries and keys by 10, as training might. How large can a score get with QK-norm, E = 64?

# %%
# checks: qk-norm
grown_q, grown_k = 10 * torch.randn(2, 1000, 64)
plain_scores = grown_q @ grown_k.T / 8
unit = [t / t.square().mean(-1, keepdim=True).sqrt() for t in (grown_q, grown_k)]
normed = unit[0] @ unit[1].T / 8
capped = 50 * (plain_scores / 50).tanh()
along = unit[0] @ unit[0].T / 8  # a query that is its own key: the bound is reached
assert normed.abs().max() < math.sqrt(64) == 8
assert near(along.max().item(), 8, 1e-4)
assert capped.abs().max() <= 50 < plain_scores.abs().max()
for name, s in (("as it is", plain_scores), ("QK-norm", normed), ("capped at 50", capped)):
    print(f"{name:13} largest score {s.abs().max():5.3g}, mean largest weight {s.softmax(-1).amax(-1).mean():.2f}")

# %% [markdown]
# At most 8. (A learned gain on the norm lets the model ask for more; the root stays in all three.)

# %% [markdown]
# ## Empty rows
#
# For a non-empty set $M$ of allowed keys,
# $\lim_{c\to\infty}\mathrm{softmax}(s-c\,1_{\bar M})_j=e^{s_j}1_M(j)\big/ \sum_{i\in M}e^{s_i}$. So filling with
# $-\infty$ equals zeroing after the softmax *and renormalising*. Zeroing alone leaves rows that do not sum to one.
#
# If $M$ is empty the limit does not exist, and every implementation gives something different.
#
# **Predict.** An empty row with scores 1, 2, 3. What comes out of a fill of -1e9, of a fill of $-\infty$, and of
# *adding* -1e4?

# %%
# checks: empty-row
scores = torch.tensor([1.0, 2.0, 3.0])
nothing = torch.tensor([False, False, False])
recipes = {
    "add -1e4, float32": (scores - 1e4).softmax(0),
    "add -1e9, float32": (scores - 1e9).softmax(0),
    "add -1e9, float64": (scores.double() - 1e9).softmax(0),
    "fill -1e9": scores.masked_fill(~nothing, -1e9).softmax(0),
    "fill -inf": scores.masked_fill(~nothing, -math.inf).softmax(0),
    "PyTorch, the kata": F.scaled_dot_product_attention(  # values the identity: the output is the weights
        torch.ones(1, 1), scores[:, None], torch.eye(3), attn_mask=nothing[None]
    )[0],
}
unmasked = torch.tensor([0.090, 0.245, 0.665])
assert torch.allclose(recipes["add -1e4, float32"], unmasked, atol=1e-3)
assert torch.allclose(recipes["add -1e9, float64"].float(), unmasked, atol=1e-3)
assert torch.allclose(recipes["add -1e9, float32"], torch.full((3,), 1 / 3))  # lost: 1e9 has steps of 64
assert torch.allclose(recipes["fill -1e9"], torch.full((3,), 1 / 3))
assert recipes["fill -inf"].isnan().all()
assert recipes["PyTorch, the kata"].eq(0).all()
allowed = torch.tensor([True, False, True])
renormalised = scores.softmax(0) * allowed / (scores.softmax(0) * allowed).sum()
assert torch.allclose(scores.masked_fill(~allowed, -math.inf).softmax(0), renormalised)

# %%
fig, ax = plt.subplots(figsize=(7, 2.6), constrained_layout=True)
shown = torch.stack([row.float() for row in recipes.values()])
ax.imshow(shown.nan_to_num(0), cmap="cividis", vmin=0, vmax=0.8, aspect="auto")
for row, column in torch.cartesian_prod(torch.arange(6), torch.arange(3)).tolist():
    number = shown[row, column].item()
    ax.text(column, row, "NaN" if math.isnan(number) else f"{number:.2f}", ha="center", va="center",
            color="black" if number > 0.45 else "white")  # fmt: skip
causes = ["empty-row-unmasked", "empty-row-uniform"] * 2 + ["empty-row-nan", "right"]
ax.set(xticks=range(3), yticks=range(6), yticklabels=[f"{r}: {c}" for r, c in zip(recipes, causes, strict=True)])
ax.set_xticklabels(["score 1", "score 2", "score 3"])
ax.set_title("Weights of a query that may see none of three keys")
show(
    fig,
    "Weights of an empty row under six recipes: adding -1e4 gives the unmasked softmax .09 .24 .67, adding -1e9 in "
    "float32 and filling -1e9 give one third each, filling -inf gives NaN, PyTorch and the kata give zeros.",
)

# %% [markdown]
# (The names beside the recipes are the grader's.) Sources A, B and E fill with a finite number: their empty row is the
# plain mean of values it must not see. In B's own example the second sample is such a row. The contract here is zeros.
# PyTorch's function does the same **since 2.5** (pull request 131060, `_safe_softmax`), without saying so: the
# pseudo-code in its documentation gives NaN, and so did the function before 2.5 (issue 103963).
#
# **The gradients are a second trap** (`empty-row-nan-gradient`). If -inf is *added*, cleaning up NaN after the softmax
# mends the output but not the backward pass, because NaN times 0 is NaN. (After `masked_fill` the gradient happens to
# be finite, because the backward pass of `masked_fill` writes zeros where it has filled.)

# %%
# checks: empty-row
k, v = torch.randn(3, 4), torch.randn(3, 2)
forbid = torch.full((3,), -math.inf)


def query_gradient(clean_up):
    q = torch.ones(4, requires_grad=True)
    (clean_up((k @ q + forbid).softmax(0)) @ v).sum().backward()
    return q.grad


for clean_up in (torch.nan_to_num, lambda w: torch.where(w.isnan(), 0.0, w)):
    assert query_gradient(clean_up).isnan().all()
q = torch.ones(4, requires_grad=True)
((k @ q).masked_fill(~nothing, -math.inf).softmax(0).nan_to_num() @ v).sum().backward()
assert q.grad.eq(0).all()
q = torch.ones(1, 4, requires_grad=True)
F.scaled_dot_product_attention(q, k, v, attn_mask=torch.zeros(1, 3, dtype=torch.bool)).sum().backward()
assert q.grad.eq(0).all()
print("gradient of the query, NaN cleaned up after the softmax:", query_gradient(torch.nan_to_num).tolist())
print("gradient of the query, PyTorch's function:             ", q.grad[0].tolist())

# %% [markdown]
# ### Sinks
#
# Softmax weights sum to one, so a head that has nothing to fetch must still put its weight somewhere. Trained decoders
# put it on the first token, which every query sees, and give that token a small value: an **attention sink**
# (StreamingLLM, 2309.17453). Throw the first tokens out of a sliding cache and the model breaks down; keep four of them
# and it does not. gpt-oss (2508.10925) gives each head a learned logit that joins the denominator only,
# $p_j=e^{s_j}/(e^{b}+\sum_ie^{s_i})$: a row may sum to less than one, and an empty row is 0 without a special case.
# Gated attention (2505.06708; Qwen3-Next) multiplies each head's output by a sigmoid of the query's own token: a head
# with nothing to fetch closes its gate, and the sink is gone.

# %%
# checks: sinks
low = torch.tensor([-4.0, -4.0, -4.0])
with_sink = torch.cat([low, torch.zeros(1)]).softmax(0)[:3]  # a sink logit of 0, and no value behind it
assert near(low.softmax(0).sum().item(), 1, 1e-6)
assert round(with_sink.sum().item(), 2) == 0.05
print("nothing to fetch, softmax  :", [float(f"{w:.2f}") for w in low.softmax(0).tolist()])
print("nothing to fetch, with sink:", [float(f"{w:.2f}") for w in with_sink.tolist()])

# %% [markdown]
# ## Half precision
#
# float16 ends at 65,504. bfloat16 has the range of float32 and 8 bits of precision.
#
# **Predict.** q = k = 30 in 128 features. Which of these is finite in float16: the product divided by the root, or the
# product of the divided query? And what is the sum of 512 ones, added one after the other in bfloat16?

# %%
# checks: float16
half_scores = torch.zeros(2, dtype=torch.float16)
hide_first = torch.tensor([True, False])
refused = []
for fill in (-1e9, -1e20, -65504.0, -math.inf):
    try:
        half_scores.masked_fill(hide_first, fill)
    except RuntimeError:
        refused.append(fill)
assert refused == [-1e9, -1e20]  # sources A, E and B
assert half_scores.bfloat16().masked_fill(hide_first, -1e9).isfinite().all()

leak = torch.tensor([-1e4, -1.2e4]).softmax(0)  # a "safe" fill beside a real score of -12,000: the masked key wins
assert leak[0] == 1
assert -1.2e4 == -12_000

q = k = torch.full((1, 128), 30.0, dtype=torch.float16)
after, before = (q @ k.T) / math.sqrt(128), (q / math.sqrt(128)) @ k.T  # divide after the product, or before
assert after.isinf().all()
assert near(before.item(), 128 * 30 * 30 / math.sqrt(128), 0.01)
assert 128 * 30 * 30 == 115_200 > torch.finfo(torch.float16).max == 65_504
assert F.scaled_dot_product_attention(q, k, k).isfinite().all()

share = 128 ** (-1 / 4)  # of the scale, for query and key alike, as on PyTorch's plain path
assert near(((q * share) @ (k * share).T).item(), before.item(), 0.01)

total = torch.zeros((), dtype=torch.bfloat16)
for one in torch.ones(512, dtype=torch.bfloat16):
    total = total + one
assert total == 256  # 256 + 1 rounds to 256
assert torch.ones(512, dtype=torch.bfloat16).sum(dtype=torch.float32) == 512

torch.manual_seed(0)
q, k, v = torch.randn(3, 64, 128).to(torch.float16)
exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
in_half = ((q / math.sqrt(128)) @ k.T).softmax(-1) @ v
upcast = ((q.float() @ k.float().T) / math.sqrt(128)).softmax(-1).half() @ v  # float32 scores and softmax, half out
errors = [(t.double() - exact).abs().mean().item() for t in (in_half, upcast)]
assert errors[1] < errors[0]
print("fills refused by float16:", refused)
print(f"scaled after the product: {after.item()}, before: {before.item():.3g}")
print("512 ones in bfloat16:", int(total))
print(f"mean error, all in float16 against scores and softmax in float32: {errors[0] / errors[1]:.0f} times")

# %% [markdown]
# **Inputs and outputs in half precision, scores and softmax in float32**: that is the answer to "would you ship it".
# Fused kernels keep the scores in a float32 accumulator and never store them; an eager version upcasts,
# `softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)`, as source E's Llama block does and says ("upcast
# attention to fp32").
#
# If scores must be written out in float16, scale *before* the product. PyTorch's plain path multiplies query **and**
# key by $E^{-1/4}$; its documentation scales the product; its fused kernels scale the float32 product, where nothing
# overflows. Source E's block scales after a half-precision product, and one overflowing row is NaN for the rest of
# the run. Dividing the query saves the range; only float32 saves the precision of the sums.
#
# The grader's names: `fill-overflows-half`, `fill-not-low-enough`, `scale-after-product`. `softmax-in-float32` is about
# *float64* inputs, where it throws away half the digits; for half-precision inputs it is right. `result-in-float32`
# forgets to cast back.

# %% [markdown]
# ## Break it
#
# Five tokens, E = 16. Each picture is what a mistake does to the same weights; rows are queries, and the titles are the
# grader's names.

# %%
torch.manual_seed(1)
q, k = torch.randn(2, 5, 16)
raw = torch.einsum("id,jd->ij", q, k)
see = torch.ones(5, 5, dtype=torch.bool).tril()
hidden = (raw / 4).masked_fill(~see, -math.inf)
maps = {
    "right": hidden.softmax(-1),
    "scale-missing": raw.masked_fill(~see, -math.inf).softmax(-1),
    "scale-head-dim": (raw / 16).masked_fill(~see, -math.inf).softmax(-1),
    "scale-after-softmax": raw.masked_fill(~see, -math.inf).softmax(-1) / 4,
    "softmax-over-queries": hidden.softmax(-2),
    "mask-added": (raw / 4 + see).softmax(-1),
    "fill-zero": (raw / 4).masked_fill(~see, 0).softmax(-1),
    "mask-after-softmax": (raw / 4).softmax(-1) * see,
}
right = maps["right"]
row_sums = {name: m.sum(-1) for name, m in maps.items()}
future = {name: (m * ~see).sum().item() for name, m in maps.items()}
assert all((m - right).abs().max() > 0.1 for name, m in maps.items() if name != "right")
odd = [name for name, sums in row_sums.items() if not torch.allclose(sums, torch.ones(5))]
leaks = [name for name, weight in future.items() if weight > 1]
assert odd == ["scale-after-softmax", "softmax-over-queries", "mask-after-softmax"]
assert leaks == ["mask-added", "fill-zero"]
print("rows do not sum to one:", ", ".join(odd))
print("the future is seen:    ", ", ".join(leaks))

# %%
fig, axes = plt.subplots(2, 4, figsize=(10, 4.6), constrained_layout=True)
for ax, (name, m) in zip(axes.flat, maps.items(), strict=True):
    picture = ax.imshow(m, cmap="cividis", vmin=0, vmax=1)
    ax.set(xticks=range(5), yticks=range(5))
    ax.set_title(name, fontsize=10)
    ax.text(4.7, -0.75, "sum", va="center", fontsize=8)
    for i in range(5):
        colour = "#D55E00" if abs(m[i].sum() - 1) > 0.01 else "black"
        ax.text(4.7, i, f"{m[i].sum():.2f}", va="center", fontsize=8, color=colour)
axes[0, 0].set_ylabel("query")
axes[1, 0].set(xlabel="key", ylabel="query")
fig.colorbar(picture, ax=axes, label="weight", shrink=0.6)
show(
    fig,
    "Eight attention maps of five causal tokens, row sums beside them. scale-missing: nearly one-hot. scale-head-dim: "
    "nearly uniform. scale-after-softmax: row sums 0.25. softmax-over-queries, mask-after-softmax: other row sums. "
    "mask-added, fill-zero: the future is seen.",
)

# %% [markdown]
# ### Scale
# `scale-missing` and `scale-multiplied`: rows nearly one-hot. `scale-head-dim` and `scale-d-model`: rows nearly
# uniform. Shapes, sums and causality are right, and small inputs hide it all. `scale-key-length`,
# `scale-query-length`, `scale-num-heads`, `scale-value-dim`: the root of another size, right where the two agree.
# `scale-after-softmax`: every row sums to $1/\sqrt E$.
#
# ### Softmax
# `softmax-over-queries`, `dim=-2`: columns sum to one, and with L = S no shape complains. `softmax-dim-1`,
# `softmax-without-dim`, `softmax-over-heads` and `softmax-over-batch` normalise over another axis; they are right only
# when it happens to be the last.
# `softmax-missing`, `softmax-undivided`: rows do not sum to one. `softmax-without-maximum`: right until a score
# passes 88 in float32.
#
# ### Weighted sum
# `weights-transposed`, `keys-as-values`, `values-as-keys`, `queries-as-keys`: shapes fit when L = S and Ev = E. Use
# sizes that differ. `weights-returned`: (L, S) comes out.
#
# ### Masks
# `mask-added`: True is 1, so allowed keys get a factor of $e$ and the future keeps its weight; no error. `fill-zero`:
# exp(0) is 1. `mask-after-softmax`: rows sum to what was left. Source E adds its mask and takes the maximum with the
# lowest finite number: that saves a row from $-\infty$ and makes an empty row uniform, and a boolean mask is added as
# 1 and 0. More in [Causal mask](causal_mask.ipynb#Fill).
#
# ### Inputs
# `query-changed-in-place`, `mask-changed-in-place`: `query /= 4` inside the function scales the caller's tensor. The
# first call is right, the second wrong.

# %%
tiny, v = raw / 100**2, torch.randn(5, 16)  # queries and keys a hundred times smaller
assert ((tiny.softmax(-1) - (tiny / 4).softmax(-1)) @ v).abs().max() < 1e-2  # the missing scale hides
assert torch.tensor(88.0).exp().isfinite()
assert torch.tensor(89.0).exp().isinf()
wrong_sums = {
    "weights-transposed": right.T @ v,
    "keys-as-values": right @ k,
    "values-as-keys": (q @ v.T / 4).masked_fill(~see, -math.inf).softmax(-1) @ v,
    "queries-as-keys": (q @ q.T / 4).masked_fill(~see, -math.inf).softmax(-1) @ v,
}


def divides_in_place(query):
    query /= 4
    return F.scaled_dot_product_attention(query, k, v, see, scale=1)


mine = q.clone()
first, second = divides_in_place(mine), divides_in_place(mine)
assert torch.allclose(first, right @ v, atol=1e-6)
wrong_sums["query-changed-in-place, second call"] = second
for name, output in wrong_sums.items():
    assert output.shape == (right @ v).shape
    assert (output - right @ v).abs().max() > 0.5
    print(f"{name:36} off by {(output - right @ v).abs().max():.1f}")

# %% [markdown]
# ### Heads as positions
# Source D hands `F.scaled_dot_product_attention` a tensor (B, L, H, E). It takes the last two axes, so heads
# attend to heads and tokens never meet (`heads-as-positions`). The shape is right, and its "test" prints the shape.
#
# **Predict.** Independent normal values: what is the spread of a mean of 256 of them, and of a mean of 8?

# %%
# checks: wrong-axes
torch.manual_seed(1)
q, k, v = torch.randn(3, 1, 256, 8, 64)  # (B, L, H, E), as in source D
good = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v))).transpose(1, 2)
bad = F.scaled_dot_product_attention(q, k, v)
assert good.shape == bad.shape == (1, 256, 8, 64)
assert near(bad.std().item(), 0.48, 0.05)
assert near(good.std().item(), 0.10, 0.08)
far = v.clone()
far[:, 1:] = 100
assert torch.equal(F.scaled_dot_product_attention(q, k, far)[:, 0], bad[:, 0])  # no other token can move token 0
print(f"largest error {(good - bad).abs().max():.1f}")
print(f"spread {bad.std():.2f} instead of {good.std():.2f}")

# %%
reach = {}
for layout in ("(B, H, L, E)", "(B, L, H, E)"):
    moved = torch.zeros(6, 6)
    for changed in range(6):
        q, k, v = (torch.linspace(-1, 1, 6 * 2 * 4).roll(r).view(1, 6, 2, 4) for r in range(3))
        nudged = v.clone()
        nudged[:, changed] += 1
        swap = (lambda t: t.transpose(1, 2)) if layout == "(B, H, L, E)" else (lambda t: t)
        outputs = [swap(F.scaled_dot_product_attention(*map(swap, (q, k, value)))) for value in (v, nudged)]
        moved[:, changed] = (outputs[1] - outputs[0]).abs().amax((0, 2, 3))
    reach[layout] = moved > 1e-6
assert reach["(B, H, L, E)"].all()
assert torch.equal(reach["(B, L, H, E)"], torch.eye(6, dtype=torch.bool))

# %%
fig, axes = plt.subplots(1, 2, figsize=(6, 2.7), constrained_layout=True)
for ax, (layout, moved), verdict in zip(axes, reach.items(), ("tokens mix", "tokens never meet"), strict=True):
    ax.imshow(moved, cmap="cividis", vmin=0, vmax=1)
    ax.set(title=f"{layout}: {verdict}", xlabel="value changed at position", ylabel="output moved at position")
    ax.title.set_fontsize(10)
show(
    fig,
    "Which output positions move when one value is changed. Heads before positions: all of them. "
    "Positions before heads: only the diagonal, so each token sees itself alone.",
)

# %% [markdown]
# ## Online softmax
#
# The weights of 8,192 tokens, 32 heads, in float16, are 4 GiB, written and read back to be averaged away. They are
# never needed whole (Milakov and Gimelshein 2018, 1805.02867; Rabe and Staats 2021, 2112.05682). Read keys in blocks;
# with the scores $s$ and the values $V$ of the block in hand, keep per query a maximum $m$, a sum $\ell$ and a vector
# $O$:
#
# $$m'=\max(m,\max s),\quad \ell'=e^{m-m'}\ell+\textstyle\sum e^{s-m'},\quad
# O'=e^{m-m'}O+e^{s-m'}V,\quad\text{out}=O/\ell .$$
#
# **Predict.** Which block sizes of 100 keys give the exact result, and what goes wrong without the factor $e^{m-m'}$?
#
# **Invariant.** After any set $J$ of keys: $m=\max_Js$, $\ell=\sum_Je^{s_i-m}$, $O=\sum_Je^{s_i-m}v_i$. **Proof.**
# The factor $e^{m-m'}$ changes the reference from $m$ to $m'$ in the old terms; the block adds its own, in that
# reference. At the end $m$ cancels in $O/\ell$. Merging two states is associative and commutative, so blocks may
# even be computed on different machines.


# %%
class Running:
    """Attention of one query over the keys seen so far."""

    def __init__(self, width, dtype):
        self.top, self.total, self.mix = -math.inf, 0.0, torch.zeros(width, dtype=dtype)

    def read(self, scores, values, correct=True):
        top = max(self.top, scores.max().item())
        if top == -math.inf:  # nothing allowed so far: exp(-inf + inf) would be NaN
            return self
        old = math.exp(self.top - top) if correct else 1.0
        new = (scores - top).exp()
        self.top, self.total, self.mix = top, old * self.total + new.sum(), old * self.mix + new @ values
        return self

    def merge(self, other):
        top = max(self.top, other.top)
        a, b = math.exp(self.top - top), math.exp(other.top - top)
        self.top, self.total, self.mix = top, a * self.total + b * other.total, a * self.mix + b * other.mix
        return self


torch.manual_seed(0)
q, k, v = 3 * torch.randn(16).double(), torch.randn(100, 16).double(), torch.randn(100, 8).double()
exact = F.scaled_dot_product_attention(q[None], k, v)[0]
error = {}
for dtype in (torch.float64, torch.float32):
    scores, values = (k @ q / 4).to(dtype), v.to(dtype)
    for block in (1, 2, 4, 7, 16, 32, 64, 100):
        state = Running(8, dtype)
        for piece in range(0, 100, block):
            state.read(scores[piece : piece + block], values[piece : piece + block])
        error[dtype, block] = (state.mix / state.total - exact).abs().max().item()
        assert error[dtype, block] < (1e-14 if dtype == torch.float64 else 2e-6)
for block in (1, 7, 32, 100):
    state = Running(8, torch.float64)
    for piece in range(0, 100, block):
        state.read((k @ q / 4)[piece : piece + block], v[piece : piece + block])
    print(f"blocks of {block:3}: {[float(f'{x:.2f}') for x in (state.mix / state.total).tolist()[:5]]}")
print(f"in one go    : {[float(f'{x:.2f}') for x in exact.tolist()[:5]]}")

# %% [markdown]
# Exact up to rounding, for each of them. Now break it, and try what makes it worth having:

# %%
# checks: flash
scores = k @ q / 4
no_correction, first, second = Running(8, torch.float64), Running(8, torch.float64), Running(8, torch.float64)
for piece in range(0, 100, 7):
    no_correction.read(scores[piece : piece + 7], v[piece : piece + 7], correct=False)
wrong_by = (no_correction.mix / no_correction.total - exact).abs().max()
first.read(scores[:40], v[:40])
second.read(scores[40:], v[40:])
merged = second.merge(first)  # the later half first
huge = scores * 1e4 / scores.abs().max()  # exp(1e4) is not a number that float64 has
long = Running(8, torch.float64).read(huge[:50], v[:50]).read(huge[50:], v[50:])
masked = scores.masked_fill(torch.arange(100) < 7, -math.inf)
late = Running(8, torch.float64).read(masked[:7], v[:7]).read(masked[7:], v[7:])
facts = {
    "without the correction: off by more than 0.1": wrong_by > 0.1,
    "two halves, merged": torch.allclose(merged.mix / merged.total, exact, atol=1e-14),
    "m + log l is the logsumexp": math.isclose(merged.top + math.log(merged.total), scores.logsumexp(0)),
    "scores of 1e4: exp(s) / sum fails": not (huge.exp() / huge.exp().sum()).isfinite().all(),
    "scores of 1e4: running does not": torch.allclose(long.mix / long.total, huge.softmax(0) @ v),
    "a first block that sees nothing": torch.allclose(late.mix / late.total, masked.softmax(0) @ v),
    "4 GiB: tokens^2, heads, bytes": 8192**2 * 32 * 2 == 4 * 2**30,
}
for fact, holds in facts.items():
    print(f"{fact:45}", bool(holds))
assert all(facts.values())

# %%
fig, (one, two) = plt.subplots(1, 2, figsize=(9.5, 3.1), constrained_layout=True)
blocks = [1, 2, 4, 7, 16, 32, 64, 100]
for dtype, marker, label in ((torch.float32, "o", "float32"), (torch.float64, "s", "float64")):
    one.loglog(blocks, [max(error[dtype, b], 1e-17) for b in blocks], marker + "-", label=label)
one.axhline(wrong_by, color="#D55E00", linestyle="--", label="no correction factor")
one.set(xlabel="block size (keys)", ylabel="largest error", title="Exact at any block size", ylim=(1e-17, 10))
one.legend(frameon=False, ncol=2, fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.9))
lengths = torch.tensor([512, 1024, 2048, 4096, 8192, 16384])
two.loglog(lengths, 8 * lengths**2 * 2 * 4 / 2**20, "-", label="computed: scores and weights")
two.loglog(lengths, 8 * lengths * (64 + 2) * 4 / 2**20, "-", label="computed: running m, l, O")
two.set(xlabel="tokens", ylabel="MiB (8 heads of 64, float32)", title="Quadratic against linear")
two.set_xticks(lengths.tolist()[::2], ["512", "2,048", "8,192"])
two.minorticks_off()
two.legend(frameon=False, fontsize=8, loc="upper left")
two.set(ylim=(0.5, 5e5), xlim=(400, 25000))
show(
    fig,
    "Left: error of the online softmax near 1e-16 in float64 and 1e-7 in float32 for every block size, above 0.1 "
    "without the correction. Right: computed memory of all scores and weights grows quadratically with the length, "
    "that of the running state linearly.",
)

# %% [markdown]
# ### FlashAttention
#
# The recurrence is half of **FlashAttention** (2205.14135, May 2022). The other half is where things lie. A GPU has a
# large slow memory (HBM, tens of GB at some TB/s) and a small fast one on chip (SRAM, some 100 KB a multiprocessor).
# Keys and values come in **tiles** that fit on chip; scores live and die there:
#
# - *Accesses to HBM.* The plain way writes and reads scores and weights: $\Theta(NE+N^2)$. Tiles of $M/E$ rows, with
#   $M$ numbers on chip, read all keys once for each of $NE/M$ tiles: $\Theta(N^2E^2/M)$. With E = 128 and 100 KiB in
#   16 bits, $E^2/M=0.32$.
# - *Backward.* Weights are not stored but **computed again** from $q$, $k$ and one number a row, the log-sum-exp
#   $m+\ln\ell$. More FLOPs, fewer bytes, and memory linear in N.
# - *Versions.* 2 (2307.08691, July 2023): parallel over queries too, fewer operations that are no matrix products,
#   about twice as fast. 3 (2407.08608, July 2024): Hopper; copies, products and softmax overlap, and FP8. 4
#   (2603.05451, March 2026): Blackwell, whose products are twice as fast and whose exponentials are not; so a part of
#   the exponentials becomes polynomials, and the state is rescaled only when the maximum has moved far.
# - *Flash decoding.* One query has no rows to spread over a GPU, so the **keys** are split and the states merged, as
#   `merge` does above.
#
# **"FlashAttention: 2-4x faster"** (source C, naming version 2 in its code). The figure is version *1*'s: the
# abstract of version 2 quotes "2-4x over optimized baselines" for its predecessor. It is attention alone; whole models
# gained 15% (BERT-large) to 3x (GPT-2). PyTorch has it built in. Source C's switch for Hugging Face lacks its import as
# printed; it needs a GPU and half precision, and either the flash-attn package or, in transformers 5, the `kernels`
# package, which loads `kernels-community/flash-attn2` from the Hub (docs, *Loading kernels*).

# %% tags=["drawing"]
# drawing: flash_tiles

# %% [markdown]
# The idea pays on a CPU too, whose near memory is the cache. Eight heads of 64, 4,096 tokens:

# %%
# checks: flash, long-range
on_chip = 100 * 1024 // 2  # numbers of 16 bits
assert on_chip == 51_200
assert round(128 * 128 / on_chip, 2) == 0.32
assert 8192**2 * 32 * 2 == 4 * 2**30
print(f"accesses, tiles against one pass over the scores: {128 * 128 / on_chip:.2f}")

# %% tags=["nbval-ignore-output"]
q, k, v = torch.randn(3, 1, 8, 4096, 64)


def best_of(attend, runs=2):
    took = []
    for _ in range(runs):
        started = time.perf_counter()
        attend()
        took.append(time.perf_counter() - started)
    return min(took)


naive = best_of(lambda: (q @ k.mT / 8).softmax(-1) @ v)
fused = best_of(lambda: F.scaled_dot_product_attention(q, k, v))
one_matrix, output = 8 * 4096**2 * 4 / 2**20, q.nbytes / 2**20
print(f"naive   {1e3 * naive:5.0f} ms, holds {2 * one_matrix + output:.0f} MiB: scores, weights and output")
print(f"PyTorch {1e3 * fused:5.0f} ms, holds {output:.0f} MiB: the output, and blocks")
print(f"{naive / fused:.1f} times as fast")

# %% [markdown]
# ## Edge cases
#
# What the grader will ask, asked of PyTorch:


# %%
def oracle(*shape_q, S=3, Ev=5, dtype=torch.float64):
    *lead, L, E = shape_q
    q, k, v = (torch.randn(*lead, *s, dtype=dtype) for s in ((L, E), (S, E), (S, Ev)))
    return F.scaled_dot_product_attention(q, k, v), v


assert oracle(7, 4)[0].shape == (7, 5)  # L, S, E and Ev all different, no batch
assert oracle(2, 1, 3, 7, 4)[0].shape == (2, 1, 3, 7, 5)  # any leading dimensions
out, v = oracle(2, 4, S=1)
assert torch.equal(out, v.expand(2, 5))  # one key: its weight is 1, whatever the scores
assert all(oracle(7, 4, dtype=d)[0].dtype == d for d in (torch.float16, torch.bfloat16, torch.float32))
q = k = torch.full((2, 4), 1e4).double()
halves = F.scaled_dot_product_attention(q, k, torch.eye(2).double())
assert torch.allclose(halves, torch.tensor(0.5).double())
weights = F.dropout(torch.full((1000, 8), 1 / 8), 0.1, training=True)
assert not torch.allclose(weights.sum(-1), torch.ones(1000), atol=0.05)  # dropout: rows no longer sum to one
print("any leading dimensions, L, S, E and Ev all different:", True)
print("one key; scores of 2e8; every dtype comes back:", True)
print("dropout: rows no longer sum to one:", True)

# %% [markdown]
# ## Equivalences
#
# The sdpa kata is the mha kata with one head and identity projections; and the whole tensor is a loop of `attend_one`.

# %%
x = torch.randn(1, 5, 4)
layer = nn.MultiheadAttention(4, 1, bias=False, batch_first=True).eval()
with torch.no_grad():
    layer.in_proj_weight.copy_(torch.eye(4).repeat(3, 1))
    layer.out_proj.weight.copy_(torch.eye(4))
    from_layer = layer(x, x, x, need_weights=False)[0]
rows = [attend_one(token, x[0].tolist(), x[0].tolist()) for token in x[0].tolist()]
assert torch.allclose(from_layer, F.scaled_dot_product_attention(x, x, x), atol=1e-6)
assert torch.allclose(from_layer[0], torch.tensor(rows), atol=1e-6)
for name, rows_of in (("loop", rows), ("layer, one head", from_layer[0].tolist())):
    print(f"{name:16} first row {[float(f'{x:.2f}') for x in rows_of[0]]}")

# %% [markdown]
# ## What it costs
#
# A product of $m\times k$ with $k\times n$ is $mn$ sums of $k$ multiplications and additions: $2mnk$ FLOPs. Here
# $2LSE+2LSE_v$ a head, which is $4LSE$ with values as wide as keys, and no parameters. One layer, 4,096 tokens,
# float16:

# %%
# checks: flops-sdpa
E, N = 128, 4096
models = {"Llama-2-7B": (32, 32), "Llama-2-70B": (64, 8), "Llama-3-8B": (32, 8), "Qwen2-7B": (28, 4)}
print(f"{'':12} heads  kv  parameters  GFLOP  all weights, MiB  K and V, MiB")
for model, (H, K) in models.items():
    q = k = v = torch.empty(1, H, N, E, dtype=torch.float16, device="meta")  # shapes only: nothing is computed
    with FlopCounterMode(display=False) as counter:
        (q @ k.mT).softmax(-1) @ v
    flops, weights, cache = counter.get_total_flops(), 2 * H * N * N, 2 * 2 * N * K * E
    assert flops == 4 * N * N * E * H
    assert weights // 2**20 == {32: 1024, 64: 2048, 28: 896}[H]
    print(f"{model:12} {H:5} {K:3} {0:11} {round(flops / 1e9):6} {weights // 2**20:17} {cache // 2**20:13}")
assert 4 * N * N * E * 32 == 274_877_906_944
assert round(274_877_906_944 / 1e9) == 275

# %% [markdown]
# ## Interview questions
#
# <!-- questions -->

# %%
# checks: self-attention, flops-sdpa
assert F.scaled_dot_product_attention(torch.randn(4, 8), torch.randn(5, 8), torch.randn(5, 3)).shape == (4, 3)
assert (4 * 4096 * 4096 * 128 * 32, 2 * 32 * 4096**2 // 2**20) == (274_877_906_944, 1024)
assert round(274_877_906_944 / 1e9) == 275

# %% [markdown]
# ## Exercises
#
# **1.** Extend `Running` so that one query reads 100 keys in two halves on two machines that exchange nothing but three
# things. Which three, and how many numbers is that?
#
# <details><summary>Solution</summary>
#
# Each half sends its maximum $m$, its sum $\ell$ and its vector $O$: $2 + E_v$ numbers, whatever the number of keys.
# `second.merge(first)` above is the whole program. (Sending $m+\ln\ell$ and the normalised output is the same
# in $1+E_v$ numbers: with $L_i=m_i+\ln\ell_i$ the result is the mean of the two outputs with weights
# $\mathrm{softmax}(L_1,L_2)$. That is how flash decoding and ring attention merge.)
#
# </details>
#
# **2.** Queries and keys have independent components of variance 1, but the first 8 of the 64 components of every key
# are one and the same number. Which scale makes the scores' variance 1?
#
# <details><summary>Solution</summary>
#
# For a key with common part $c$: $\sum_{i\le8}q_ic=c\sum q_i$ has variance $8$ (the components of $q$ are still
# independent), the other 56 have variance 56. Together 64: the root of E is right. Correlation hurts only when it is in
# **both**: if $q$ repeats its components too, the first part is $8qc$, variance 64, and the total 120.
#
# </details>
#
# **3.** Show that a query of norm zero returns the plain mean, and find a second way to get the plain mean.
#
# <details><summary>Solution</summary>
#
# All scores are 0, so all exponentials are 1. Any set of equal scores does it: for example keys that are all alike.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Write the body and run the cell: it is graded as a file would be.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Vaswani et al. 2017 (1706.03762), section 3.2. Dao et al. 2022 (2205.14135), sections 2 and 3.
# Xiao et al. 2023 (2309.17453) on sinks. Next: [the causal mask](causal_mask.ipynb), which says which keys a query
# may see.
