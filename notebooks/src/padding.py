# %% [markdown]
# # Padding masks and positions
#
# <!-- badge -->
#
# A batch is a rectangle and its prompts are not. **After this notebook you can** write positions and mask of a padded
# batch, say why generation pads on the left, show which mistakes survive there, and name a test that finds them.
#
# Short of time? 4 minutes: [By hand](#By-hand), [Positions of pads](#Positions-of-pads), [Left and
# right](#Left-and-right), [Queries that see nothing](#Queries-that-see-nothing), and then the questions.
#
# Reading time: 15 minutes. Kata: `python grader.py check padding`

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


def distance(a, b):
    """The largest absolute difference; shapes must agree."""
    assert a.shape == b.shape
    return (a - b).abs().max().item()


# %% [markdown]
# ## The interview question
#
# > *Prompts of 3 and 5 tokens are continued in one batch. Write their positions and their mask. How do you know that
# > the short prompt gets the answer that it would get alone?*
#
# Both parts go wrong without a sound. Shapes fit, the longest prompt is right, and the answers to the others are fluent
# and somewhat worse.

# %% [markdown]
# ## By hand
#
# The attention mask $m$ says of each slot whether its token is real. A real token's position is the number of real
# tokens before it; a key may be seen when it is real **and** not later than the query. Both rules are about one row of
# the batch. The toy below asks them slot by slot.


# %%
def place(row, slot):
    return sum(row[:slot]) if row[slot] else 0


def sees(row, query, key):
    return bool(row[key]) and key <= query


def places(rows):
    return torch.tensor([[place(row, slot) for slot in range(len(row))] for row in rows])


def square(rows):
    """bool (B, 1, S, S): every query of every row."""
    S = len(rows[0])
    return torch.tensor([[[[sees(row, q, k) for k in range(S)] for q in range(S)]] for row in rows])


LEFT, NONE, RIGHT = [0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]
batch = [LEFT, NONE, RIGHT]
assert places(batch).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 0, 0]]
assert square(batch).sum((1, 2, 3)).tolist() == [6, 15, 12]
for row, numbers in zip(batch, places(batch).tolist(), strict=True):
    print("attention mask", *row, "   positions", *numbers)

# %% [markdown]
# ## Reading the attention mask
#
# Tokenizers return integers, other code booleans or floats. Make booleans of it first. Otherwise:
#
# - *attention-mask-inverted*: True is read as a pad. PyTorch's `key_padding_mask` does mean that, and is the usual
#   source.
# - *integers-inverted*: `~` of an integer turns its bits round.
# - *positions-in-mask-dtype*: a running sum of floats gives floats, which are no indices; *positions-not-int64* is any
#   other dtype.
# - *attention-mask-modified*: `masked_fill_` on the caller's tensor, who feeds it to the next layer.
#
# **Predict.** What is `~1`? And how many of the positions 0 to 699 does bfloat16 hold?

# %%
ones_and_zeros = torch.tensor([0, 1])
assert (~ones_and_zeros).tolist() == [-1, -2]
assert (~ones_and_zeros).bool().all()  # both are true: every token is a pad
count = torch.arange(700)
exact = (count.bfloat16().long() == count).sum().item()
assert exact == 431
print("~[0, 1] =", (~ones_and_zeros).tolist(), "  exact in bfloat16:", exact, "of", len(count))

# %% [markdown]
# ## Positions
#
# $$p_t = m_t \sum_{j<t} m_j$$
#
# *positions-ignore-padding* numbers the slots, *positions-from-one* forgets that a running sum has counted the token
# itself, *positions-from-the-end* sums the other way round.
#
# Who notices the first of them? A table of positions is indexed by the number itself. A rotation turns queries and keys
# by angles whose differences alone count.
#
# **Predict.** A prompt of four tokens stands behind three pads, at slots 3 to 6. Which attention gives what the prompt
# gives alone: the one with a table, or the one with rotations?

# %%
table = torch.randn(16, 8)
prompt = torch.randn(4, 8)


def turned(x, positions):
    """Each pair of features turned by its position times its own frequency."""
    angle = positions[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03])
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()), dim=-1)


def with_table(x, positions):
    x = (x + table[positions])[None]
    return F.scaled_dot_product_attention(x, x, x, is_causal=True)[0]


def with_rotation(x, positions):
    qk = turned(x, positions)[None]
    return F.scaled_dot_product_attention(qk, qk, x[None], is_causal=True)[0]


