# %% [markdown]
# # The backward pass of attention
#
# <!-- badge -->
#
# Autograd does this for you, until it does not: kernels, recomputation and half precision all need somebody who knows
# what it does. **After this notebook you can** write the gradients of attention from memory, say where the row sum
# comes from and why FlashAttention reads it off the output, and name the tests that wrong gradients pass.
#
# Short of time? 5 minutes: [The Jacobian of softmax](#The-Jacobian-of-softmax), [Where the row sum comes
# from](#Where-the-row-sum-comes-from), and then the questions.
#
# Reading time: 16 minutes. Kata: `python grader.py check attention_backward`

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
# > *Here is the gradient of attention's output. Give me those of query, key and value. No autograd.*
#
# Four lines are matrix products, and a shape check finds them. The fifth is the one that is asked about.

# %% [markdown]
# ## Products
#
# The forward pass is a chain, $S = QK^\top/\sqrt{E}$, $P = \mathrm{softmax}(S)$, $O = PV$. Write $dX$ for the
# gradient of the loss with respect to $X$; it has the shape of $X$. For a product $Y = AB$,
#
# $$dA = dY\,B^\top,\qquad dB = A^\top dY,$$
#
# for an element of $A$ meets one row of $B$ in each element of its row of $Y$. So from $dO$
#
# $$dV = P^\top dO,\qquad dP = dO\,V^\top .$$
#
# **Predict.** A token whose key gets weight 0.9 from one query, and next to none from the others: whose $dO$ is its
# $dV$ made of?

# %%
Q, K, V = torch.randn(5, 4), torch.randn(7, 4), torch.randn(7, 6)
dO = torch.randn(5, 6)
scale = 1 / math.sqrt(4)
P = (Q @ K.T * scale).softmax(-1)
dV, dP = P.T @ dO, dO @ V.T
print("dV", tuple(dV.shape), "  dP", tuple(dP.shape))
one = sum(P[i, 2] * dO[i] for i in range(5))
assert distance(dV[2], one) < 1e-12

# %% [markdown]
# Of that query's, nine tenths of it. What goes wrong:
#
# | written | name |
# |---|---|
# | `P @ dO` | `weights-for-their-transpose` |
# | `dS @ Q` | `score-gradients-for-their-transpose` |
# | `dS.T @ K` | `query-gradient-transposed` |
# | `dO @ V` | `value-for-its-transpose` |
# | `dS.T @ dO` for `dV` | `value-gradient-of-scores` |
# | `dS @ Q` for `dQ`, `dS.T @ K` for `dK` | `query-key-factors-exchanged` |
# | `dO` never used | `ones-for-grad-output` |
#
# An error tells the first ones, unless sizes coincide. With $L = S$ they run.

# %%
square = [torch.randn(4, 4) for _ in range(4)]
weights = (square[0] @ square[1].T / 2).softmax(-1)
right, wrong = weights.T @ square[3], weights @ square[3]
print(f"all sizes 4: off by {distance(right, wrong):.2f}, the largest number is {right.abs().max():.2f}")

# %% [markdown]
# ## The Jacobian of softmax
#
# A weight is an exponential over a sum, $p_i = e^{s_i}/\sum_k e^{s_k}$. A score is in the numerator of its own weight
# and in the denominator of all:
#
# $$\frac{\partial p_i}{\partial s_j} = p_i(\delta_{ij} - p_j),\qquad J = \mathrm{diag}(p) - pp^\top .$$
#
# The first term alone is what people remember as $p(1-p)$ (`diagonal-alone`). **Predict.** Which sign have
# the others?

# %%
p = torch.tensor([0.1, 0.2, 0.3, 0.4])
J = torch.diag(p) - torch.outer(p, p)
wanted = torch.autograd.functional.jacobian(lambda s: s.softmax(-1), p.log())
assert distance(J, wanted) < 1e-12
assert J.sum(0).abs().max() < 1e-12

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3), constrained_layout=True)
for ax, matrix, title in zip(axes, (torch.diag(p * (1 - p)), J), ("the diagonal alone", "the Jacobian"), strict=True):
    ax.imshow(matrix, cmap="RdBu", vmin=-0.25, vmax=0.25)
    ax.set(title=title, xlabel="score j", ylabel="weight i", xticks=range(4), yticks=range(4))
    for i in range(4):
        for j in range(4):
            ax.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center")
show(
    fig,
    "How four weights (0.1, 0.2, 0.3, 0.4) answer to their four scores. Left, as if each stood alone. Right, as it is: "
    "each column adds up to zero, because what one weight gains the others lose.",
)

