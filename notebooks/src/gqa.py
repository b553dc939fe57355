# %% [markdown]
# # Grouped-query attention
#
# <!-- badge -->
#
# There are H query heads and K key/value heads, with K between 1 and H. **After this notebook you can** say which
# key/value head each query head reads, prove that the layer is multi-head attention with tied weights, state what K
# shrinks and what it leaves alone, and spot the mistakes that a shape test lets through.
#
# Short of time? 14 minutes: [Derivation](#Derivation), [Experiment
# 2](#Experiment-2---the-einsum-that-sums-a-group-away), [Cost](#Cost), and then the questions.
#
# Reading time: 40 minutes. Kata: `python grader.py check gqa`

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
from torch import nn
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
# > *Llama-3-8B has 32 query heads and 8 key/value heads. Write the layer. Then tell me what became smaller
# > compared with 32 and 32, by how much, and what did not.*
#
# The constructor is easy; candidates fail at one line, the map from query head to key/value head. The papers
# call the number of key/value heads G; here it is K, as in the kata, and $r = H/K$ is the number of queries that
# share one.

# %% tags=["drawing"]
# drawing: shared_heads

# %% [markdown]
# ## Three tokens by hand
#
# H = 4, K = 2, and head size 1, so that scores need no scaling and every number is a fraction. Three tokens; the
# last one asks.
#
# | | token 0 | token 1 | token 2 |
# |---|---|---|---|
# | key of kv head 0 | $0$ | $\ln 2$ | $\ln 3$ |
# | value of kv head 0 | 6 | 0 | 0 |
# | key of kv head 1 | $\ln 2$ | $0$ | $0$ |
# | value of kv head 1 | 20 | 0 | 0 |
#
# The four queries of the last token are $1, 0, 1, -1$. Heads 0 and 1 read kv head 0, heads 2 and 3 read kv head 1:
#
# - head 0: weights $(1,2,3)/6$, output $6 \cdot 1/6 = 1$
# - head 1: weights $(1,1,1)/3$, output $6 \cdot 1/3 = 2$
# - head 2: weights $(2,1,1)/4$, output $20 \cdot 2/4 = 10$
# - head 3: weights $(1,2,2)/5$, output $20 \cdot 1/5 = 4$
#
# Heads 0 and 1 share their keys and values, and still attend differently.
#
# **Predict.** Lay the kv heads out as 0 1 0 1 instead. Which of the four outputs stay right?
#
# The toy below computes the table above, one head at a time; `reads[h]` names the kv head that query head h reads, so
# a wrong layer is only a wrong list.


# %%
def attend_by_loop(query, key, value, reads, mask=None):
    """query (H, L, E), key and value (K, S, E): head h reads kv head reads[h], one head after the other."""
    outputs = []
    for h, kv in enumerate(reads):
        scores = query[h] @ key[kv].T / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        outputs.append(torch.softmax(scores, dim=-1) @ value[kv])
    return torch.stack(outputs)


ln2, ln3 = math.log(2), math.log(3)
hand_q = torch.tensor([1.0, 0, 1, -1]).view(4, 1, 1)
hand_k = torch.tensor([[0, ln2, ln3], [ln2, 0, 0]]).view(2, 3, 1)
hand_v = torch.tensor([[6.0, 0, 0], [20, 0, 0]]).view(2, 3, 1)

grouped = attend_by_loop(hand_q, hand_k, hand_v, reads=[0, 0, 1, 1]).flatten()
tiled = attend_by_loop(hand_q, hand_k, hand_v, reads=[0, 1, 0, 1]).flatten()
assert torch.allclose(grouped, torch.tensor([1.0, 2, 10, 4]))
assert torch.allclose(tiled, torch.tensor([1, 20 / 3, 1, 4]))
print("neighbours share   ", [f"{x:.3g}" for x in grouped.tolist()])
print("tiled              ", [f"{x:.3g}" for x in tiled.tolist()])

# %% [markdown]
# The second line is the classic mistake: the kv heads were laid out 0 1 0 1 instead of 0 0 1 1. The first and the
# last head come out right either way: a test that looks at head 0 sees nothing.

# %% [markdown]
# ## Derivation
#
# For $h = 0, \dots, H-1$ and $g(h) = \lfloor h / r \rfloor$,
#
# $$\mathrm{head}_h = \mathrm{softmax}\!\left(\frac{(xW_Q^{h})\,(xW_K^{g(h)})^{\top}}{\sqrt{E}}\right)
# xW_V^{g(h)} .$$
#
# **Claim.** This is multi-head attention whose key and value weights are tied: $\tilde W_K^{h} := W_K^{g(h)}$,
# $\tilde W_V^{h} := W_V^{g(h)}$. *Proof:* put $\tilde W$ in the formula for multi-head attention; it is the
# formula above, letter by letter. Biases tie in the same way.
#
# **Corollary.** If $K$ divides $K'$ and $K'$ divides $H$, tying $K'$ heads in blocks of $K'/K$ gives the function of
# $K$ heads, hence $\text{MQA} = \text{GQA}(1) \subset \text{GQA}(K) \subset \text{GQA}(K') \subset \text{GQA}(H) =
# \text{MHA}$.
#
# Measured against PyTorch: `F.scaled_dot_product_attention(..., enable_gqa=True)` for the map, and an
# `nn.MultiheadAttention` loaded with repeated rows for the claim.

