# %% [markdown]
# # Rotary position embeddings
#
# <!-- badge -->
#
# Attention sees a set of tokens. RoPE gives each query and key an angle for its position, and nearly every open model
# uses it. **After this notebook you can** derive in one line why scores depend on distances only, say what the
# base does, convert weights between the two layouts, and name the tests that six wrong versions pass.
#
# Short of time? 5 minutes: [Differences only](#Differences-only), [Two layouts](#Two-layouts), [Which test sees
# it](#Which-test-sees-it), and then the questions.
#
# Reading time: 13 minutes. Kata: `python grader.py check rope`

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
# > *Write RoPE. Now a cache hands you one new token: which position has it? Your model came from another repository and
# > writes fluent nonsense: what do you check first?*
#
# Twenty lines of code, and nothing raises an error when they are wrong.

# %% [markdown]
# ## One pair
#
# Take two features $(a, b)$ as a point in the plane. At position $p$ it is turned by the angle $p\theta$:
#
# $$(a,\ b)\ \to\ (a\cos p\theta - b\sin p\theta,\ \ a\sin p\theta + b\cos p\theta).$$
#
# **Predict.** With $\theta = 1$, a *radian* for each position: where is $(1, 0)$ at position 3, and how long is it?


# %%
def turn(angle):
    """The 2 x 2 matrix of a turn."""
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


for p in range(4):
    a, b = (turn(p) @ torch.tensor([1.0, 0.0])).tolist()
    assert math.isclose(math.hypot(a, b), 1)
    print(f"position {p}: ({a:5.2f}, {b:5.2f})")

# %% [markdown]
# Nearly at $(-1, 0)$, and as long as before. What goes wrong here:
#
# - `nothing-turned`: x goes out as it came in. Shapes and lengths are right.
# - `turned-backwards`: the minus stands in the second line. Scores stay right as long as *everything* is turned so;
#   a cache that another program wrote does not fit.
# - `minus-forgotten`, `second-like-first`, `second-not-turned`: a sign or a name is wrong in one line, and what is
#   left is no rotation.
# - `cos-sin-exchanged`: position 0 is turned by a quarter.
# - `first-overwritten`: `a = ...; b = ...` on slices of one tensor. The second line reads the $a$ that is turned
#   already.

# %% [markdown]
# ## Differences only
#
# With $R_m$ the turn of position $m$, turns add up and the transpose turns back, so
#
# $$(R_m q)^\top (R_n k) = q^\top R_m^\top R_n k = q^\top R_{n-m}\, k .$$
#
# Each vector is turned by *its own* position, once, and the score knows the distance only. Hence a key can be rotated,
# stored and never touched again ([what this means for a cache](gqa_kv_cache.ipynb#Positions)).


