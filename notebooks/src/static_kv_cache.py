# %% [markdown]
# # Llama's attention with a static KV cache
#
# <!-- badge -->
#
# A cache that grows by joining is copied at every step; one that serves is allocated once, and written into.
# **After this notebook you can** say where a slot lies in memory, derive why joining is quadratic in bytes, name
# the one number that fixes slots, positions, mask and what is read, and say which mistakes in it a test of outputs
# cannot see.
#
# Short of time? 3 minutes: [Positions](#Positions), [What is read](#What-is-read), and then the questions.
#
# Reading time: 11 minutes. Kata: `python grader.py check static_kv_cache`

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
# > *Here is a cache: two tensors with room for M tokens, and an int that says how many are written. Write the attention
# > that uses it. Then tell me what your tests would not have found.*
#
# The letters: B batch, K key/value heads, M slots, E head size, P tokens that are written, L new ones, S = P + L.

# %% [markdown]
# ## Bytes and addresses
#
# A contiguous tensor (B, K, M, E) has the strides (K M E, M E, E, 1). Slot $s$ of head $k$ of row $b$ begins at
# element
#
# $$((bK + k)M + s)\,E .$$
#
# The slots of one head are neighbours. So the first S of them are a view, and attention reads one long run for each
# head.
#
# **Predict.** Slices along which of the four axes are still contiguous, and which are only views?

# %%
room = torch.zeros(2, 3, 8, 4)
print("strides", room.stride())
written = room[:, :, :5]
b, k, s = 1, 2, 3
assert written[b, k, s].data_ptr() - room.data_ptr() == ((b * 3 + k) * 8 + s) * 4 * room.element_size()
assert written.untyped_storage().data_ptr() == room.untyped_storage().data_ptr()
print("a view of 5 slots: contiguous", written.is_contiguous(), " one head of it:", written[b, k].is_contiguous())

# %% [markdown]
# A view all the same: nothing was copied. One head of it is one run of numbers, and that is what a product reads.
#
# **Joining is quadratic.** Step $t$ of a joined cache writes $t$ tokens, so T steps write $T(T+1)/2$; in place they
# write T.
#
# **Predict.** Llama-3-8B keeps 128 KiB for each token. How many GiB does joining write on the way to 8,192 tokens?

# %%
TOKEN = 2 * 32 * 8 * 128 * 2  # keys and values, layers, heads, features, bytes
lengths = torch.tensor([2**n for n in range(6, 14)])
joined = lengths * (lengths + 1) / 2 * TOKEN / 2**30
in_place = lengths * TOKEN / 2**30
print("tokens", lengths[-3:].tolist(), "  joined GiB", [f"{x:.3g}" for x in joined[-3:].tolist()])
print("                             in place GiB", [f"{x:.3g}" for x in in_place[-3:].tolist()])
assert joined[-1] / in_place[-1] == 4096.5

# %%
fig, ax = plt.subplots()
ax.loglog(lengths, joined, marker="o", label="joined at each step")
ax.loglog(lengths, in_place, marker="s", label="written in place")
ax.set(xlabel="tokens", ylabel="written on the way [GiB]")
ax.legend()
show(fig, "GiB written on the way to a cache of so many tokens, Llama-3-8B: joined, it grows with the square.")

# %% [markdown]
# Four thousand times as much. And at each step old and new are alive at once, so the peak is two caches; the
# allocator is asked for ever larger blocks; and every tensor has a new address, which no captured graph survives. A
# server therefore reserves the room when it admits a request. What that costs is the other side: a request that may
# become 8,192 tokens long holds 1 GiB of Llama-3-8B's cache from its first token on, and most requests end long
# before.

# %% [markdown]
# ## Positions
#
# `cache.length`, read **before** it is advanced, says four things at once: the slots to write ($P \dots S-1$), the
# positions to rotate by (the same numbers), what to read ($0 \dots S-1$), and the diagonal of the mask ($P$).
#
# Rotary scores depend on differences: $(R_m q)\cdot(R_n k) = q \cdot R_{n-m} k$. The toy below turns each pair by
# hand.
#
# **Predict.** All positions are one too large. By how much does the output move? And if each call counts from 0?