# %% [markdown]
# Nobody builds the $S \times S$ matrix for each row. What is needed is $J$ times the gradient, next. Other ways to miss
# it: `softmax-passed-over` ($dS = dP$), `weight-no-factor` ($dS = dP - \dots$, without $P$), `weight-squared`, and
# `scores-for-weights`, where $S$ stands for $P$.

# %% [markdown]
# ## Where the row sum comes from
#
# With $g$ a row of $dP$,
#
# $$dS = Jg = p \odot g - p\,(p^\top g) = p \odot \Big(g - \sum_k p_k g_k\Big).$$
#
# The sum is the mean of the row's gradients by its weights. A score is worth raising if its value beats that mean.
#
# **Predict.** All values of a sequence are the same. What is $dS$?

# %%
row_sum = (P * dP).sum(-1, keepdim=True)
dS = P * (dP - row_sum)
assert dS.sum(-1).abs().max() < 1e-12
equal = dO @ V[:1].expand(7, 6).T
assert (P * (equal - (P * equal).sum(-1, keepdim=True))).abs().max() < 1e-12
print("each row of dS adds up to zero; with equal values it is zero")

# %% [markdown]
# Nothing matters then, and everything cancels. Without the row sum (`row-sum-missing`) it would not.
#
# Now pull $dO$ out of the sum: $\sum_k p_k\,(dO \cdot v_k) = dO \cdot \sum_k p_k v_k = dO \cdot O$. The row sum is
# one dot product of width $E_v$, from two tensors that are there. That is $D$ in FlashAttention, and the reason why
# its kernel can begin with any block of keys.

# %%
O = P @ V  # noqa: E741
assert distance((dO * O).sum(-1, keepdim=True), row_sum) < 1e-12

leaves = [each.clone().requires_grad_() for each in (Q, K, V)]
((leaves[0] @ leaves[1].T * scale).softmax(-1) @ leaves[2] * dO).sum().backward()
variants = {
    "right": (P * dP).sum(-1, keepdim=True),
    "row-sum-missing": torch.zeros(5, 1),
    "row-sum-over-queries": (P * dP).sum(-2, keepdim=True),
    "row-sum-over-all": (P * dP).sum(),
    "row-sum-unweighted": dP.sum(-1, keepdim=True),
    "row-mean-unweighted": dP.mean(-1, keepdim=True),
    "row-mean-for-sum": (P * dP).mean(-1, keepdim=True),
    "row-sum-of-grad-output": dO.sum(-1, keepdim=True),
    "row-sum-added": -(P * dP).sum(-1, keepdim=True),
}
size = leaves[0].grad.abs().max()
off = {name: distance(P * (dP - each) @ K * scale, leaves[0].grad) / size for name, each in variants.items()}
off["row-sum-subtracted-first"] = distance(P * (row_sum - dP) @ K * scale, leaves[0].grad) / size
off["row-sum-outside-the-weight"] = distance((P * dP - row_sum) @ K * scale, leaves[0].grad) / size
assert off["right"] < 1e-12
assert min(share for name, share in off.items() if name != "right") > 0.05

# %%
fig, ax = plt.subplots(figsize=(8, 3.2), constrained_layout=True)
ax.barh(list(off)[::-1], [float(share) for share in off.values()][::-1], color=BLUE)
ax.set_xlabel("error of the gradient of query, in its largest number")
show(
    fig,
    "What each row sum that people write makes of the gradient of query, measured against autograd on one random "
    "input of 5 queries and 7 keys. Only the right one is at zero.",
)

# %% [markdown]
# ## The scale once
#
# $S = QK^\top/\sqrt{E}$ is a product of three factors, so
#
# $$dQ = \tfrac{1}{\sqrt{E}}\,dS\,K,\qquad dK = \tfrac{1}{\sqrt{E}}\,dS^\top Q .$$
#
# Scale $Q$ before the product, and $dK = dS^\top Q_{\text{scaled}}$ has the factor already.
#
# **Predict.** With heads of 64 the factor is forgotten. How many times too large is $dQ$?


# %%
def backward(dO, Q, K, V):
    """The whole of it, without a mask."""
    scale = 1 / math.sqrt(Q.size(-1))
    P = (Q @ K.T * scale).softmax(-1)
    dP = dO @ V.T
    dS = P * (dP - (dO * (P @ V)).sum(-1, keepdim=True)) * scale
    return dS @ K, dS.T @ Q, P.T @ dO


for got, leaf in zip(backward(dO, Q, K, V), leaves, strict=True):
    assert distance(got, leaf.grad) < 1e-12