# %%
H, E, L, S = 8, 4, 5, 7
D = H * E
for K in (1, 2, 4, 8):
    q, k, v = torch.randn(H, L, E), torch.randn(K, S, E), torch.randn(K, S, E)
    mask = torch.rand(L, S) < 0.7
    mask[:, 0] = True
    ours = attend_by_loop(q, k, v, [h // (H // K) for h in range(H)], mask)
    theirs = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask, enable_gqa=True)[0]
    assert distance(ours, theirs) < 1e-12
    print(f"K = {K}   loop {[float(f'{n:.2f}') for n in ours[0, 0].tolist()]}", end="")
    print(f"   PyTorch {[float(f'{n:.2f}') for n in theirs[0, 0].tolist()]}")

# %%
x = torch.randn(L, D)
w_q, w_o = torch.randn(D, D) / math.sqrt(D), torch.randn(D, D) / math.sqrt(D)


def heads_of(y, count):
    """(L, count * E) -> (count, L, E)"""
    return torch.stack(y.chunk(count, dim=-1))


def grouped_layer(x, w_k, w_v, K, reads=None):
    """Grouped self-attention of x (L, D) by the loop; weights as in nn.Linear, one row per output feature."""
    reads = reads or [h // (H // K) for h in range(H)]
    heads = attend_by_loop(heads_of(x @ w_q.T, H), heads_of(x @ w_k.T, K), heads_of(x @ w_v.T, K), reads)
    return torch.cat(list(heads), dim=-1) @ w_o.T


def torch_mha(x, w_k, w_v):
    """PyTorch's own multi-head attention with the same w_q and w_o."""
    layer = nn.MultiheadAttention(D, H, bias=False, batch_first=True)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.cat([w_q, w_k, w_v]))
        layer.out_proj.weight.copy_(w_o)
        return layer(x[None], x[None], x[None], need_weights=False)[0][0]


def tie(w, K, times, tile=False):
    """Rows of K heads, each head written `times` times: in place (0 0 1 1) or tiled (0 1 0 1)."""
    heads = list(w.chunk(K))
    order = heads * times if tile else [head for head in heads for _ in range(times)]
    return torch.cat(order)


for K in (1, 2, 4, 8):
    w_k, w_v = torch.randn(K * E, D) / math.sqrt(D), torch.randn(K * E, D) / math.sqrt(D)
    right = grouped_layer(x, w_k, w_v, K)
    assert distance(right, torch_mha(x, tie(w_k, K, H // K), tie(w_v, K, H // K))) < 1e-12  # the claim
    if K < H:  # the corollary: the same function with twice as many heads
        assert distance(right, grouped_layer(x, tie(w_k, K, 2), tie(w_v, K, 2), 2 * K)) < 1e-12
    wrong = torch_mha(x, tie(w_k, K, H // K, tile=True), tie(w_v, K, H // K, tile=True))
    assert (distance(right, wrong) < 1e-12) == (K in (1, H))
    print(f"K = {K}   tied in place: equal   tiled: {'equal' if K in (1, H) else 'differs'}")

# %% [markdown]
# Tiling is invisible at K = 1 and K = H. **Only a test with K strictly between 1 and H can tell the two layouts
# apart**, which is why the kata never tests grouping at the ends alone.
#
# The inclusion is strict. For weights the rank below shows it: at most $K\cdot E$ against $H\cdot E$. For *functions*
# the [copy experiment](mqa.ipynb#What-one-head-can-carry) shows it: a layer that hands a token over whole needs
# $\sum_hW_V^{g(h)}W_O^h$ to be the identity, but the rank of this sum is at most $KE$. Queries and output keep their
# H heads.

# %%
for K in (1, 2, 4, 8):
    w_k = torch.randn(K * E, D)
    assert torch.linalg.matrix_rank(tie(w_k, K, H // K)) == K * E
assert torch.linalg.matrix_rank(torch.randn(H * E, D)) == D  # a layer without ties
print("rank of the stacked key weights for K = 1, 2, 4, 8:", [K * E for K in (1, 2, 4, 8)], "of", D)

# %% [markdown]
# ## A shared head collects its gradients
#
# By the chain rule a tied weight receives the sum over everything tied to it: $\partial \ell / \partial k_g =
# \sum_{h:\,g(h)=g} \partial \ell / \partial \tilde k_h$. A kv head in a group of four gets four gradients added
# up, not averaged. You can see it by keeping a separate copy of the keys per query head.

# %%
K = 2
q, k, v = torch.randn(H, L, E), torch.randn(K, S, E), torch.randn(K, S, E)
reads = [h // (H // K) for h in range(H)]
probe = torch.randn(H, L, E)  # an arbitrary loss: the sum of probe * output

shared = k.clone().requires_grad_()
(attend_by_loop(q, shared, v, reads) * probe).sum().backward()
copies = k[reads].clone().requires_grad_()  # (H, S, E): one key head per query head
(attend_by_loop(q, copies, v[reads], range(H)) * probe).sum().backward()

for g in range(K):
    members = [h for h in range(H) if reads[h] == g]
    assert distance(shared.grad[g], sum(copies.grad[h] for h in members)) < 1e-12
    print(f"kv head {g}: its gradient {[float(f'{n:.2f}') for n in shared.grad[g, 0].tolist()]}", end="")
    print(f"   sum over heads {members} {[float(f'{n:.2f}') for n in copies.grad[members].sum(0)[0].tolist()]}")

# %% [markdown]
# ## Group count and group size
#
# Sources A and D mix the two up ("8 // 4 = 2 groups" for 8 query heads and 4 kv heads). The paper's GQA-G has G
# **groups**, one per kv head; $H/G$ is how many queries sit **in** each. Say "K groups of H/K".

# %%
for source, heads, kv_heads, in_source in (("A", 8, 4, 2), ("D", 8, 2, 4)):
    groups, size = kv_heads, heads // kv_heads
    assert in_source == size != groups
    print(f"source {source}: {heads} query and {kv_heads} kv heads = {groups} groups of {size}")

# %% [markdown]
# ## Experiment 1 - do heads of a group share attention weights
#
# Source D says that the queries in a group share the same attention weights, and that this lowers the complexity.
#
# Measure the total variation (half the summed absolute difference, 0 = the same, 1 = disjoint) between two heads'
# rows, with source D's sizes: 8 query heads, 2 kv heads, 256 tokens of 64 random features.
#
# **Predict.** Do the weights of two heads differ less inside a group than between groups?

# %%
torch.manual_seed(0)
q, k = torch.randn(8, 256, 64), torch.randn(2, 256, 64)
reads = [h // 4 for h in range(8)]
weights = torch.stack([torch.softmax(q[h] @ k[reads[h]].T / 8, dim=-1) for h in range(8)])

variation = torch.stack([(weights - w).abs().sum(-1).mean(-1) / 2 for w in weights])  # (8, 8)
same_group = torch.tensor([[reads[a] == reads[b] for b in range(8)] for a in range(8)])
inside = variation[same_group & ~torch.eye(8, dtype=torch.bool)].mean().item()
between = variation[~same_group].mean().item()
assert abs(inside - 0.52) < 0.01
assert abs(between - 0.52) < 0.01
print(f"mean total variation inside a group {inside:.2f}, between groups {between:.2f}")

# %% [markdown]
# **Explain.** There is no difference at all: 0.52 both times. The heads of a group share $k$, not $q$. They share
# what is looked *at* (keys, values and so the cache), not where each head *looks*. The layer still computes H maps of
# L x S scores: the complexity of the scores is untouched (counted [below](#Cost)).

# %% [markdown]
# ## Experiment 2 - the einsum that sums a group away
#
# Source D, following a popular repository, computes scores with the pattern `b g h n d, b h s d -> b h n s`. In it g
# runs over the queries inside one group, and g is missing on the right.
#
# The split of the heads into (h g) is right: query head i reads kv head i // g, where g is the number of queries in a
# group.
#
# **Predict.** What does einsum do with an axis that is missing in the result? How wide do the scores spread then,
# with r = 4 independent queries?

# %%
by_group = q.view(2, 4, 256, 64)  # (K, r, L, E)
kept = torch.einsum("krle,kse->krls", by_group, k) / 8
summed = torch.einsum("krle,kse->kls", by_group, k) / 8


def row_entropy(scores):
    p = torch.softmax(scores, dim=-1)
    return -(p * p.clamp_min(1e-300).log()).sum(-1).mean().item()


assert distance(summed, by_group.sum(1) @ k.transpose(1, 2) / 8) < 1e-12
assert distance(torch.softmax(kept, dim=-1).flatten(0, 1), weights) < 1e-12
for name, scores, std, entropy in (("kept", kept, 1.0, 5.05), ("summed", summed, 2.0, 3.78)):
    assert abs(scores.std().item() - std) < 0.05
    assert abs(row_entropy(scores) - entropy) < 0.05
    maps = scores.flatten(0, -3).shape[0]
    print(f"group axis {name:6}  {maps} maps   std {scores.std():.2f}   row entropy {row_entropy(scores):.2f}")

# %% [markdown]
# **And in a trained group?** Four query heads that share *one* key and value head learn to answer four questions about
# random tokens on a ring: which token stands at the mirrored place (reversal), which before, which after, which first?
# Head h answers question h, from its own output alone.
#
# **Predict.** Can one key head serve four different maps? And how many of the four questions can be answered from the
# map of the summed scores?

# %%
torch.manual_seed(0)
symbols, length, width, size = 8, 10, 32, 16
place = torch.arange(length)
questions = {"mirrored": length - 1 - place, "before": (place - 1) % length, "after": (place + 1) % length}
asked = torch.stack([*(questions | {"first": torch.zeros_like(place)}).values()])  # (4, length): where the answer is
shapes = {"token": (symbols, width), "place": (length, width), "k": (width, size), "v": (width, size)}
shapes |= {"q": (4, width, size), "out": (4, size, symbols)}
p = {name: torch.randn(shape, dtype=torch.float32) for name, shape in shapes.items()}
p = {name: (t if name in ("token", "place") else t / math.sqrt(t.shape[-2])).requires_grad_() for name, t in p.items()}


def group(tokens):
    """The scores of four query heads over one shared key head: (n, 4, length, length)."""
    x = p["token"][tokens] + p["place"]
    return (x[:, None] @ p["q"]) @ (x @ p["k"])[:, None].mT / math.sqrt(size), x


def answers(tokens, scores, x):
    return scores.softmax(-1) @ (x @ p["v"])[:, None] @ p["out"]


adam = torch.optim.Adam(p.values(), lr=0.02)
for _ in range(150):
    tokens = torch.randint(symbols, (32, length))
    loss = F.cross_entropy(answers(tokens, *group(tokens)).flatten(0, 2), tokens[:, asked].flatten())
    adam.zero_grad()
    loss.backward()
    adam.step()

tokens = torch.randint(symbols, (500, length))
with torch.no_grad():
    trained, x = group(tokens)
    as_one = trained.sum(1, keepdim=True)
    right = {
        "four maps": (answers(tokens, trained, x).argmax(-1) == tokens[:, asked]).float().mean((0, 2)),
        "summed": (answers(tokens, as_one.expand_as(trained), x).argmax(-1) == tokens[:, asked]).float().mean((0, 2)),
    }
for name, share in right.items():
    print(f"{name:10} questions answered right at nine places of ten: {(share > 0.9).sum()} of 4")
assert right["four maps"].min() > 0.99
assert right["summed"].mean() < 0.6  # guessing gives 1/8

# %%
maps = [*trained[0].softmax(-1), as_one[0, 0].softmax(-1)]

# %%
fig, axes = plt.subplots(1, 5, figsize=(11, 2.9), sharey=True, constrained_layout=True)
for i, (ax, one) in enumerate(zip(axes, maps, strict=True)):
    image = ax.imshow(one, vmin=0, vmax=1, cmap="cividis")
    ax.set(title=[*questions, "first", "group summed"][i], xticks=range(0, length, 3), yticks=range(0, length, 3))
    ax.set_xlabel("key position")
axes[0].set_ylabel("query position")
fig.colorbar(image, ax=axes, label="attention weight", shrink=0.8)
show(
    fig,
    "Five attention maps of a trained group, 10 by 10. Over the same keys four query heads look at the mirrored token, "
    "the one before, the one after and the first. The map of the summed scores is a fifth, sharp and scattered.",
)
assert all(distance(maps[4], one) > 0.5 for one in maps[:4])
assert all(one[place, where].min() > 0.9 for one, where in zip(maps, asked, strict=False))

# %% [markdown]
# **Explain.** Einsum sums over the missing axis. By linearity the scores are those of the *summed* queries, $\sum_{h
# \in g} q_h k^\top = \big(\sum_{h\in g} q_h\big) k^\top$. Their variance is r instead of 1, so the rows are sharper,
# and the output has K heads instead of H. Four maps have become a single sharp one that belongs to none of the four
# heads. Nothing raises. (As printed, source D stops earlier, at the undefined name `similarity`. It also asks for
# `masked_fill` "before the mask" where it means before the *softmax*, and it states the shape of values, (1, 2, 256,
# 64), for its scores, which are (1, 2, 256, 256).) In the repository the einsum lived from July 2023 to May 2024,
# because its tests asserted K heads in the output, which is the bug itself. A comparison with `repeat_interleave` and
# `F.scaled_dot_product_attention` ended it. Shapes alone are not a test. (PyTorch has had `enable_gqa` since 2.5;
# "there is no official GQA" is out of date.)

# %% [markdown]
# ## Experiment 3 - converting a multi-head checkpoint
#
# The paper converts a trained model: each new kv head is the **mean** of the r old ones. For the *weights* of one
# group that is the optimum: $f(W) = \sum_h \lVert W^h - W \rVert^2$ has gradient $2\sum_h (W - W^h)$, zero exactly at
# the mean $\bar W = \frac1r \sum_h W^h$. How much is left over? Let heads have norm 1 and pairwise cosine $\rho$.
# Then $\lVert \bar W \rVert^2 = \frac1r + \rho\,(1 - \frac1r)$ and, relative to $\lVert W^h \rVert^2$,
#
# $$\text{mean: } (1-\rho)\big(1-\tfrac1r\big), \qquad \text{first of the group: } 2(1-\rho)\big(1-\tfrac1r\big),
# \qquad \text{random head: } 2 .$$
#
# **Predict.** Independent heads in groups of four: which share of the weights does the mean lose, and how much more
# does keeping the first head lose?

# %%
heads, width, size, tokens = 16, 64, 16, 32


def alike(rho):
    """16 random heads with pairwise cosine rho: a common part and a part of its own."""
    common, own = torch.randn(1, width, size), torch.randn(heads, width, size)
    return (math.sqrt(rho) * common + math.sqrt(1 - rho) * own) / math.sqrt(width)


def converted(w, K, how):
    groups = w.view(K, heads // K, width, size)
    fresh = torch.randn(K, width, size) / math.sqrt(width)
    kept = {"mean": groups.mean(1), "first": groups[:, 0], "random": fresh}[how]
    return kept[[h // (heads // K) for h in range(heads)]]


def conversion_error(rho, K, how, seeds=8):
    """(squared relative error of the weights, relative error of the heads' outputs), averaged over seeds."""
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        x, w_q = torch.randn(tokens, width), 4 * torch.randn(heads, width, size) / math.sqrt(width)
        w_k, w_v = alike(rho), alike(rho)
        new_k, new_v = converted(w_k, K, how), converted(w_v, K, how)
        old = F.scaled_dot_product_attention(x @ w_q, x @ w_k, x @ w_v)
        new = F.scaled_dot_product_attention(x @ w_q, x @ new_k, x @ new_v)
        found.append([((new_k - w_k).norm() / w_k.norm()) ** 2, (new - old).norm() / old.norm()])
    return torch.tensor(found).mean(0).tolist()


kv_counts = [16, 8, 4, 2, 1]
errors = {
    (rho, how): [conversion_error(rho, K, how) for K in kv_counts]
    for rho in (0.0, 0.9)
    for how in ("mean", "first", "random")
}
for (rho, how), found in errors.items():
    for K, (weight, _) in zip(kv_counts, found, strict=True):
        theory = 2 if how == "random" else (1 if how == "mean" else 2) * (1 - rho) * (1 - K / heads)
        assert abs(weight - theory) < 0.06
    print(f"cosine {rho}  {how:6}  K = 4: weights {found[2][0]:.2f}  outputs {found[2][1]:.2f}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), sharey=True, constrained_layout=True)
for ax, rho in zip(axes, (0.0, 0.9), strict=True):
    for how, marker in (("random", "s"), ("first", "^"), ("mean", "o")):
        ax.plot(kv_counts, [output for _, output in errors[rho, how]], marker=marker, label=how)
    ax.set_xscale("log", base=2)
    ax.set_xticks(kv_counts, [str(K) for K in kv_counts])
    ax.invert_xaxis()
    ax.set_title("independent heads" if rho == 0 else f"heads with cosine {rho}")
    ax.set_xlabel("kv heads left of 16")
axes[0].set_ylabel("relative error of the output")
axes[0].legend(title="new head is the ...", loc="lower right")
show(
    fig,
    "Relative output error after conversion against the kv heads left. Random heads: 1.4 throughout. "
    "Independent heads: mean about 1.0, first about 1.2. Cosine 0.9: both far lower, mean below first.",
)
for rho in (0.0, 0.9):
    for i in range(1, len(kv_counts)):
        mean, first, random = (errors[rho, how][i][1] for how in ("mean", "first", "random"))
        assert mean < first < random
assert abs(conversion_error(0.99, 1, "mean")[1] - 0.20) < 0.02  # heads that are nearly the same

# %% [markdown]
# **Explain.** If the heads are independent, the mean loses $1-1/r=0.75$ of the squared weights, and the first head
# loses twice that. The order (mean best, first head next, random worst) is the one in the paper's Figure 4. The left
# panel is the honest part: an error near 1.0 means that the converted head is no better than an output of zeros. The
# paper trains on for 5% of the pre-training steps, and after that the converted head is better.
#
# ### Align before you average
#
# The optimum above is one of *weights*, and weights are not the function: [keys have no preferred
# basis](mha.ipynb#Heads-as-blocks). $W_Q^hR_h$ and $W_K^hR_h$ with a rotation $R_h$ compute the same scores, so heads
# that *do* exactly the same may *look* unrelated. So rotate the heads onto one another first. The rotation that
# minimises $\lVert W_K^hR-W_K^1\rVert$ is $UV^\top$ from the singular value decomposition $W_K^{h\top}W_K^1=U\Sigma
# V^\top$ (orthogonal Procrustes). $W_Q^h$ gets the same $R$, so the function does not change. Jin et al. 2024
# published this as *Align Attention Heads Before Merging Them* (2412.20677). With rotary positions the rotation of
# queries and keys must commute with RoPE, which leaves one angle for each pair of features; the rotation of values
# and output stays free.
#
# **Predict.** Four heads with identical scores, each in a basis of its own. What does the plain mean of their keys
# lose?


# %%
# checks: convert
def turned_heads(r=4, width=64, size=16):
    """One head r times over, in r random bases: same scores, other weights."""
    w_q, w_k = torch.randn(2, width, size) / math.sqrt(width)
    factors = [torch.linalg.qr(torch.randn(size, size)) for _ in range(r)]
    turns = [q * upper.diagonal().sign() for q, upper in factors]  # without the signs not all rotations are as likely
    return torch.stack([w_q @ turn for turn in turns]), torch.stack([w_k @ turn for turn in turns])


def aligned(w_q, w_k):
    """The heads rotated onto the first one, queries and keys alike."""
    u, _, v = torch.linalg.svd(w_k.mT @ w_k[0])
    return w_q @ u @ v, w_k @ u @ v


def lost_by_the_mean(w):
    return ((w - w.mean(0)).square().sum() / w.square().sum()).item()


lost, x = {"as they are": [], "aligned first": []}, torch.randn(32, 64)
for seed in range(20):
    torch.manual_seed(seed)
    w_q, w_k = turned_heads()
    scores = torch.stack([(x @ q) @ (x @ k).T for q, k in zip(w_q, w_k, strict=True)])
    assert distance(scores, scores[:1].expand(4, 32, 32)) < 1e-10  # four heads, one function
    new_q, new_k = aligned(w_q, w_k)
    assert distance((x @ new_q[3]) @ (x @ new_k[3]).T, scores[0]) < 1e-10  # still the same function
    lost["as they are"].append(lost_by_the_mean(w_k))
    lost["aligned first"].append(lost_by_the_mean(new_k))
for name, found in lost.items():
    print(f"{name:14} the mean loses {sum(found) / 20:.2f} of the squared weights")
assert abs(sum(lost["as they are"]) / 20 - 0.75) < 0.02
assert max(lost["aligned first"]) < 1e-20

# %% [markdown]
# **Explain.** Without alignment the mean loses three quarters, as if the heads were independent; after alignment it
# loses nothing. So raw weights cannot tell whether "converted models work because trained heads are alike". What does
# the model gain for this loss?

# %% [markdown]
# ## Experiment 4 - does sharing survive the repeat
#
# The usual implementation repeats the kv heads up to H and goes on as multi-head attention. Source B's comment
# calls that broadcasting.
#
# **Predict.** Which of the two allocates memory, `expand` or `repeat_interleave`, and what does a `flatten` do to it?

# %%
kv = torch.randn(2, 4, 125, 128, dtype=torch.float32)  # (B, K, S, E)
repeated = kv.repeat_interleave(2, dim=1)
viewed = kv.unsqueeze(2).expand(-1, -1, 2, -1, -1)  # (B, K, 2, S, E)


def bytes_held(t):
    return t.untyped_storage().nbytes()


assert bytes_held(kv) == 512_000
assert bytes_held(repeated) == 1_024_000
assert bytes_held(viewed) == 512_000
assert viewed.stride(2) == 0
assert bytes_held(viewed.flatten(1, 2)) == 1_024_000  # flattening the heads makes the copy after all
for name, tensor in (("kv heads", kv), ("repeat_interleave", repeated), ("expand", viewed)):
    print(f"{name:18} {bytes_held(tensor):>9,} bytes")

# %% [markdown]
# **Explain.** Repeating is correct and fine in an interview, and it rebuilds in memory what the model just saved:
# every number is read, written r times, and those r are read again: up to $1+2r$ times the bytes, 9 for r = 4. A
# kernel (FlashAttention with fewer kv heads) indexes the shared head instead. [Measured
# here](gqa_kv_cache.ipynb#What-copies-cost).

# %% [markdown]
# ## Break it
#
# There are five ways to lose this kata. Three of them change the map. The panel on the left shows which kv head each
# head of the output should read. The other panels show what it reads, in blue where that is right.

# %%
right = [0, 0, 1, 1, 2, 2]
layouts = {
    "right": right,
    "kv-heads-tiled": [0, 1, 2, 0, 1, 2],
    "group-summed-away": [0, 1, 2],
    "kv-heads-repeated-too-often": [0, 0, 0, 1, 1, 1, 2, 2, 2],
}

# %%
fig, axes = plt.subplots(1, 4, figsize=(10, 3.8), sharex=True, sharey=True, constrained_layout=True)
for ax, (name, reads) in zip(axes, layouts.items(), strict=True):
    for row, kv_head in enumerate(reads):
        good = row < 6 and kv_head == right[row] and name != "group-summed-away"
        ax.add_patch(plt.Rectangle((kv_head - 0.45, row - 0.45), 0.9, 0.9, color="#0072B2" if good else "#D55E00"))
        ax.text(kv_head, row, str(kv_head), color="white", ha="center", va="center", weight="bold")
    ax.axhline(5.5, color="black", linewidth=1, linestyle=":")
    ax.set_title(name)
    ax.set_xlabel("kv head")
    ax.set(xlim=(-0.6, 2.6), ylim=(8.6, -0.6), xticks=range(3), yticks=range(9))
    ax.grid(False)
axes[0].set_ylabel("head of the output (should be 0 to 5)")
show(
    fig,
    "Which kv head each output head reads, for 6 query heads and 3 kv heads. Right: 0 0 1 1 2 2. Tiled: "
    "0 1 2 0 1 2, right only in the first and last row. Summed: only three heads. Swapped: nine heads.",
)

# %% [markdown]
# How loud is each one? Sixteen query heads, every K, the largest absolute error. A zero is a mistake
# that a test at that K cannot see.
#
# **Predict.** At which of K = 16, 8, 4, 2, 1 is tiling invisible? And repeating K times instead of H / K times?

# %%
heads, tokens, size = 16, 6, 4
causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()


def with_mistake(name, q, k, v):
    """Heads of the output after one mistake."""
    K, r = len(k), len(q) // len(k)
    grouped = [h // r for h in range(len(q))]
    if name == "kv-heads-tiled":
        return attend_by_loop(q, k, v, [h % K for h in range(len(q))], causal)
    if name == "group-summed-away":
        return attend_by_loop(q.view(K, r, tokens, size).sum(1), k, v, range(K), causal)
    if name == "kv-heads-repeated-too-often":  # each kv head K times instead of r times; a single head broadcasts
        swapped = [g for g in range(K) for _ in range(K)]
        scores = (q @ k[swapped].mT / math.sqrt(size)).masked_fill(~causal, -math.inf)
        return torch.softmax(scores, dim=-1) @ v[swapped]
    if name == "groups-merged-in-wrong-order":  # heads split as (K, r), joined again as (r, K)
        return attend_by_loop(q, k, v, grouped, causal).view(K, r, tokens, size).transpose(0, 1).flatten(0, 1)
    return attend_by_loop(q, k, v, grouped)  # mask-ignored


names = ["kv-heads-tiled", "groups-merged-in-wrong-order", "kv-heads-repeated-too-often"]
names += ["group-summed-away", "mask-ignored"]
symptoms = {name: [] for name in names}
for K in kv_counts:
    q, k, v = torch.randn(heads, tokens, size), torch.randn(K, tokens, size), torch.randn(K, tokens, size)
    wanted = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=causal, enable_gqa=True)[0]
    for name in names:
        try:
            got = with_mistake(name, q, k, v)
            symptoms[name].append(distance(got, wanted) if len(got) == heads else f"{len(got)} left")
        except RuntimeError:
            symptoms[name].append("raises")

unseen = {
    name: [K for K, s in zip(kv_counts, symptoms[name], strict=True) if isinstance(s, float) and s < 1e-12]
    for name in names
}
assert list(unseen.values()) == [[16, 1], [16, 1], [4, 1], [16], []]

# %%
fig, ax = plt.subplots(figsize=(8, 2.9), constrained_layout=True)
for row, name in enumerate(names):
    for column, symptom in enumerate(symptoms[name]):
        number = isinstance(symptom, float)
        hidden = number and symptom < 1e-12
        color = OKABE_ITO[3] if hidden else OKABE_ITO[0] if number else "#999999"
        ax.add_patch(plt.Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=color))
        text = "0 (unseen)" if hidden else f"{symptom:.1f}" if number else symptom
        ax.text(column, row, text, ha="center", va="center", color="white", weight="bold")
ax.set(xlim=(-0.5, 4.5), ylim=(4.5, -0.5), xlabel="kv heads K, for 16 query heads")
ax.set_xticks(range(5), [str(K) for K in kv_counts])
ax.set_yticks(range(5), names)
ax.set_title("largest error of the output; grey: an exception, or the number of heads left of 16")
show(
    fig,
    "Largest error of five mistakes for 16, 8, 4, 2 and 1 kv heads. Tiled heads and groups merged in the "
    "wrong order are unseen at 16 and 1, heads repeated too often at 4 and 1, a summed group at 16, an "
    "ignored mask nowhere.",
)

# %% [markdown]
# ### Groups
#
# Beside these the grader knows `first-kv-head-for-all`, `kv-heads-averaged`, `kv-heads-not-repeated`,
# `groups-unchecked`, and three ways to one map for a group: `group-queries-summed`, `group-queries-averaged`,
# `first-query-of-group-for-all`.
#
# #### kv-heads-tiled
#
# `repeat` instead of `repeat_interleave` (or `h % K` instead of `h // r`). Same shape, plausible
# numbers, wrong for all heads where the two maps differ; invisible at both ends of K.
#
# #### groups-merged-in-wrong-order
#
# Heads are split as (K, r) and put back as (r, K). Every head is computed
# correctly and handed to the wrong block of `o_proj`. Again invisible at both ends.
#
# #### kv-heads-repeated-too-often
#
# Each kv head is repeated K times instead of H / K times (the mix-up of groups and sizes, as code). This raises,
# except where $K^2 = H$, and at K = 1, where broadcasting forgives it. With H = 4 and K = 2, a favourite in examples,
# nobody notices.
#
# #### group-summed-away
#
# The einsum of Experiment 2 does this. Nothing raises, but K heads come out instead of H, and a test written from the
# code asserts this wrong shape.
#
# ### mask-ignored
#
# Source B's forward takes `attention_mask` and never reads it (a remark says so; the signature
# does not). Every K shows it, as soon as one test has a mask.

# %% [markdown]
# ## Edge cases
#
# One key makes the softmax 1, so each head must return the value of its kv head, whatever the scores. Let kv head
# n hold the constant n, and the layer prints its own map: the shortest useful test.

# %%
q, k = torch.randn(6, 1, 4), torch.randn(3, 1, 4)
v = torch.arange(3.0).view(3, 1, 1).expand(3, 1, 4)
read_out = F.scaled_dot_product_attention(q[None], k[None], v[None], enable_gqa=True)[0, :, 0, 0]
assert read_out.tolist() == [0, 0, 1, 1, 2, 2]
print("query heads 0..5 read kv head", [int(n) for n in read_out])

# %%
# K must divide H: 6 query heads cannot share 4 (a layer should say so when it is built, not when it is called)
try:
    F.scaled_dot_product_attention(torch.randn(1, 6, 3, 4), *torch.randn(2, 1, 4, 3, 4), enable_gqa=True)
    refused = False
except RuntimeError:
    refused = True
assert refused

# A query that may attend to nothing: zero from every head, not NaN; after the projection its row is o_proj.bias.
q, k, v = torch.randn(1, 6, 3, 4), torch.randn(1, 3, 5, 4), torch.randn(1, 3, 5, 4)
mask = torch.ones(3, 5, dtype=torch.bool)
mask[1] = False
heads_out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)  # (1, 6, 3, 4)
project = nn.Linear(24, 24)
assert (heads_out[:, :, 1] == 0).all()
assert distance(project(heads_out.transpose(1, 2).flatten(2))[0, 1], project.bias) == 0
print("K that does not divide H is refused, a query without keys gives the bias:", refused)

# %% [markdown]
# ## Equivalences
#
# K = H is [multi-head attention](mha.ipynb) (shown above with `nn.MultiheadAttention`), K = 1 is [multi-query
# attention](mqa.ipynb): the one head broadcasts. And the loop, PyTorch's flag and repeated heads are one function.

# %%
for K in (1, 2, 4, 8):
    q, k, v = torch.randn(8, 5, 4), torch.randn(K, 7, 4), torch.randn(K, 7, 4)
    loop = attend_by_loop(q, k, v, [h // (8 // K) for h in range(8)])
    flag = F.scaled_dot_product_attention(q[None], k[None], v[None], enable_gqa=True)[0]
    repeated = F.scaled_dot_product_attention(q, *(t.repeat_interleave(8 // K, dim=0) for t in (k, v)))
    assert distance(loop, flag) < 1e-12
    assert distance(loop, repeated) < 1e-12
    if K == 1:
        assert distance(loop, F.scaled_dot_product_attention(q, k.expand(8, 7, 4), v.expand(8, 7, 4))) < 1e-12
    print(f"K = {K}   loop, flag, repeated:", *(f"{t.flatten()[0]:.2f}" for t in (loop, flag, repeated)))

# %% [markdown]
# ## Cost
#
# ### Parameters
#
# `q_proj` and `o_proj` are $D \times D$, `k_proj` and `v_proj` are $D \times KE$:
# $2D^2 + 2DKE = D^2(2 + 2K/H)$, plus $2D + 2KE$ with biases. K can remove at most half of the layer.
# Wrong widths are `kv-projections-full-width`, `v-projection-full-width`, `kv-projections-of-group-size`,
# `kv-projections-of-one-head` and `kv-projections-without-head-dim`.
#
# ### FLOPs and cache
#
# N tokens cost $4ND^2 + 4NDKE + 4N^2D$ FLOPs (a product of $m\times k$ with $k\times n$ is $2mnk$). K is in the middle
# term only. The feed-forward layer, twice as large as multi-head attention, is not in it.
# The cache holds $2KE$ numbers per token and layer. H and D are in it only through $E=D/H$: what counts is
# layers times $KE$.
#
# Count them for real models. Source E lists the 70B shape under multi-head attention, which would make its
# `k_proj` 8192 x 8192 (the checkpoint has 1024 x 8192), and counts $4h^2 + 4h$ for every variant. Source C's
# pattern 32/8 fits Llama-3-8B; Qwen2-7B is 28/4.

# %%
MODELS = {  # layers, D, H, K
    "Llama-2-7B": (32, 4096, 32, 32),
    "Llama-2-70B": (80, 8192, 64, 8),
    "Llama-3-8B": (32, 4096, 32, 8),
    "Qwen2-7B": (28, 3584, 28, 4),
}


def parameters(D, H, K):
    """Weights of one attention layer, counted on layers that allocate nothing."""
    out_features = [D, K * (D // H), K * (D // H), D]
    layers = [nn.Linear(D, out, bias=False, device="meta") for out in out_features]
    return sum(layer.weight.numel() for layer in layers)


def cache_bytes_per_token(layers, D, H, K, element=2):
    return 2 * layers * K * (D // H) * element


print("attention parameters per layer      as built           K = H         K = 1")
for name, (_, D, H, K) in MODELS.items():
    counts = [parameters(D, H, k) for k in (K, H, 1)]
    assert counts == [D * D * (2 * H + 2 * k) // H for k in (K, H, 1)]
    print(f"{name:12} H={H} K={K:2}         {counts[0]:>15,} {counts[1]:>15,} {counts[2]:>13,}")
print("cache per token in 16 bits [KiB]    as built           K = H         K = 1")
for name, (layers, D, H, K) in MODELS.items():
    kib = [cache_bytes_per_token(layers, D, H, k) // 1024 for k in (K, H, 1)]
    print(f"{name:12} H={H} K={K:2}         {kib[0]:>15,} {kib[1]:>15,} {kib[2]:>13,}")

_, D, H, K = MODELS["Llama-2-70B"]
assert (K * (D // H), D) == (1024, 8192)
assert [parameters(D, H, K) for _, D, H, K in MODELS.values()] == [67108864, 150994944, 41943040, 29360128]
assert [cache_bytes_per_token(*m) // 1024 for m in MODELS.values()] == [512, 320, 128, 56]
assert [p + 2 * 512 + 2 * K * 64 for K in (8, 4, 2, 1) for p in [parameters(512, 8, K)]] == [
    1_050_624,
    787_968,
    656_640,
    590_976,
]  # D = 512 with biases: 4h^2 + 4h is only the first


# %%
def layer_flops(N, D, H, K):
    """FLOPs of one layer over N tokens as FlopCounterMode counts them, on tensors without data."""
    E = D // H
    x, scores = torch.empty(N, D, device="meta"), torch.empty(H, N, N, device="meta")
    with FlopCounterMode(display=False) as counter:
        q, k, v = (x @ torch.empty(D, n * E, device="meta") for n in (H, K, K))
        q, k, v = (t.view(N, -1, E).transpose(0, 1) for t in (q, k, v))
        scores = q @ k.repeat_interleave(H // K, dim=0).mT
        heads = scores @ v.repeat_interleave(H // K, dim=0)
        heads.transpose(0, 1).reshape(N, D) @ torch.empty(D, D, device="meta")
    return counter.get_total_flops()


N, D, H = 512, 512, 8
for K in (8, 4, 2, 1):
    counted = layer_flops(N, D, H, K)
    assert counted == 4 * N * D * D + 4 * N * D * K * (D // H) + 4 * N * N * D
    print(f"K = {K}   layer {counted:>13,} FLOPs, of which scores and values {4 * N * N * D:>11,}")
assert layer_flops(N, D, H, 8) == 1_610_612_736
assert layer_flops(N, D, H, 1) == 1_140_850_688

# %%
D, H = 8192, 64
ks = [64, 32, 16, 8, 4, 2, 1]
curves = {
    "FLOPs of scores and values": ([1.0] * len(ks), "s"),
    "parameters of the layer": ([parameters(D, H, K) / parameters(D, H, H) for K in ks], "^"),
    "KV cache": ([K / H for K in ks], "o"),
}

# %%
fig, ax = plt.subplots(figsize=(7, 3.5), constrained_layout=True)
for label, (ratio, marker) in curves.items():
    ax.plot(ks, ratio, marker=marker, label=label)
ax.axvline(8, color="black", linewidth=1, linestyle=":")
ax.text(7.6, 0.018, "Llama-2-70B", ha="left")
ax.set_xscale("log", base=2)
ax.set_yscale("log", base=2)
ax.set_xticks(ks, [str(K) for K in ks])
ax.set_yticks([1, 1 / 2, 1 / 8, 1 / 64], ["1", "1/2", "1/8", "1/64"])
ax.invert_xaxis()
ax.set(xlabel="kv heads K of 64", ylabel="share of the multi-head layer")
ax.legend(loc="lower left")
show(
    fig,
    "Share of the multi-head cost against kv heads K from 64 to 1. The KV cache falls to 1/64, the "
    " parameters level off at one half, the FLOPs of scores and values stay at 1.",
)
assert curves["parameters of the layer"][0][-1] > 0.5
assert curves["KV cache"][0][3] == 1 / 8

# %% [markdown]
# (The models are those of the papers. [The cache notebook](gqa_kv_cache.ipynb#Models-since) has the ones since.)
#
# So a model that goes from K = H to K = H/8 gives up 7/8 of its keys and values, saves less than
# half of the layer's parameters and none of the score FLOPs. If decoding becomes faster, it is because of
# **bytes**; source B says this best of the five.

# %% [markdown]
# ## What the paper measured
#
# Source D claims quality near multi-head "at 3x the speed". Table 1 of the GQA paper (Ainslie et al. 2023,
# 2305.13245): T5.1.1 is an **encoder-decoder**; heads were grouped in the decoder's self- and cross-attention, and
# the encoder stayed multi-head. The time is per sample and TPUv4 chip, and the quality is an average over 7 data
# sets. Both converted models were trained on for 5% of the pre-training steps:

# %%
PAPER = {"MHA-Large": (0.37, 46.0), "MHA-XXL": (1.51, 47.2), "MQA-XXL": (0.24, 46.6), "GQA-8-XXL": (0.28, 47.1)}

# %%
fig, ax = plt.subplots(figsize=(6.5, 3.2), constrained_layout=True)
for i, (name, (seconds, quality)) in enumerate(PAPER.items()):
    ax.scatter(seconds, quality, s=70, marker="s^Do"[i])
    ax.annotate(name, (seconds, quality), xytext=(9, -4), textcoords="offset points")
ax.set(xlabel="time per sample [s]", ylabel="average quality [points]", xlim=(0, 1.8), ylim=(45.8, 47.4))
show(
    fig,
    "Quality against time per sample. MHA-XXL: 1.51 s, 47.2. GQA-8-XXL: 0.28 s, 47.1, nearly the quality of "
    "MHA-XXL at nearly the time of MQA-XXL (0.24 s, 46.6). MHA-Large: 0.37 s, 46.0.",
)

speedup = {name: PAPER["MHA-XXL"][0] / PAPER[name][0] for name in ("GQA-8-XXL", "MQA-XXL")}
loss = {name: PAPER["MHA-XXL"][1] - PAPER[name][1] for name in speedup}
for name in speedup:
    print(f"{name:10} {speedup[name]:.1f} times faster than MHA-XXL, quality -{loss[name]:.1f}")

# %% [markdown]
# The speed-up is not 3 but 5.4 times, for this model on this machine, at a cost of 0.1 points. MHA-Large (0.37 s,
# 46.0) is both slower and worse than either converted model: sharing heads in a big model beat shrinking the model.
#
# ### Sharing along other axes
#
# Heads are one axis of the cache. **Layers**: neighbours read one cache (cross-layer attention, 2405.12981, another
# factor of 2; YOCO, 2405.05254). Gemma 4 E2B (2026) stores keys and values in 15 of its 35 layers. Each other layer
# reads those of the last storing layer of its own kind, with or without a window. **Features**: all heads read one
# latent vector ([MLA](mqa.ipynb#Latent-attention)). **Time**: a layer keeps a window, or it compresses blocks of
# tokens into one entry. DeepSeek-V4 (April 2026) compresses and states a tenth of V3.2's cache at a million tokens.
# None of these reduces the number of attention maps.

# %% [markdown]
# ## Interview questions
#
# <!-- questions -->
#
# Each number above, asserted:

# %%
# checks: which-kv-head, what-shrinks, why-faster
assert (13 // (32 // 8), 13 % 8) == (3, 5)
assert [h for h in range(32) if h // 4 == h % 8] == [0, 10, 21, 31]
assert (parameters(4096, 32, 8), parameters(4096, 32, 32)) == (41_943_040, 67_108_864)
assert 100 * (1 - parameters(4096, 32, 8) / parameters(4096, 32, 32)) == 37.5
kib = [cache_bytes_per_token(32, 4096, 32, K) / 1024 for K in (8, 32)]
assert (kib, 100 * (1 - kib[0] / kib[1])) == ([128, 512], 75)
gib = [4096 * cache_bytes_per_token(80, 8192, 64, K) / 2**30 for K in (8, 64)]
assert gib == [1.25, 10]

# %%
# checks: shared-weights, inclusion, shared-gradient, group-words
assert (8 // 2, 8 // 4) == (4, 2)
assert abs(inside - 0.52) < 0.01
assert abs(between - 0.52) < 0.01
assert torch.linalg.matrix_rank(tie(torch.randn(2 * 4, 32), 2, 4)) == 8
assert len(members) == 8 // 2 == 4

# %%
# checks: convert, paper-gain, why-faster
assert 4_096 * cache_bytes_per_token(80, 8192, 64, 8) == 1.25 * 2**30
assert 5 / 100 == 0.05  # trained on for 5% of the steps, by the paper
weight_errors = [errors[0.0, how][kv_counts.index(4)][0] for how in ("mean", "first", "random")]
assert all(abs(got - want) < 0.02 for got, want in zip(weight_errors, (0.75, 1.5, 2.0), strict=True))
assert {name: round(s, 1) for name, s in speedup.items()} == {"GQA-8-XXL": 5.4, "MQA-XXL": 6.3}
assert {name: round(d, 1) for name, d in loss.items()} == {"GQA-8-XXL": 0.1, "MQA-XXL": 0.6}

# %%
# checks: test-for-tiling, repeat-free
assert 4 // 2 == 2  # groups and their size agree there
constants = torch.arange(3.0).view(3, 1, 1)
one_key = [
    attend_by_loop(torch.randn(6, 1, 1), torch.randn(3, 1, 1), constants, reads).flatten().tolist()
    for reads in ([h % 3 for h in range(6)], [h // 2 for h in range(6)])
]
assert one_key == [[0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 2, 2]]
assert unseen["kv-heads-tiled"] == [16, 1]
assert (bytes_held(kv.repeat_interleave(2, dim=1)), bytes_held(viewed)) == (1_024_000, 512_000)
assert cache_bytes_per_token(80, 8192, 64, 64) // cache_bytes_per_token(80, 8192, 64, 8) == 8

# %%
# checks: repeat-free, other-sharing, group-words
assert 1 + 2 * 4 == 9
assert 4 * 1024 * 1024 * 8 == 32 * 2**20  # glibc: from here on each allocation is a mapping of its own
assert round(93.2 / 4.16) == 22  # docs/performance.md: 4,096 tokens, repeated against folded
assert 61 * (512 + 64) * 2 == 70_272
assert cache_bytes_per_token(32, 4096, 32, 8) == 131_072
assert 70_272 < 131_072
assert 128 * 128 > 512  # MLA's 128 heads are made from a latent of 512
assert 8 // 4 == 2

# %% [markdown]
# ## Exercises
#
# **1.** Without writing a loop: how would you compute grouped scores (B, H, L, S) from q (B, H, L, E) and k (B, K, S,
# E) with one matrix product and no copy of k?
#
# <details><summary>Solution</summary>
#
# Neighbouring query heads read the same key, so they can be rows of one matrix: view q as (B, K, rL, E), multiply by
# $k^\top$, (B, K, E, S), and view the result (B, K, rL, S) as (B, H, L, S). Both views are free, because head
# $h=gr+i$ and row $l$ lie in the order $(g,i,l)$ in memory.
#
# </details>
#
# **2.** Four heads have pairwise cosine $\rho$. Above which $\rho$ does the mean lose less than a tenth of the weights?
#
# <details><summary>Solution</summary>
#
# $(1-\rho)(1-\frac14)<0.1$, so $\rho>1-\frac{0.4}{3}=0.867$. Trained heads are nowhere near that as they are, which is
# the reason to align first and to train on.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Write the body and run the cell: it is graded as a file would be. Avoid the repeat if you can.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Ainslie et al. 2023 (2305.13245). Jin et al. 2024 (2412.20677). Next: [the
# cache](gqa_kv_cache.ipynb), where a smaller K pays, and [one head](mqa.ipynb), its limit.
