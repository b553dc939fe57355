# %% [markdown]
# # A method for finding bugs
#
# <!-- badge -->
#
# A model of 120 lines has four bugs in it, and you have forty minutes. **After this notebook you can** choose
# a test that costs a minute and names a region, say of each test what it cannot see, tell a broken graph from a broken
# optimizer, and know which lines are left to be read.
#
# Short of time? 4 minutes: [A causal prefix](#A-causal-prefix), [One batch by heart](#One-batch-by-heart),
# [What no test sees](#What-no-test-sees), and then the questions.
#
# Reading time: 13 minutes. The debug round: `python grader.py debug`

# %% tags=["setup"]
# build.py puts the set-up here

# %%
import inspect
import io
import math
import textwrap
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import PIL.Image
import torch
import torch.nn.functional as F
from IPython.display import Image, display

from katas.debug_gpt import gpt, second_gpt

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
# > *This GPT trains, and its text is bad. What is wrong with it?*
#
# To read 120 lines with care takes half of the time, and one reads what one expects. So tests come first: the cheap
# ones before the dear ones, and each is a question to which the right answer is known without a reference.
#
# Here the model is that of the debug round, and so are the bugs. We plant each of them by itself, and ask every test
# about every bug. (It tells you what can be planted. Do a round or two before you read on.)

# %%
right, cached = inspect.getsource(gpt), inspect.getsource(second_gpt)
plants = tomllib.loads(Path(gpt.__file__).with_name("plants.toml").read_text(encoding="utf-8"))
V, CONTEXT, D, H, LAYERS = 29, 12, 24, 4, 2


def program(text, changes=()):
    """The classes of a program in which these texts were exchanged."""
    for old, new in reversed(changes):  # what the first puts in may be what the last takes out
        assert text.count(old) == 1
        text = text.replace(old, new)
    module = {}
    exec(text, module)
    return module


def planted(key=None):
    return program(right, plants[key]["changes"] if key else ())


def model(key=None, layers=LAYERS, **settings):
    """As it is at the start of training, with one bug."""
    torch.manual_seed(0)
    return planted(key)["GPT"](V, CONTEXT, D, H, layers, **settings)


def stir(module):
    """The module with large weights, so that whatever it does differently can be seen."""
    torch.manual_seed(1)
    for each in module.parameters():
        torch.nn.init.normal_(each, std=0.4)
    return module.eval()


torch.manual_seed(2)
tokens = torch.randint(V, (4, CONTEXT))
print(len(plants), "bugs can be planted")

# %% [markdown]
# ## The first loss
#
# A model that knows nothing spreads its guess over $V$ tokens: its loss is $\ln V$. More means that it is sure of
# something wrong. Less means that it has seen the answer, or that the loss is no mean over the vocabulary.
#
# **Predict.** $V$ is 29 and a sequence has 12 tokens. The softmax of the loss goes over the positions instead of the
# vocabulary: what is the first loss?


# %%
def first_loss(key=None):
    return abs(model(key).loss(tokens).item() - math.log(V)) < 0.1


assert first_loss()
print(f"{'ln V':22}{math.log(V):.1f}")
for key in (None, *(key for key in plants if not first_loss(key))):
    print(f"{key or 'right':22}{model(key).loss(tokens).item():.1f}")

# %% [markdown]
# **Explain.** Eleven labels a sequence: $\ln 11 = 2.4$. The labels that are not shifted give less than $\ln V$ too,
# because with a tied head a token's own logit is the largest. A batch as long as the vocabulary, $L - 1 = V$,
# would hide the first of the two: *sizes in a test are all different*.
#
# Labels that are shifted twice begin at $\ln V$. Only the loss by hand, from the model's own logits, sees them.