# %%
def turn(x, positions, base=10000.0):
    """Pair after pair, as complex numbers: features i and i + E/2 of (tokens, E)."""
    half = x.size(-1) // 2
    rows = []
    for row, position in zip(x, positions, strict=True):
        z = [complex(row[i], row[i + half]) for i in range(half)]
        z = [z[i] * complex(math.cos(a), math.sin(a)) for i in range(half) for a in [position * base ** (-i / half)]]
        rows.append([number.real for number in z] + [number.imag for number in z])
    return torch.tensor(rows)


def attention(q, k, v, where, values_too=False):
    """Causal attention of one head, with the positions that `where` says."""
    q, k, v = turn(q, where), turn(k, where), turn(v, where) if values_too else v
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


q, k, v = (torch.randn(7, 8) for _ in range(3))
right = attention(q, k, v, range(7))
shifted = attention(q, k, v, range(1, 8))
restarted = attention(q, k, v, [0, 1, 2, 3, 0, 1, 2])  # a prompt of four, and three more that count from 0
far = (shifted - right).abs().max().item(), (restarted - right).abs().max().item()
assert far[0] < 1e-12
assert far[1] > 0.1
print(f"one too many: moved by less than 1e-12    from zero in the second call: moved by {far[1]:.2f}")

# %%
fig, ax = plt.subplots()
ax.bar(range(7), (restarted - right).norm(dim=-1), color=[OKABE_ITO[0]] * 4 + [OKABE_ITO[3]] * 3)
ax.set(xlabel="token", ylabel="output moved by [norm]", xticks=range(7))
show(fig, "How far each output moves when the second call, from token 4 on, counts its positions from 0 again.")

# %% [markdown]
# A constant shift shows in no output at all: only the keys in the cache are others, and whoever takes the cache
# over reads them wrongly. So a test has to look into the cache.
#
# <details><summary>What the grader names here</summary>
#
# `positions-from-zero`, `positions-one-too-many`, `positions-one-too-few`, `positions-from-the-new-length`,
# `one-position-for-all`, `positions-on-self`.
#
# </details>

# %% [markdown]
# ## Rotation
#
# Keys are rotated when they are written, once: a key's position never changes. Values are not rotated, for
# positions belong into scores.
#
# **Predict.** Values are rotated too, and all positions shift by 100. Does the output stay?

# %%
hundred = [position + 100 for position in range(7)]
stays = (attention(q, k, v, hundred) - right).abs().max().item()
turns = (attention(q, k, v, hundred, True) - attention(q, k, v, range(7), True)).abs().max().item()
assert stays < 1e-12
assert turns > 0.1
print(f"values as they are: moved by less than 1e-12    values rotated: moved by {turns:.1f}")

# %% [markdown]
# The same text further on would be other vectors for the next layer.
#
# Angles want float32: bfloat16 has 8 bits, so 3,001 and 3,002 are one position in it.

# %%
near = torch.tensor([3001.0, 3002.0])
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    print(f"{str(dtype)[6:]:9}", [int(x) for x in near.to(dtype).double()])
assert near.bfloat16().unique().numel() == 1

# %% [markdown]
# <details><summary>What the grader names here</summary>
#
# `rotary-missing`, `queries-not-rotated`, `keys-not-rotated`, `values-rotated-too`, `rotary-pairs-interleaved`,
# `rotary-angles-of-other-pairs`, `rotary-sign-reversed`, `rotary-sign-missing`, `rotary-cos-and-sin-exchanged`,
# `rotated-before-heads-are-split`, `rotary-exponent-halved`, `rotary-exponent-doubled`,
# `rotary-exponent-over-d-model`, `rotary-pairs-from-one`, `rotary-one-angle-for-all-pairs`, `rotary-base-ignored`,
# `rotary-angles-in-half`, `rotary-angles-in-float32`, `keys-rotated-when-read`, `cached-keys-rotated-again`,
# `keys-written-before-they-are-rotated`.
#
# </details>