# %%
def rotation(position, size, base=10_000.0):
    """The size x size matrix of a position: one turn for each pair of neighbouring features."""
    return torch.block_diag(*[turn(position * base ** (-2 * i / size)) for i in range(size // 2)])


q, k = torch.randn(2, 8)
for m, n in ((7, 5), (107, 105), (5, 7)):
    print(f"query at {m:3}, key at {n:3}: score {(rotation(m, 8) @ q) @ (rotation(n, 8) @ k):5.2f}")
near, far = ((rotation(m, 8) @ q) @ (rotation(n, 8) @ k) for m, n in ((7, 5), (107, 105)))
assert distance(near, far) < 1e-12

# %% [markdown]
# The third line differs: two back is not two ahead.
#
# **Predict.** Values are not rotated. Two tokens have the same value $(1, 0)$, at positions 0 and 3, and equal
# weights. How long would the output be if they were?

# %%
value = torch.tensor([1.0, 0.0])
plain = (value + value) / 2
mixed = (turn(0) @ value + turn(3) @ value) / 2
assert plain.tolist() == [1, 0]
print(f"unrotated: length {plain.norm():.2f}    rotated: length {mixed.norm():.3f}")

# %% [markdown]
# Equal contents would cancel. Positions decide where to look, not what comes back.

# %% [markdown]
# ## Frequencies
#
# A single frequency repeats: with $\theta=1$, a distance of 44 looks like one of 0, as 44 is nearly seven whole turns.
# So each of the $E/2$ pairs has its own,
#
# $$\theta_i = \text{base}^{-2i/E},\qquad i = 0 \dots E/2-1,$$
#
# from 1 down to nearly 1/base: hands of a clock, from seconds to days.

# %%
pairs = 32
frequencies = torch.tensor([10_000 ** (-i / pairs) for i in range(pairs)])
hands = (torch.arange(64.0)[:, None] * frequencies).cos()
assert hands[44, 0] > 0.99  # one fast pair alone takes 44 for 0
assert hands[44, 8] < -0.1  # and others tell them apart

# %%
fig, ax = plt.subplots(figsize=(9, 3), constrained_layout=True)
image = ax.imshow(hands.T, cmap="cividis", aspect="auto")
ax.set(xlabel="position [tokens]", ylabel="pair i")
fig.colorbar(image, ax=ax, label="cosine of the angle")
show(
    fig,
    "Cosines of the 32 pairs of a head of 64 at positions 0 to 63. The first pairs flicker from token to token; the "
    "last ones hardly move within 64 tokens. Together they tell every position apart.",
)

# %% [markdown]
# **Predict.** Llama 3 has the base 500,000 instead of 10,000. How many of its 64 pairs complete no turn within 8,192
# tokens?

# %%
bases = (10_000, 500_000)
wavelengths = {base: torch.tensor([2 * math.pi * base ** (2 * i / 128) for i in range(64)]) for base in bases}
unturned = {base: int((waves > 8192).sum()) for base, waves in wavelengths.items()}
print("pairs that complete no turn in 8,192 tokens:", unturned)

gaps = torch.arange(1.0, 4097.0)
alike = {base: (gaps[:, None] * 2 * math.pi / waves).cos().mean(1) for base, waves in wavelengths.items()}
assert alike[500_000][1000:].mean() > alike[10_000][1000:].mean() + 0.1

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3), constrained_layout=True)
for colour, base in zip((BLUE, ORANGE), bases, strict=True):
    axes[0].semilogy(wavelengths[base], color=colour, label=f"base {base:,}")
    axes[1].semilogx(gaps, alike[base], color=colour, label=f"base {base:,}")
axes[0].axhline(8192, color="black", linestyle=":", label="8,192 tokens")
axes[0].set(xlabel="pair i", ylabel="wavelength [tokens]")
axes[1].set(xlabel="distance [tokens]", ylabel="score, at most 1")
axes[0].legend(frameon=False)
show(
    fig,
    "Left: wavelengths of the 64 pairs of a head of 128. Both bases start at 6.3 tokens; above the dotted line a pair "
    "completes no turn in 8,192 tokens. Right: the score of a query and a key with all features equal falls with "
    "their distance, and stays higher with the larger base.",
)

# %% [markdown]
# A base fits the weights that were trained with it, and no others. How exponents go wrong:
#
# | written | name |
# |---|---|
# | $i/E$ instead of $2i/E$ | `exponent-halved` |
# | $2i/(E/2)$ | `exponent-doubled` |
# | $i$ from 1 on, or a linspace up to 1 | `exponent-from-one`, `exponent-to-one` |
# | `1 / base ** arange / E`: a bracket is missing | `exponent-undivided` |
# | `base ** (2i/E)`, or the slowest first | `frequencies-inverted`, `frequencies-reversed` |
# | a frequency for each *feature*, or one for all | `frequency-per-feature`, `one-frequency` |
# | frequencies in turns, times $2\pi$ | `angles-in-turns` |
# | 10,000 in the body | `base-ignored` |

# %% [markdown]
# ## Positions
#
# The function is *told* the positions. One new token after 300 stored ones has position 300, although its row is 0; in
# a batch with padding every entry has a row of its own.
#
# **Predict.** Five tokens stand behind three pads. Once they are numbered 0 to 4, once 3 to 7. Which scores differ?

# %%
queries, keys = torch.randn(2, 6, 8)  # five tokens and, later, a new one


def scores(query_positions, key_positions):
    """Scores of the first tokens, each turned by its position."""
    turned_q = torch.stack([rotation(p, 8) @ x for p, x in zip(query_positions, queries, strict=False)])
    turned_k = torch.stack([rotation(p, 8) @ x for p, x in zip(key_positions, keys, strict=False)])
    return turned_q @ turned_k.T


padding_shift = distance(scores(range(5), range(5)), scores(range(3, 8), range(3, 8)))
right, wrong = scores([0, 1, 2, 3, 4, 5], range(5))[5], scores([0, 1, 2, 3, 4, 8], range(5))[5]
print(f"all shifted by 3: {padding_shift < 1e-12 and 'the same scores'}; ", end="")
print(f"only the new token shifted: off by {distance(right, wrong):.1f}")
assert distance(right, wrong) > 0.1

# %% [markdown]
# None, as long as everybody counts alike; a *mixture* is a bug that no shape shows. The usual ones:
#
# - `positions-counted-anew` (`arange(L)`), `positions-from-the-first`: right until there is a cache.
# - `positions-from-one`: right within one program, wrong beside keys of another.
# - `first-row-for-all`: right until rows are padded differently.
# - `batch-for-heads`: (B, L) angles meet (B, H, L, E) without an axis for the heads. It raises where B and H differ,
#   and is silently wrong where they are equal. `tokens-for-heads`: the same with (B, L, H, E) in mind.

# %% [markdown]
# ## Two layouts
#
# Which features are a pair? In the paper neighbours are, $(x_{2i}, x_{2i+1})$. GPT-NeoX, and Llama in transformers,
# pair $(x_i, x_{i+E/2})$: there a rotation is `x * cos + rotate_half(x) * sin`. Both are a permutation apart.
#
# **Predict.** Weights that were trained with neighbours come into code that pairs halves. Which rows of the query and
# key projections have to be moved, and does anything else change?

# %%
order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])  # all even features, then all odd ones