alone, slots, mixed = torch.arange(4), torch.arange(3, 7), torch.tensor([0, 1, 2, 6])
off = {
    name: distance(f(prompt, alone), f(prompt, slots)) for name, f in (("table", with_table), ("turned", with_rotation))
}
off_mixed = distance(with_rotation(prompt, alone), with_rotation(prompt, mixed))
assert off["turned"] < 1e-12 < 0.1 < off["table"]
assert off_mixed > 0.01
print(f"slots for positions: table off by {off['table']:.1f}, rotation by {off['turned']:.1f}")
print(f"three tokens by position, the fourth by slot: rotation off by {off_mixed:.1f}")

# %% [markdown]
# **Explain.** Rotations forgive a shift of the whole row and nothing else. The last line is what happens when a prompt
# was cached by position and is continued by slot.

# %% [markdown]
# ## Positions of pads
#
# Nobody reads them, so any index that the table has would do; the contract says 0. *pads-not-cleared*: the running sum
# less one is $-1$ before the first real token. *pads-have-position-minus-one* asks for it. *pads-clamped* mends only
# the left, as on the right the sum stands still at its last value. *pads-have-position-one* is what Hugging Face fills
# in, *real-tokens-cleared* fills where the mask is 1 and not where it is 0, *pads-counted* gives pads their number of
# tokens before them, *pads-go-on* lets positions run on behind the last token.

# %%
try:
    F.embedding(torch.tensor([-1]), table)
    raised = False
except (IndexError, RuntimeError):
    raised = True
assert raised
assert torch.equal(table[-1], table[15])  # indexing takes the last row and says nothing
running = torch.tensor(RIGHT).cumsum(0) - 1
assert running.tolist() == [0, 1, 2, 2, 2]
print("running sum less one, pads on the right:", running.tolist(), "  wanted", *places([RIGHT]).tolist())

# %% [markdown]
# ## Left and right
#
# Generation reads the logits of the last slot and appends behind it. On the left every row ends there. On the right a
# short row ends earlier, and its new tokens come after a gap.
#
# Training pads on the right. *left-padding-assumed* and *right-padding-assumed* take the number of a row's pads for the
# side that they are on: right for one kind of batch.

# %%
pads_left, pads_right = [LEFT, NONE], [RIGHT, NONE]
steps = 2
rows = {
    "padded on the left": [row + [1] * steps for row in pads_left],
    "padded on the right": [row + [1] * steps for row in pads_right],
}
last_is_real = {"left": sum(row[-1] for row in pads_left), "right": sum(row[-1] for row in pads_right)}
assert last_is_real == {"left": 2, "right": 1}
print("rows of 2 whose last slot is real:", last_is_real)

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 1.9), constrained_layout=True)
for ax, (side, lines) in zip(axes, rows.items(), strict=True):
    for i, row in enumerate(lines):
        for j, real in enumerate(row):
            colour = "#EEEEEE" if not real else "#56B4E9" if j < 5 else "#E69F00"
            ax.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, facecolor=colour, edgecolor="#999999"))
            ax.text(j, i, str(sum(row[:j])) if real else "pad", ha="center", va="center")
    ax.set(xlim=(-0.6, 6.6), ylim=(1.6, -0.6), xticks=range(7), yticks=range(2), xlabel="slot", title=side)
axes[0].set_ylabel("row of the batch")
show(
    fig,
    "Positions of two prompts (blue) of 3 and 5 tokens with two new tokens each (orange). Padded on the left, new "
    "tokens follow their prompt; padded on the right, the short prompt has a gap of two pads before them.",
)

# %% [markdown]
# **Predict.** Padding on the right under a causal mask, no new tokens yet: how much do the outputs of the real tokens
# change when the padding mask is left out? And on the left?

# %%
x = torch.randn(2, 1, 5, 8)


def difference(rows, pads=0.0):
    """How far the real tokens are off when nothing but the causal mask is used."""
    real = torch.tensor(rows).bool()
    filled = x.masked_fill(~real[:, None, :, None], pads)
    right = F.scaled_dot_product_attention(filled, filled, filled, square(rows))
    causal = F.scaled_dot_product_attention(filled, filled, filled, is_causal=True)
    return distance(right.transpose(1, 2)[real], causal.transpose(1, 2)[real])


on_the_right, on_the_left = difference(pads_right), difference(pads_left)
assert on_the_right < 1e-12
assert on_the_left > 0.1
print(f"real tokens change by {on_the_right:.1f} with pads on the right, by {on_the_left:.1f} on the left")

# %% [markdown]
# **Explain.** Nothing, on the right: pads come later than every real token. What has to know of them there is the loss.