# %% [markdown]
# ## Written in place
#
# `buffer[:, :, 2:4] = new` writes into the buffer; `buffer = torch.cat(...)` binds the name to other memory, and
# whoever holds the old tensor sees nothing of it. An address tells the two apart, and outputs do not.
#
# **Predict.** Three calls of 3, 1 and 2 tokens, and the length is counted twice. Which slots are read that nobody
# wrote?


# %%
def slots_after(calls, slots, advance):
    """-1 for a slot that nobody wrote, otherwise the number of the call."""
    owner, length = [-1] * slots, 0
    for number, new in enumerate(calls):
        for slot in range(length, min(length + new, slots)):
            owner[slot] = number
        length = advance(length, new)
    return owner, length


ways = {
    "right": lambda length, new: length + new,
    "counted twice": lambda length, new: length + 2 * new,
    "by one": lambda length, new: length + 1,
    "not advanced": lambda length, new: length,
}
pictures = {name: slots_after([3, 1, 2], 12, way) for name, way in ways.items()}
for name, (owner, length) in pictures.items():
    holes = sum(slot < 0 for slot in owner[:length])
    print(f"{name:14} length {length:2}, of which nobody wrote {holes}")
assert pictures["right"] == ([0, 0, 0, 1, 2, 2] + [-1] * 6, 6)
assert sum(slot < 0 for slot in pictures["counted twice"][0]) == 6

# %%
fig, ax = plt.subplots(figsize=(7, 2.2))
colours = ["#FFFFFF", *OKABE_ITO[:3]]
for y, (owner, length) in enumerate(pictures.values()):
    for x, call in enumerate(owner):
        ax.add_patch(plt.Rectangle((x, y), 1, 0.8, facecolor=colours[call + 1], edgecolor="#888888"))
    ax.plot([length, length], [y - 0.05, y + 0.85], color="black", linewidth=3)
ax.set(xlim=(0, 12.2), ylim=(4, -0.2), xlabel="slot", yticks=[y + 0.4 for y in range(4)], yticklabels=list(pictures))
show(fig, "Who wrote each slot after calls of 3, 1 and 2 tokens; white: nobody. The bar: the length that it says.")

# %% [markdown]
# All four give the same first call, and for one token at a time "by one" is right for ever. A generation that
# begins with a prompt and goes on token by token meets the difference once, after the prompt, and then reads a
# little noise for the rest of its life. That is why the kata looks at the cache after each call, and tries every
# split of a sequence.
#
# <details><summary>What the grader names here</summary>
#
# `written-at-the-beginning`, `written-at-the-end`, `written-one-slot-late`, `written-after-the-new-length`,
# `written-over-the-latest`, `values-not-written`, `keys-written-as-values`, `keys-and-values-exchanged`,
# `nothing-written`, `unwritten-slots-cleared`, `length-not-advanced`, `length-counted-twice`,
# `length-advanced-by-one`, `length-of-the-new-tokens`, `cache-replaced`, `length-as-a-tensor`,
# `attributes-added-to-the-cache`, `cache-returned-too`.
#
# </details>

# %% [markdown]
# ## What is read
#
# New token $i$ sees slots $0 \dots P+i$. Whoever reads all M slots needs a mask that knows P, and even then:
#
# **Predict.** One slot that is not written holds NaN, and its weight is exactly 0. How many of the 4 features of
# the output are NaN?