def halves(position):
    """The rotation that pairs the two halves."""
    permutation = torch.eye(8)[order]
    return permutation @ rotation(position, 8) @ permutation.T


w_q, w_k, x = torch.randn(8, 12), torch.randn(8, 12), torch.randn(2, 12)
trained = (rotation(9, 8) @ w_q @ x[0]) @ (rotation(4, 8) @ w_k @ x[1])
converted = (halves(9) @ w_q[order] @ x[0]) @ (halves(4) @ w_k[order] @ x[1])
careless = (halves(9) @ w_q @ x[0]) @ (halves(4) @ w_k @ x[1])
print(f"trained {trained:.1f}, converted {converted:.1f}, loaded as they are {careless:.1f}")
assert distance(trained, converted) < 1e-12
assert distance(trained, careless) > 0.1

# %% [markdown]
# Rows of $W_Q$ and $W_K$, within each head; nothing else. Mistakes: `interleaved-ignored`, `interleaved-always` and
# `layouts-exchanged` take the wrong pairs. `angles-concatenated`, `angles-repeated` and `angles-of-other-layout` give
# the two features of a pair different angles (`cat` belongs to halves, `repeat_interleave` to neighbours).
# `partners-of-halves` and `partners-of-neighbours` fetch the partner from the other layout. `halves-come-out`,
# `neighbours-come-out` and `pairs-not-flattened` put the result back in another form than it came.

# %% [markdown]
# ## Which test sees it
#
# **Predict.** Six wrong versions: the identity, the wrong sign, another base, half the exponent, positions from 1, the
# other layout. How many keep lengths, and give scores that depend on differences only?