# %% [markdown]
# ## One row at a time
#
# *padding-of-first-row* uses one row's pads for all, *positions-of-one-row* returns one row of numbers,
# *positions-over-batch* sums along `dim=0`, *positions-run-on* flattens first. *batch-read-as-queries* forgets the
# axes: a mask $(B,S)$ beside a triangle $(S,S)$ is an error, unless $B=S$.

# %%
four = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1]]).bool()
triangle = torch.ones(4, 4).tril().bool()
wrong = four & triangle  # query i has the padding of row i
assert wrong.shape == (4, 4)
assert not torch.equal(square(four.tolist())[0, 0], wrong)
try:
    four[:3] & triangle
    noticed = False
except RuntimeError:
    noticed = True
assert noticed
print("B = 4, S = 4: shape", tuple(wrong.shape), "  B = 3, S = 4: an error")

# %% [markdown]
# ## Pads are keys that nobody sees
#
# *padding-not-hidden* leaves them in. Embeddings of zero do not help: a score of 0 is that of an average key.
# *query-padding-for-key-padding* empties the rows of pads and leaves their columns. *order-by-position* compares
# positions instead of slots; those of pads are 0, so a pad sees the first real token, even a later one.
#
# The two conditions are joined by *and*. *padding-or-order* joins them by *or*; *hidden-only-if-both* does the same to
# their complements.
#
# **Predict.** Three real tokens behind two pads of zeros, all scores equal: which share of its attention does the last
# token give to pads?

# %%
zeros = torch.zeros(1, 5, 8)
values = torch.tensor([[[1.0], [1], [0], [0], [0]]])  # 1 marks a pad
share = F.scaled_dot_product_attention(zeros, zeros, values, is_causal=True)[0, -1].item()
hidden = F.scaled_dot_product_attention(zeros, zeros, values, square([LEFT])[:, 0])[0, -1].item()
assert math.isclose(share, 2 / 5)
assert hidden == 0
print(f"given to pads: {share:.1f} without the padding mask, {hidden:.1f} with it")

# %% [markdown]
# ## Queries that see nothing
#
# By the rule a pad on the left sees nothing: nothing real comes before it. Nobody reads its output, but it must be
# finite. A softmax over minus infinities is not, and NaN spreads: in the next layer it is multiplied by a weight of 0.
#
# So real code opens such rows: *pads-see-themselves*, *empty-rows-see-all*, *empty-rows-see-first*. Here the rule is
# literal, and empty rows are left to attention, which gives zeros for them. *query-padding-too* makes more of them: a
# pad on the right would see real tokens by the rule.

# %%
left = square([LEFT])[0, 0]
assert (~left.any(-1)).sum() == 2
by_hand = torch.zeros(5, 5).masked_fill(~left, -math.inf).softmax(-1)
next_layer = torch.tensor([0.0, 0, 1 / 3, 1 / 3, 1 / 3]) @ (by_hand @ torch.randn(5, 8))
assert by_hand.isnan().sum() == 10
assert next_layer.isnan().all()
q = torch.randn(1, 5, 8)
library = F.scaled_dot_product_attention(q, q, q, left[None])[0]
assert (library[:2] == 0).all()
print("NaN by hand:", by_hand.isnan().sum().item(), "  in the library:", library.isnan().sum().item())

# %% [markdown]
# ## Queries are the last slots
#
# With a cache, S counts the cached tokens and the L queries are the last slots. *padded-triangle-top-left* takes them
# for the first, *queries-after-real-tokens* for the last of a row's *real* tokens, which subtracts the padding twice.
# *query-len-ignored* returns all S rows, *keys-cut-to-queries* forgets the cache's columns. *one-query-sees-pads*: a
# single query needs no causal part, but it needs the other.
#
# **Predict.** Seven tokens in one pass, in chunks of 4 and 3, and as 5 and two single steps: which of these splits
# shows the first mistake, and which the last?


# %%
def decoded(rows, lengths, mask_of):
    """Attention in chunks over a cache, each with the mask that mask_of(rows so far, L) gives."""
    x = torch.randn(len(rows), 1, len(rows[0]), 8, generator=torch.Generator().manual_seed(1))
    outputs, end = [], 0
    for length in lengths:
        start, end = end, end + length
        seen, mask = x[:, :, :end], mask_of([row[:end] for row in rows], length)
        outputs.append(F.scaled_dot_product_attention(x[:, :, start:end], seen, seen, mask))
    return torch.cat(outputs, dim=2)