factor = {E: math.sqrt(E) for E in (4, 16, 64)}
print("forgotten, the gradients are too large by", factor)

# %% [markdown]
# `scale-forgotten-behind` and `scale-twice-behind` are wrong in both; `scale-of-query-forgotten`,
# `scale-of-key-forgotten`, `scale-of-query-twice` and `scale-of-key-twice` come from one scaled and one unscaled
# tensor. `scale-of-value-too`: value takes no part in the scores. `scale-by-value-dim`: the root is that of $E_v$.

# %% [markdown]
# ## Masks and empty rows
#
# A hidden weight is zero, and $P$ is a factor of $dS$ and of $dV$. So the backward pass needs no mask, as long as the
# weights are those of the masked forward pass.
#
# **Predict.** Somebody leaves the mask out in front, and sets $dS$ to zero where hidden (`mask-behind-alone`). Which of
# the three gradients is right?

# %%
X = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
seen, up = torch.ones(4, 4).tril().bool(), torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
true = (X @ X.T / 2).masked_fill(~seen, -math.inf).softmax(-1)
unmasked = (X @ X.T / 2).softmax(-1)


def to_query(weights):
    """The gradient of query, with the gradients of hidden scores set to zero."""
    slopes = up @ X.T
    return (weights * (slopes - (weights * slopes).sum(-1, keepdim=True))).masked_fill(~seen, 0.0) @ X / 2


error = distance(to_query(unmasked), to_query(true)) / to_query(true).abs().max()
print(f"the gradient of query is off by {error:.0%} of its largest number")
assert error > 0.1

# %% [markdown]
# None: the softmax divided by keys that are not seen. Two sets of weights in the code are a trap, too
# (`value-unmasked`).
#
# A query that sees nothing has weights of zero, and so all of its gradients are. A softmax of the lowest number makes
# them uniform: then its $dO$ is shared among all values (`empty-rows-to-value`). And autograd itself stumbles where
# the mask is added and not filled in, as the NaN goes back through the sum:

# %%
scores = torch.zeros(1, 3).requires_grad_()
weights = scores.masked_fill(torch.ones(1, 3).bool(), -math.inf).softmax(-1)
torch.where(weights.isnan(), 0.0, weights).sum().backward()
print("gradient of a repaired empty row:", scores.grad.tolist())
assert scores.grad.tolist() == [[0, 0, 0]]
scores = torch.zeros(1, 3, requires_grad=True)
(scores + torch.full((1, 3), -math.inf)).softmax(-1).nan_to_num(0).sum().backward()
print("the same with an added mask:     ", scores.grad.tolist())
assert scores.grad.isnan().all()

# %% [markdown]
# ## What comes back
#
# In the order of the inputs: `key-and-value-exchanged`, `query-and-key-exchanged` and `value-first` are told by shapes,
# where these differ. In the dtype of the inputs (`gradients-not-cast-back`), and with inputs as they were
# (`grad-output-changed-in-place`).
#
# The difference $dP - \text{row sum}$ is where half precision hurts (`worked-in-half`). float64 has to stay float64
# (`gradients-in-float32`), or no finite difference can check it.

# %%
values = 40 + torch.randn(64, 16)
given = [torch.randn(8, 16) + 2, torch.randn(8, 16), torch.randn(64, 16), values]
halves = [each.bfloat16() for each in given]
true = backward(*(each.double() for each in halves))[1]
rough = {
    "in bfloat16": backward(*halves)[1],
    "in float32": backward(*(each.float() for each in halves))[1].bfloat16(),
}
rough = {name: distance(each.double(), true) / true.abs().max().item() for name, each in rough.items()}
print({name: f"{share:.1%}" for name, share in rough.items()}, "of the largest number of dK")

# %% [markdown]
# ## Which test sees it
#
# A gradient that is wrong trains nearly as well as a right one for some hundred steps, so a falling loss says nothing.
# What says something is the same gradient from another source, for a $dO$ that is random.
#
# **Predict.** Many tests call `output.sum().backward()`, which makes $dO$ a matrix of ones. Take values whose features
# add up to zero, as after a layer norm. Which of the wrong row sums does such a test see?

# %%
ones, normed = torch.ones(5, 6), V - V.mean(-1, keepdim=True)
flat = ones @ normed.T
seen_by = {"ones": flat, "random": dO @ normed.T}
for name, slopes in seen_by.items():
    good = P * (slopes - (P * slopes).sum(-1, keepdim=True))
    bad = P * slopes
    seen_by[name] = distance(good, bad)
    print(f"dO of {name:6}: a missing row sum changes dS by {seen_by[name]:.2f}")