# %%
swap = torch.eye(4)[[0, 2, 1, 3]]
versions = {
    "right": lambda p: rotation(p, 4, 100.0),
    "identity": lambda p: torch.eye(4),
    "wrong sign": lambda p: rotation(-p, 4, 100.0),
    "another base": lambda p: rotation(p, 4, 10_000.0),
    "half the exponent": lambda p: rotation(p, 4, 10.0),
    "from 1": lambda p: rotation(p + 1, 4, 100.0),
    "other layout": lambda p: swap @ rotation(p, 4, 100.0) @ swap.T,
}
a, b = torch.randn(2, 4)
by_hand = torch.tensor([-2.2347, 0.0770, 2.1455, 4.5163])  # (1, 2, 3, 4) at position 2
found = {}
for name, at in versions.items():
    keeps = all(math.isclose((at(p) @ a).norm(), a.norm()) for p in (0, 5, 77))
    relative = all(math.isclose((at(s + 7) @ a) @ (at(s) @ b), (at(7) @ a) @ (at(0) @ b)) for s in (1, 50))
    numbers = distance(at(2) @ torch.tensor([1.0, 2, 3, 4]), by_hand) < 1e-3
    found[name] = keeps, relative, numbers
    print(f"{name:18} lengths {keeps}, differences {relative}, numbers {numbers}")

# %% [markdown]
# All six. Only numbers see them: one vector, worked out once, in each layout.

# %% [markdown]
# ## Precision
#
# Angles are positions times frequencies, and large. **Predict.** At which position does a model in bfloat16 begin to
# take neighbours for the same?

# %%
places = torch.arange(1, 131_072, 61)
exact = places.double()[:, None] * torch.tensor([10_000 ** (-i / 64) for i in range(64)])
errors = {}
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    powers = torch.tensor([10_000 ** (-i / 64) for i in range(64)]).to(dtype)
    errors[str(dtype)[6:]] = ((places.to(dtype)[:, None] * powers).double() - exact).abs().amax(1)
same = [p for p in range(1, 2000) if torch.tensor(p).bfloat16() == torch.tensor(p + 1).bfloat16()]
print("bfloat16: the first two neighbours that are the same:", same[0], "and", same[0] + 1)
assert errors["float32"].max() < 0.02
assert errors["bfloat16"].max() > 100

# %%
fig, ax = plt.subplots(figsize=(8, 3), constrained_layout=True)
for (name, off), colour in zip(errors.items(), (GREEN, BLUE, VERMILLION), strict=True):
    ax.loglog(places, off.where(off.isfinite(), torch.tensor(math.nan)), color=colour, label=name)
ax.axhline(math.pi, color="black", linestyle=":", label="half a turn")
ax.set(xlabel="position [tokens]", ylabel="worst error of an angle [radians]")
ax.legend(frameon=False)
show(
    fig,
    "The worst error among 64 angles against the position. In float32 it stays below a fiftieth of a radian up to "
    "131,071. In bfloat16 it passes half a turn at about a thousand tokens, in float16 before ten thousand.",
)

# %% [markdown]
# `angles-in-half`: anything in half precision before the cosine, such as a buffer of frequencies that `model.half()`
# casts too. `angles-in-float32`: for float64 inputs, where a comparison of two implementations wants all digits.
# `table-too-short`: rows for 4,096 positions, and a text that is longer.

# %% [markdown]
# ## Inputs and errors
#
# - `rotation-not-cast-back`: float32 cosines promote a half tensor, and the next product with half weights raises.
# - `x-turned-in-place`, `positions-changed-in-place` (`unsqueeze_`): the caller, or the next layer, meets what it did
#   not write.
# - `rotation-cut-off`: `no_grad` belongs around a table, not around the rotation.
# - `strides-assumed`: `view_as_complex` refuses heads whose features are no neighbours in memory.
# - `odd-width-unchecked`, `assert-on-odd-width`: an odd number of features has no pairs, and asserts can be switched
#   off.

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %%
# checks: rope-relative, rope-not-values
for start in (5, 105):
    turned = (turn(start + 2) @ value) @ (turn(start) @ value)
    assert (7, 107)[start == 105] == start + 2
    assert round(turned.item(), 3) == -0.416