def last_rows(rows, length):
    return square(rows)[:, :, -length:]


def first_rows(rows, length):
    return square(rows)[:, :, :length]


def all_for_one(rows, length):
    return torch.ones(len(rows), 1, 1, len(rows[0]), dtype=torch.bool) if length == 1 else last_rows(rows, length)


two = [[0, 0, 1, 1, 1, 1, 1], [1] * 7]
whole = decoded(two, [7], last_rows)
errors = {
    f.__name__: [distance(decoded(two, split, f)[:, :, 2:], whole[:, :, 2:]) for split in ([7], [4, 3], [5, 1, 1])]
    for f in (last_rows, first_rows, all_for_one)
}
assert max(errors["last_rows"]) < 1e-12
assert [error > 0.1 for error in errors["all_for_one"]] == [False, False, True]
assert [error > 0.1 for error in errors["first_rows"]] == [False, True, True]
for name, values in errors.items():
    print(f"{name:12} off by, in chunks 7, 4 + 3, 5 + 1 + 1:", [float(f"{error:.1f}") for error in values])

# %% [markdown]
# **Explain.** One pass has neither a past nor a single query, so it sees neither mistake. Two chunks see the first,
# single steps see both.

# %% [markdown]
# ## The form of the mask
#
# *head-axis-missing*: $(B,L,S)$ meets the heads where the batch should be. *padded-mask-not-bool* and
# *padded-mask-additive* are other dtypes. *padded-mask-inverted* and *padded-mask-transposed* are the mask turned
# round, *padded-triangle-strict*, *padded-triangle-one-ahead*, *padded-triangle-upper* and *padded-triangle-missing*
# what can be wrong in any triangle.

# %%
causal = torch.ones(5, 5).tril().bool()
masks = {"right": square(batch)[:, 0]}
pads = torch.tensor(batch).bool()
masks["padding-not-hidden"] = causal.expand(3, 5, 5)
masks["query-padding-for-key-padding"] = causal & pads[:, :, None]
masks["query-padding-too"] = masks["right"] & pads[:, :, None]
wrong_pairs = {name: (mask != masks["right"]).sum((1, 2)).tolist() for name, mask in masks.items()}
assert list(wrong_pairs.values()) == [[0, 0, 0], [9, 0, 3], [6, 0, 6], [0, 0, 6]]

# %%
fig, axes = plt.subplots(2, 4, figsize=(10, 4.6), constrained_layout=True)
for column, (name, mask) in zip(axes.T, masks.items(), strict=True):
    for ax, side in zip(column, (0, 2), strict=True):
        for i, j in torch.cartesian_prod(torch.arange(5), torch.arange(5)).tolist():
            seen, good = mask[side, i, j].item(), masks["right"][side, i, j].item()
            colour = BLUE if seen and good else VERMILLION if seen else "white" if not good else "#FFE9BF"
            ax.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, facecolor=colour, edgecolor="#999999"))
            if seen != good:
                ax.text(j, i, "x" if seen else "o", ha="center", va="center", weight="bold")
        ax.set(xlim=(-0.6, 4.6), ylim=(4.6, -0.6), xticks=range(5), yticks=range(5), aspect="equal")
    column[0].set_title(name, fontsize=9)
    column[1].set_xlabel("key slot")
axes[0, 0].set_ylabel("pads on the left\nquery slot")
axes[1, 0].set_ylabel("pads on the right\nquery slot")
show(
    fig,
    "Masks of three tokens with two pads on the left (above) and on the right (below). Blue is right, a cross is "
    "seen and must not be, a ring is hidden and must not be. Left out padding leaks 9 pairs on the left and 3 on the "
    "right; emptied queries are seen on the right alone.",
)

# %% [markdown]
# ## What padding costs
#
# Every row costs as much as the longest.
#
# **Predict.** Lengths are drawn evenly from 1 to 1,024. Which share of a batch of 32 are pads? And when batches are
# made of neighbours in sorted order?

# %%
lengths = torch.randint(1, 1025, (4096,), generator=torch.Generator().manual_seed(0))


def wasted(lengths, size):
    """The share of slots that hold pads when each `size` lengths in a row are a batch."""
    batches = lengths.view(-1, size)
    slots = batches.amax(1).sum() * size
    return 1 - (lengths.sum() / slots).item()


sizes = [1, 2, 4, 8, 16, 32, 64]
shares = {
    "as they come": [wasted(lengths, size) for size in sizes],
    "sorted by length": [wasted(lengths.sort().values, size) for size in sizes],
}
assert 0.46 < shares["as they come"][5] < 0.51
assert shares["sorted by length"][5] < 0.02
print(f"batches of 32: {shares['as they come'][5]:.0%} pads, sorted {shares['sorted by length'][5]:.0%}")