# %%
def loss_by_hand(key=None):
    asked = stir(model(key))
    wanted = F.cross_entropy(asked(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    return torch.allclose(asked.loss(tokens), wanted)


def same_twice(key=None):
    """Two calls in evaluation."""
    asked = model(key, dropout=0.5).eval()
    return torch.equal(asked(tokens), asked(tokens))


assert loss_by_hand()
assert same_twice()
print("the loss by hand sees:   ", *(key for key in plants if not loss_by_hand(key)))
print("two calls in evaluation: ", *(key for key in plants if not same_twice(key)))

# %% [markdown]
# ## A causal prefix
#
# The logits of five tokens have to be the first five of twelve. It is one line, and it needs no idea of where a leak
# may be. The gradient says more: a row of logits has one at exactly those inputs that it depends on.
#
# **Predict.** Seven of the bugs change what the attention computes. Which of them leaves the logits of a prefix as they
# are?


# %%
def prefix(key=None):
    asked = stir(model(key))
    return torch.allclose(asked(tokens[:, :5]), asked(tokens)[:, :5])


def reads(key=None, length=7):
    """How much each output of the attention depends on each input."""
    layer = stir(planted(key)["Attention"](D, H))
    x = torch.randn(1, length, D, requires_grad=True)
    rows = [torch.autograd.grad(layer(x)[0, i].sum(), x)[0][0].norm(dim=-1) for i in range(length)]
    return torch.stack(rows)


assert prefix()
shown = [None, "mask-one-late", "heads-viewed", "softmax-over-queries"]
maps = {key or "right": reads(key) for key in shown}
assert torch.equal(maps["right"] > 0, torch.ones(7, 7, dtype=torch.bool).tril())
for name, rows in maps.items():
    print(f"{name:22}output 3 reads {(rows[3] > 0).nonzero().flatten().tolist()}")
print("a prefix changes with:", *(key for key in plants if not prefix(key)))

# %%
fig, axes = plt.subplots(1, 4, figsize=(10, 2.9), constrained_layout=True)
for ax, (name, rows) in zip(axes, maps.items(), strict=True):
    ax.imshow(rows / rows.max(), cmap="Purples", vmin=0)
    for i, j in (rows == 0).nonzero().tolist():
        ax.text(j, i, "0", ha="center", va="center", fontsize=7, color="#888888")
    ax.set(title=name, xlabel="input [position]", xticks=range(7), yticks=range(7))
axes[0].set_ylabel("output [position]")
show(
    fig,
    "Which inputs an output of the attention depends on, by the size of its gradient; 0 where it does not at all. "
    "Right: a lower triangle. With a mask that is one too late there is one diagonal more, and with heads that are "
    "split by a view or a softmax over the queries, outputs depend on later inputs.",
)

# %% [markdown]
# **Explain.** The scale: it changes by how much an input is read, and not which ones are. For that, take the layer's
# own weights and PyTorch's function. A part for which there is a reference is compared with it.


# %%
def against_pytorch(key=None):
    layer, x = stir(planted(key)["Attention"](D, H)), torch.randn(2, 7, D)
    query, key_, value = layer.qkv(x).view(2, 7, 3, H, D // H).permute(2, 0, 3, 1, 4)
    heads = F.scaled_dot_product_attention(query, key_, value, is_causal=True)
    return torch.allclose(layer(x), layer.proj(heads.transpose(1, 2).flatten(2)))


def order(key=None):
    """In one layer, the last token's logits depend on the order of those before it."""
    asked = stir(model(key, layers=1))
    swapped = tokens[:, [1, 0, *range(2, CONTEXT)]]
    return not torch.allclose(asked(tokens)[:, -1], asked(swapped)[:, -1])


assert against_pytorch()
assert order()
unseen = [key for key in plants if not against_pytorch(key) and prefix(key)]
print("only PyTorch's function sees:", *unseen)
print("the order of tokens is lost: ", *(key for key in plants if not order(key)))

# %% [markdown]
# ## What learns
#
# After one step, two columns for each group of parameters: has it a gradient that is not zero, and did it move?
#
# **Predict.** The attention weights are detached; or the optimizer was made before the blocks. Which column of which
# group says so?


# %%
def learning(key=None):
    """Group -> whether it has a gradient, and whether a step moves it."""
    asked = model(key, lr=0.01)
    block = asked.blocks[0]
    groups = {
        "embeddings": (asked.tokens.weight, slice(None)),
        "queries, keys": (block.attention.qkv.weight, slice(2 * D)),
        "values": (block.attention.qkv.weight, slice(2 * D, None)),
        "MLP": (block.mlp.up.weight, slice(None)),
    }
    before = {name: weight[rows].detach().clone() for name, (weight, rows) in groups.items()}
    asked.train_step(tokens)
    return {
        name: (bool(weight.grad[rows].any()), not torch.equal(weight[rows], before[name]))
        for name, (weight, rows) in groups.items()
    }


def gradients(key=None):
    return all(has for has, _ in learning(key).values())


def moves(key=None):
    return all(moved for _, moved in learning(key).values())


def gradient_twice(key=None):
    """With a learning rate of 0, a second step on the same batch has the gradient of the first."""
    asked, norms = model(key, lr=0.0), []
    for _ in range(2):
        asked.train_step(tokens)
        norms.append(asked.tokens.weight.grad.norm().item())
    return math.isclose(*norms)


assert gradients()
assert moves()
assert gradient_twice()
words = {(True, True): "learns", (False, True): "no gradient", (True, False): "does not move"}
for key in (None, "weights-detached", "optimizer-early"):
    print(f"{key or 'right':18}", "  ".join(f"{name}: {words[found]}" for name, found in learning(key).items()))
print("the gradient of a second step differs:", *(key for key in plants if not gradient_twice(key)))

# %% [markdown]
# **Explain.** Without a gradient it is the graph: something is detached, made anew, or not used. Such queries and keys
# move all the same, by weight decay, so that the second column alone says nothing. With a gradient and without a move
# it is the optimizer.
#
# A count of the parameters by hand belongs here: $VD + LD + N(12D^2 + 13D) + 2D$ for $N$ blocks, a context of $L$ and a
# tied head.


# %%
def count(key=None):
    wanted = V * D + CONTEXT * D + LAYERS * (12 * D**2 + 13 * D) + 2 * D
    return sum(each.numel() for each in model(key).parameters()) == wanted


assert count()
print("the count differs:", *(key for key in plants if not count(key)))

# %% [markdown]
# ## One batch by heart
#
# Four sequences, again and again. A model that cannot learn them cannot learn.
#
# **Predict.** Which of these comes down first: the right model, or the one whose mask is one too late? And which one
# never does?


# %%
def by_heart(key=None, steps=60):
    asked = model(key, lr=0.01)
    return [asked.train_step(tokens) for _ in range(steps)]


curves = {key or "right": by_heart(key) for key in (None, "mask-one-late", "optimizer-early", "gradients-kept")}
for name, losses in curves.items():
    below = next((step for step, loss in enumerate(losses) if loss < 1), None)
    print(f"{name:18}", f"below 1 after {below} steps" if below else "never below 1")

# %%
fig, ax = plt.subplots(constrained_layout=True)
for (name, losses), style in zip(curves.items(), ("-", "--", ":", "-."), strict=True):
    ax.semilogy(losses, style, label=name)
ax.axhline(math.log(V), color="black", linewidth=0.8)
ax.text(63.5, math.log(V), "ln V", va="center")
ax.set(xlabel="steps on one batch", ylabel="loss [nats]")
ax.legend(fontsize=8)
show(
    fig,
    "Loss on one batch of four sequences, 60 steps. The right model and the one whose mask is one too late learn it "
    "by heart alike, down to 0.01. Without the blocks in the optimizer it takes much longer, and where gradients are "
    "never set to zero the loss falls at first and then rises above where it began.",
)

# %% [markdown]
# **Explain.** A leak is no hindrance: what is to be predicted can be read, though a batch is as soon learnt without it.
# The test is one of the training step and of little else. That it passes is no reason to believe that the model is
# right.

# %% [markdown]
# ## What no test sees
#
# **Predict.** Of all the bugs that can be planted, how many does none of these tests see?

# %%
tests = {
    "first loss": first_loss,
    "loss by hand": loss_by_hand,
    "same twice": same_twice,
    "prefix": prefix,
    "PyTorch": against_pytorch,
    "order": order,
    "gradients": gradients,
    "moves": moves,
    "gradient twice": gradient_twice,
    "count": count,
    "one batch": lambda key=None: by_heart(key)[-1] < 0.1,
}
seen = torch.tensor([[not test(key) for test in tests.values()] for key in plants])
assert all(test() for test in tests.values())
left = [key for key, row in zip(plants, seen, strict=True) if not row.any()]
for name, column in zip(tests, seen.T, strict=True):
    alone = column & (seen.sum(1) == 1)
    print(f"{name:16}sees {int(column.sum())}, and {int(alone.sum())} that no other test sees")
print("left:", *left)

# %%
fig, ax = plt.subplots(figsize=(7, 5.2), constrained_layout=True)
ax.imshow(seen, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
ax.set_xticks(range(len(tests)), tests, rotation=40, ha="right", fontsize=8)
ax.set_yticks(range(len(plants)), plants, fontsize=8)
for tick, row in zip(ax.get_yticklabels(), seen, strict=True):
    tick.set_color("black" if row.any() else OKABE_ITO[3])
ax.set(xlabel="test", ylabel="bug that is planted")
show(
    fig,
    "Which test sees which bug. Six bugs of the attention are seen by the prefix, and one more by PyTorch's function; "
    "loss, graph, optimizer and ties have tests of their own. Four rows, in red, have no mark: only reading finds "
    "these.",
)

# %% [markdown]
# **Explain.** What is left are functions that can be learned as well as the right one: where a norm stands, where the
# residual goes, where the GELU is. They cost quality and no test of a property notices. They stand in four lines, those
# of the block and the last ones of `forward`; that is what you read, against the description, with the shapes
# said aloud. The tests have told you that you need not read the others.
#
# Mend one thing at a time and run all of it again: one bug can hide another.

# %% [markdown]
# ## Cached equals uncached
#
# The second part of the round adds a cache, and one test is enough: any split of the tokens gives the logits of a
# single pass. The reference is the model itself.
#
# **Predict.** Three slips, and tokens that come one by one. Which of the three is not seen?

# %%
slips = {
    "right": [],
    "positions from 0": [["torch.arange(earlier, earlier + tokens.size(1)", "torch.arange(0, tokens.size(1)"]],
    "triangle at the left": [[".tril(diagonal=earlier)", ".tril()"]],
    "no triangle over a cache": [[".tril(diagonal=earlier)", ".tril(0 if past is None else key.size(-2))"]],
}
splits = {"one by one": 1, "5 and 7": [5, 7], "1, 10, 1": [1, 10, 1]}


def agrees(changes, sizes):
    """Whether pieces of these sizes give the logits of a single pass."""
    asked, cache, pieces = stir(program(cached, changes)["GPT"](V, CONTEXT, D, H, LAYERS)), None, []
    for piece in tokens.split(sizes, dim=1):
        logits, cache = asked(piece, cache)
        pieces.append(logits)
    return torch.allclose(torch.cat(pieces, dim=1), asked(tokens)[0])


for name, changes in slips.items():
    found = {split: agrees(changes, sizes) for split, sizes in splits.items()}
    assert any(found.values()) == (name in ("right", "no triangle over a cache"))
    print(f"{name:26}", "  ".join(f"{split}: {'same' if same else 'differs'}" for split, same in found.items()))

# %% [markdown]
# **Explain.** A single new token may read everything, so a mask that is missing does no harm. Pieces of several tokens
# find it; more on that triangle in [the cache's notebook](gqa_kv_cache.ipynb).

# %% [markdown]
# ## Interview questions
#
# <!-- questions -->

# %% [markdown]
# ## Exercises
#
# **1.** The first loss is right to three digits. Which bugs in front of the head can there still be, and why?
#
# <details><summary>Solution</summary>
#
# Any. The embeddings begin small and the last norm gives the stream its size, so the logits are near zero whatever the
# blocks do, and the guess is even.
#
# </details>
#
# **2.** Write a test that sees where the first norm stands, without a reference.
#
# <details><summary>Solution</summary>
#
# Set the projections of the attention and of the MLP back to zero. Then a block with its norms before adds nothing, and
# the stream comes out as it went in; with a norm after the sum it does not. The same test sees a missing residual
# connection.
#
# </details>

# %% [markdown]
# **Further reading.** Karpathy 2019, *A recipe for training neural networks*, has overfitting one batch and the loss at
# the start. Radford et al. 2019 describe the model. Xiong et al. 2020 (2002.04745) say what the place of the norm does
# to training. Why the scale is that of a head: [scaled dot-product attention](sdpa.ipynb).