assert 2 * 4096 == 8192
assert 4096**2 == 16_777_216
assert [round(number, 3) for number in mixed.tolist()] == [0.005, 0.071]
assert round(mixed.norm().item(), 3) == 0.071
assert distance(mixed, (value + turn(3) @ value) / 2) < 1e-12

# %%
# checks: rope-base, rope-precision
assert unturned == {10_000: 14, 500_000: 29}
assert len(wavelengths[10_000]) == 128 / 2 == 64
assert [round(waves[-1].item()) for waves in wavelengths.values()] == [54_410, 2_559_196]
assert [round(waves[0].item(), 2) for waves in wavelengths.values()] == [6.28, 6.28]
assert round(math.degrees(1)) == 57
assert (wavelengths[500_000] > 8_192).sum() == 29
assert torch.finfo(torch.bfloat16).eps == 2.0 ** (1 - 8)
assert same[0] == 256
assert torch.tensor(8_193).bfloat16() == 8_192
assert [round(math.cos(p), 3) for p in (8_193, 8_192)] == [0.963, 0.293]
assert torch.tensor([2_048, 2_049]).half().tolist() == [2_048, 2_048]
assert torch.finfo(torch.float16).max == 65_504
steps = torch.arange(0, 128, 2)
single, double = 1 / 10_000.0 ** (steps.float() / 128), 1 / 10_000.0 ** (steps.double() / 128)
worst = {p: ((p * single).double() - p * double).abs().max().item() for p in (131_071, 1_000_000)}
assert round(worst[131_071], 4) == 0.0042
assert round(worst[1_000_000], 3) == 0.052

# %%
# checks: rope-layouts, rope-tests, rope-left-padding, rope-cost
assert order.tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
assert len(order) == 8
assert distance(trained, converted) < 1e-12
assert distance(trained, careless) > 0.1
wrong_ones = [kept for name, kept in found.items() if name != "right"]
assert sum(keeps and relative for keeps, relative, _ in wrong_ones) == 6
assert sum(not numbers for *_, numbers in wrong_ones) == 6
assert found["right"] == (True, True, True)
assert torch.tensor(8_193).bfloat16() == 8_192
assert padding_shift < 1e-12
assert list(range(5))[-1] == 4
assert list(range(3, 8))[-1] == 7
assert distance(right, wrong) > 0.1
H, K, E, D = 32, 8, 128, 4096
assert 3 * (H + K) * E == 15_360
assert 2 * D * (H * E + 2 * K * E + H * E) == 83_886_080
assert round(100 * 15_360 / 83_886_080, 3) == 0.018
assert 131_072 * (128 // 2) * 2 * 4 == 64 * 2**20

# %% [markdown]
# ## Exercises
#
# **1.** Position interpolation divides all positions by 4, so that 16,384 tokens fit into 4,096. What happens to the
# angle between neighbours in the fastest pair, and what does a model lose by it?
#
# <details><summary>Solution</summary>
#
# It falls from 1 radian to a quarter: neighbours come four times closer, in the pairs that tell them apart. That is
# why YaRN (2309.00071) leaves the fast pairs as they are and interpolates the slow ones only.
#
# </details>
#
# **2.** Rotate the first half of a head's features only, as GPT-J does. Over which size do the frequencies run, and do
# scores still depend on differences only?
#
# <details><summary>Solution</summary>
#
# Over the size of the part that is rotated. The score is a sum of two: one of the rotated part, which depends on the
# difference, and one of the rest, which depends on no position at all. So it does.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Aim at 15 minutes with the page above out of sight.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Su et al. 2021 (RoFormer, 2104.09864), section 3. Peng et al. 2023 (YaRN, 2309.00071). Barbero
# et al. 2024 (2410.06205) on what the fast and the slow pairs are used for. Next: [a cache](gqa_kv_cache.ipynb), where
# positions count on.