# %% [markdown]
# **Explain.** The longest of $n$ even draws is $\frac n{n+1}$ of the most on average, and the mean is one half:
# $\frac12-\frac1{2n}$ is wasted, 48% for 32. Neighbours in sorted order have nearly one length.

# %%
fig, ax = plt.subplots(figsize=(7, 2.6), constrained_layout=True)
for name, values in shares.items():
    ax.plot(sizes, [100 * value for value in values], marker="o", label=name)
ax.set_xscale("log", base=2)
ax.set_xticks(sizes, sizes)
ax.set(xlabel="sequences in a batch", ylabel="slots that are pads [%]", ylim=(0, 60))
ax.legend()
show(
    fig,
    "Share of pads in batches of lengths from 1 to 1,024. Drawn as they come it rises towards one half; sorted by "
    "length it stays near zero.",
)

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %%
# checks: which-side, causal-hides-pads, slots-or-positions, pads-as-queries
assert [sum(row) for row in pads_left] == [sum(row) for row in pads_right] == [3, 5]
assert (last_is_real["right"], last_is_real["left"], len(pads_left)) == (1, 2, 2)
assert round(on_the_right, 12) == 0
assert on_the_left > 0.1
assert slots[0] == 3
assert off["table"] > 0.1
assert off["turned"] < 1e-12
assert off_mixed > 0.01
assert ((~left.any(-1)).sum(), len(left), by_hand.isnan().sum()) == (2, 5, 10)

# %%
# checks: pad-is-eos, pad-waste, mask-bytes
ids = torch.tensor([5, 9, 2, 2, 2])
assert (ids != 2).sum() == 2
assert len(ids) == 5
assert len(ids[:3]) == 3
assert (ids[ids != 2] == 2).sum() == 0
some = torch.tensor([32, 64, 128, 1024])
assert (len(some) * some.max(), some.sum()) == (4096, 1248)
assert round(100 * (1 - 1248 / 4096)) == 70
assert round(100 * (1 - (some**2).sum() / (4 * 1024**2)).item()) == 74
assert 16 * 8192 * 8192 * torch.bool.itemsize == 1 * 2**30
assert 16 * 8192 * 8192 * torch.float32.itemsize == 4 * 2**30
assert 16 * 8192 == 128 * 2**10

# %%
# checks: decode-with-padding, batch-or-alone
cached = [[*row, 1, 1] for row in pads_left]
now = [[*row, 1] for row in cached]
assert (len(cached[0]), len(now[0])) == (7, 8)
assert [sum(row) for row in now] == [6, 8]
assert places(now)[:, -1].tolist() == [5, 7]
real = torch.tensor(LEFT).bool()
for fill in (0.0, 1e6):  # pads of a million
    filled = x[:1].masked_fill(~real[:, None], fill)
    padded = F.scaled_dot_product_attention(filled, filled, filled, square([LEFT]))
    by_itself = F.scaled_dot_product_attention(*[x[:1, :, 2:]] * 3, is_causal=True)
    assert distance(padded[:, :, 2:], by_itself) < 1e-12
assert difference(pads_left) > 0.1

# %% [markdown]
# ## Exercises
#
# **1.** A row has $n$ real tokens in S slots. How many Trues has its square mask with padding on the left, and on the
# right?
#
# <details><summary>Solution</summary>
#
# On the left the triangle of the real tokens, $\frac{n(n+1)}2$: 6 for 3 of 5. On the right each of the $S-n$ pads sees
# all $n$ tokens as well: $\frac{n(n+1)}2+n(S-n)$, which is 12.
#
# </details>
#
# **2.** Give the positions of a batch in which several documents are packed into one row, from a tensor with the number
# of each slot's document.
#
# <details><summary>Solution</summary>
#
# A slot's position is the number of earlier slots with the same number: `same = doc[:, :, None] == doc[:, None, :]`,
# and then `same.tril(-1).sum(-1)`. The mask is `same.tril()`: causal and block-diagonal.
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
# **Further reading.** Vaswani et al. 2017 (1706.03762), section 3.2.3. Su et al. 2021 (RoFormer, 2104.09864), section
# 3.4: why rotations know differences alone. Krell et al. 2021 (Efficient sequence packing, 2107.02027): what pads cost
# in training. Before: [the causal mask](causal_mask.ipynb).