# %%
keys, values = torch.randn(8, 4), torch.randn(8, 4)
values[5] = math.nan
query, seen = torch.randn(1, 4), torch.arange(8) < 3
weights = (query @ keys.T / 2).masked_fill(~seen, -math.inf).softmax(-1)
assert weights[0, 5] == 0
masked, viewed = weights @ values, weights[:, :3] @ values[:3]
print("masked, NaN features:", masked.isnan().sum().item(), "  read as a view:", viewed.isnan().sum().item())
assert masked.isnan().all()
assert not viewed.isnan().any()

# %% [markdown]
# All of them: $0 \cdot \mathrm{NaN}$ is NaN. The mask overwrites the scores, so the weights are clean; the values
# are not masked by anything. A view of the first S slots never touches the others. Tests that allocate with
# `torch.zeros` cannot find this, and `torch.empty` does so only sometimes.
#
# <details><summary>What the grader names here</summary>
#
# `unwritten-slots-seen`, `nan-let-through`.
#
# </details>

# %% [markdown]
# ## Room
#
# A cache that is full says so before it is touched. A layer that advances the length first and compares then leaves
# a cache that counts tokens which it does not hold.
#
# **Predict.** 3 of 4 slots are written and 2 tokens come. What is the length after the error, in each of the two
# orders?


# %%
def add(length, new, slots, look_first):
    """The length after a call, and whether it was refused."""
    if look_first and length + new > slots:
        return length, "refused"
    length += new
    return length, "refused" if length > slots else "taken"


print("look first", add(3, 2, 4, True), "  count first", add(3, 2, 4, False), "  just full", add(3, 1, 4, True))
assert add(3, 2, 4, True) == (3, "refused")
assert add(3, 2, 4, False) == (5, "refused")

# %% [markdown]
# <details><summary>What the grader names here</summary>
#
# `room-unchecked`, `full-cache-refused`, `room-checked-too-late`, `odd-head-dim-unchecked`.
#
# </details>

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %% [markdown]
# Each number above, asserted:

# %%
# checks: why-static, price-of-static, static-shapes
assert TOKEN == 131_072
assert joined[-1].item() == 4_096.5
assert 8_192 * TOKEN / 2**30 == in_place[-1].item() == 1
assert round(100 * 1_000 / 8_192) == 12
assert 16 - 1 == 15
assert round(8_192 / 1_000, 1) == 8.2

# %%
# checks: slot-address, rotate-once
assert ((1 * 8 + 3) * 8_192 + 100) * 128 == 11_547_136
assert torch.empty(1, 8_192, 8, 128, device="meta").stride()[1] == 8 * 128 == 1_024
assert len(range(8_192)) == 8_192

# %%
# checks: first-position, values-stay, nan-in-slots, cache-is-full
assert far[0] < 1e-12 < 0.1 < far[1]
assert stays < 1e-12 < 0.1 < turns
assert hundred[0] == 100
assert (len(values), values.size(1), masked.isnan().sum().item(), int(seen.sum())) == (8, 4, 4, 3)
assert add(3, 2, 4, True)[0] == 3

# %% [markdown]
# ## Exercises
#
# **1.** Two sequences share a prompt of 500 tokens. What does a static cache have to copy, and what would a paged
# one?
#
# <details><summary>Solution</summary>
#
# A static cache has one buffer for each sequence, so the 500 tokens are written twice. Pages of 16 are shared: 31
# full pages by reference, and the 32nd, with 4 tokens, is copied when one of the two writes into it.
#
# </details>
#
# **2.** A caller sets the length back from 20 to 12. Why need nothing be cleared, and what would break if a layer
# counted its tokens itself?
#
# <details><summary>Solution</summary>
#
# Slots from 12 on are not read before they are written again, and their old keys are never rotated again. A layer
# with a count of its own would go on with position 20 in slot 12.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Say aloud what `cache.length` decides before you write the body, and run the cell.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Pope et al. 2022, *Efficiently Scaling Transformer Inference* (2211.05102). Kwon et al. 2023
# (vLLM, 2309.06180). Su et al. 2021 (RoPE, 2104.09864). Grattafiori et al. 2024, *The Llama 3 Herd of Models*
# (2407.21783).