assert seen_by["ones"] < 1e-12 < 0.1 < seen_by["random"]

# %% [markdown]
# None: with such values $dP$ is zero, and every gradient of query and key with it. Sizes are the second trap, as above;
# a mask that leaves no row empty is the third; and a test in float32 alone cannot tell a small slip from rounding.
# Finite differences check the reference, in float64 and one element at a time, and the reference checks the rest.

# %% [markdown]
# ## Memory
#
# Two tensors of $L \times S$ are needed at a time, $P$ and $dS$; a line a temporary makes five.

# %%
tokens, heads = 8192, 32
one = heads * tokens**2 * 2 / 2**30
ways = {"a name for each step": 5 * one, "in place": 2 * one, "blocks of 128 keys": 2 * one * 128 / tokens}
assert list(ways.values()) == [20, 8, 0.125]

# %%
fig, ax = plt.subplots(constrained_layout=True)
ax.barh(list(ways)[::-1], list(ways.values())[::-1], color=[GREEN, ORANGE, VERMILLION])
ax.set_xlabel("GiB for one layer: 32 heads, 8,192 tokens, 16 bits")
show(
    fig,
    "Tensors of L x S elements in one backward pass. A textbook version holds five at a time, 20 GiB; in place two are "
    "enough, 8 GiB; in blocks of keys what is left is an eighth of a GiB.",
)

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %%
# checks: back-row-sum, back-delta, back-shapes, back-saved
p, g = torch.tensor([1 / 4, 3 / 4]), torch.tensor([0.0, 8.0])
assert (p @ g).item() == 6
assert (p * (g - p @ g)).tolist() == [-1.5, 1.5]
assert (p * (g - p @ g)).sum() == 0
P1, V1, dO1 = torch.randn(1, 4096).softmax(-1), torch.randn(4096, 128), torch.randn(1, 128)
assert abs((P1 * (dO1 @ V1.T)).sum() - (dO1 * (P1 @ V1)).sum()) < 1e-12
assert (P.shape, K.shape, V.shape) == ((5, 7), (7, 4), (7, 6))
assert distance(right, wrong) > right.abs().max() / 2
assert 32 * 8192**2 * 2 == 4 * 2**30
assert 32 * 8192 * 4 == 2**20

# %%
# checks: back-mask, back-scale, back-precision
assert error > 1 / 10
assert X.shape == (4, 4)
assert factor[64] == 8
assert values.mean().round() == 40
assert values.std().round() == 1
assert rough["in bfloat16"] > 1 / 10
assert rough["in float32"] < 1 / 100

# %%
# checks: back-check
x = torch.randn(3, 3, requires_grad=True)
x.softmax(-1).backward(torch.ones(3, 3))
assert x.grad.abs().max() < 1e-15
uniform = torch.full((3, 3), 1 / 3)
assert distance(uniform.sum(-1, keepdim=True), uniform.sum(-2, keepdim=True).T) == 0
step = 1e-5
ahead, behind = Q.clone(), Q.clone()
ahead[1, 2] += step
behind[1, 2] -= step
losses = [((each @ K.T * scale).softmax(-1) @ V * dO).sum() for each in (ahead, behind)]
assert abs((losses[0] - losses[1]) / (2 * step) - leaves[0].grad[1, 2]) < 1e-8
assert round(torch.finfo(torch.float64).eps ** (1 / 3), 6) == 6e-6
assert round(torch.finfo(torch.float32).eps ** (1 / 3), 3) == 5e-3

# %% [markdown]
# ## Exercises
#
# **1.** Dropout multiplies the weights by a mask $M/(1-r)$ before they meet the values. Where does it occur on the way
# back, and does $D = dO \cdot O$ still hold?
#
# <details><summary>Solution</summary>
#
# In $dV$, which uses the weights after dropout, and in $dP$, which is multiplied by $M/(1-r)$. The row sum is that of
# $P$ before dropout with this $dP$, which is $dO \cdot O$ again, as $O$ was made with the dropped weights.
#
# </details>
#
# **2.** Several query heads share a key head. What is the gradient of that key?
#
# <details><summary>Solution</summary>
#
# The sum of the gradients that the query heads send it: what was repeated on the way forward is summed on the way back.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Aim at 25 minutes with the page above out of sight; autograd is refused there.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Dao et al. 2022 (FlashAttention, 2205.14135), appendix B. Dao 2023 (FlashAttention-2,
# 2307.08691), section 3. Karpathy's llm.c has the same steps as loops. Next: [the kernel in blocks](flash.ipynb).
