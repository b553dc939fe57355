# %% [markdown]
# # Paged KV cache
#
# <!-- badge -->
#
# A sequence's cache need not lie in one piece: a table says in which pages of a pool its tokens are.
# **After this notebook you can** count what a static cache wastes, translate a token's place in a sequence into one in
# memory, share a prompt among samples, and say which errors a test with single queries cannot see.
#
# Short of time? 3 minutes: [Two addresses](#Two-addresses), [The order of pages](#The-order-of-pages), and then the
# questions.
#
# Reading time: 11 minutes. Kata: `python grader.py check paged_kv_cache`

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
# > *Here is a pool of pages for keys and values, a table that says which pages belong to which sequence, and how long
# > each sequence is. Put new tokens into it, and compute attention from it. Then tell me what it was good for.*
#
# The letters: B rows, L new tokens, K key/value heads, E head size, P pages in the pool, N entries in a row of the
# table.

# %% [markdown]
# ## What is wasted
#
# A static cache reserves M slots for each sequence, for nobody knows when it will end. Of these slots a sequence that
# ends after $n$ tokens used $n/M$. In pages of $p$ slots it takes $\lceil n/p \rceil$ of them, and wastes less than
# one.
#
# **Predict.** 40 sequences end at random between 1 and 2,048 tokens. Which share of the reserved slots do they use, at
# their very end, and which share of their pages of 16?

# %%
ends = torch.randint(1, 2049, (40,), generator=torch.Generator().manual_seed(1))
pages = -(-ends // 16)
static, paged = ends.sum() / (40 * 2048), ends.sum() / (16 * pages.sum())
print(f"used: {static:.0%} of what is reserved, {paged:.1%} of the pages")
print("sequences in the memory of 40 static ones:", int(40 * 2048 / (16 * pages.double().mean())))
assert static < 0.6
assert paged > 0.98

# %% [markdown]
# Those are the last moments. Before them it is worse: a sequence that has just begun holds as much as one that ends.
# What is won is room for others: the batch doubles, and since a decode step reads the weights once for all of them,
# throughput nearly doubles too.
#
# How large should a page be? On average half of one is lost.

# %%
TOKEN = 2 * 32 * 8 * 128 * 2  # bytes a token of Llama-3-8B: keys and values, layers, heads, features, bytes each
sizes = [1, 4, 16, 64, 256, 1024]
lost = [(size - 1) / 2 * TOKEN / 2**20 for size in sizes]
entries = [8192 // size for size in sizes]
for size, mib, count in zip(sizes, lost, entries, strict=True):
    print(f"pages of {size:5}: {mib:6.3g} MiB lost a sequence, {count:5} entries for 8,192 tokens")

# %%
fig, ax = plt.subplots()
ax.loglog(sizes, [max(x, 0.01) for x in lost], marker="o", label="lost a sequence [MiB]")
ax.loglog(sizes, entries, marker="s", label="entries of the table for 8,192 tokens")
ax.set(xlabel="slots of a page", ylabel="MiB, or entries")
ax.legend()
show(fig, "Small pages lose little and make long tables: 16 to 64 is where neither hurts. Llama-3-8B, 128 KiB a token.")

# %% [markdown]
# ## Two addresses
#
# A token has a place in its row, $t$, and one in the pool. With pages of $p$ slots:
#
# $$\text{entry} = \lfloor t / p \rfloor, \qquad \text{slot} = t \bmod p, \qquad
# \text{page} = \text{table}[b, \text{entry}].$$
#
# The table translates the entry and nothing else. An operating system does the same with bytes, and calls it virtual
# memory.
#
# **Predict.** Pages of 4, and the table of a row is 5, 0, 3. Where does token 6 lie?


# %%
def place(row_of_table, token, size):
    """(page, slot) of a token, in words: walk through the pages until it is reached."""
    entry = 0
    while token >= size:
        entry, token = entry + 1, token - size
    return row_of_table[entry], token


print("token 6 lies in page and slot", place([5, 0, 3], 6, 4))
assert place([5, 0, 3], 6, 4) == (0, 2)
table = [[5, 0, 3], [2, 6, -1], [1, -1, -1]]
lengths = [10, 7, 3]
owner = [["" for _ in range(4)] for _ in range(7)]
for row, length in enumerate(lengths):
    for token in range(length):
        page, slot = place(table[row], token, 4)
        owner[page][slot] = f"{'abc'[row]}{token}"
for page, slots in enumerate(owner):
    print("page", page, " ".join(f"{name or '-':>3}" for name in slots))

# %%
fig, ax = plt.subplots(figsize=(7, 2.6))
for page, slots in enumerate(owner):
    for slot, name in enumerate(slots):
        colour = OKABE_ITO["abc".index(name[0])] if name else "#FFFFFF"
        ax.add_patch(plt.Rectangle((page * 4.6 + slot, 0), 0.95, 0.8, facecolor=colour, edgecolor="#888888", alpha=0.7))
        ax.text(page * 4.6 + slot + 0.47, 0.4, name, ha="center", va="center", fontsize=8)
ax.set(xlim=(-0.2, 32.2), ylim=(-0.2, 1.0), yticks=[], xticks=[page * 4.6 + 2 for page in range(7)])
ax.set_xticklabels([f"page {page}" for page in range(7)])
show(fig, "A pool of seven pages: three rows of 10, 7 and 3 tokens lie in it as their tables say. Page 4 is free.")

# %% [markdown]
# Two rows never meet, since no page stands in both tables. Entries behind the last page of a row, here -1, name
# nothing, and whoever looks them up gets page $P-1$, or an error.
#
# <details><summary>What the grader names here</summary>
#
# `table-of-first-row-for-all`, `table-not-used`, `table-sorted`, `pages-in-reverse`, `pages-counted-from-one`,
# `page-and-slot-exchanged`,
# `page-size-of-other-dimension`, `next-page-of-the-pool`, `length-of-one-row-for-all`, `heads-and-tokens-reshaped`.
#
# </details>

# %% [markdown]
# ## Written into pages
#
# New tokens go behind the old ones: positions length, length + 1 and so on, each translated by itself. The caller, who
# gives out the pages, also counts.
#
# **Predict.** A row of 6 tokens in pages of 4 gets a chunk of 5. It is written as one slice, from the slot of the first
# on. How many of the five are where they belong?


# %%
def as_a_slice(first_page, slot, count, size):
    """Where tokens come to lie that follow one another in memory: the pool is one long line of slots."""
    return [((first_page * size + slot + i) // size, (first_page * size + slot + i) % size) for i in range(count)]


right = [place([5, 0, 3], token, 4) for token in range(6, 11)]
wrong = as_a_slice(*right[0], 5, 4)
print("right", right)
print("slice", wrong)
assert sum(a == b for a, b in zip(right, wrong, strict=True)) == 2

# %% [markdown]
# Two: the rest of the page. The others land in page 1, which belongs to row c, and nothing raises. A test whose chunks
# end with a page, or whose pages lie in order, does not see it.
#
# Which slot is the first? `lengths` before the call. Read after it was counted up, or rounded to pages, it leaves holes
# or writes over what is there:

# %%
begin = {"right": 6, "one late": 7, "one early": 5, "rounded up": 8, "rounded down": 4, "ignored": 0}
for name, start in begin.items():
    new = set(range(start, start + 2))
    over, holes = len(new & set(range(6))), len(set(range(6, start)))
    print(f"{name:13} begins at {start}: writes over {over}, leaves {holes} holes")
assert begin["rounded up"] - 6 == 2

# %% [markdown]
# <details><summary>What the grader names here</summary>
#
# `write-ignores-lengths`, `write-begins-a-new-page`, `write-begins-the-page-again`, `write-begins-one-slot-late`,
# `write-begins-one-slot-early`, `lengths-taken-for-those-after`, `new-tokens-in-one-slot`,
# `one-page-for-all-new-tokens`, `tokens-beyond-the-page-lost`, `page-end-raises`, `pools-copied`,
# `new-values-not-written`, `new-keys-as-new-values`, `new-keys-and-values-exchanged`, `rest-of-the-page-cleared`,
# `only-row-zero-is-written`, `lengths-counted-up`, `pages-of-a-row-unchecked`, `last-slot-never-used`.
#
# </details>

# %% [markdown]
# ## Read where they lie
#
# `pool[table]` gathers a row's pages into a new tensor, and then attention is ordinary. The numbers are right. But
# indexing with a tensor copies, and a decode step does little else than read its cache once.
#
# **Predict.** The cache is 1 GiB. How many GiB move if it is gathered first?

# %%
cache_gib = TOKEN * 8192 / 2**30
moved = {"where it lies": cache_gib, "gathered": 3 * cache_gib}  # read, written, read again
for name, gib in moved.items():
    print(f"{name:14} {gib:.0f} GiB, {gib * 2**30 / 3.35e12 * 1e3:.2g} milliseconds at 3.35 TB/s")
pool = torch.zeros(7, 4, 2, 3)
assert pool[5].untyped_storage().data_ptr() == pool.untyped_storage().data_ptr()  # a page is a view
assert pool[torch.tensor([5, 0])].untyped_storage().data_ptr() != pool.untyped_storage().data_ptr()

# %% [markdown]
# A page is a view; several pages are a copy. So go through the pages one by one. There are two ways: keep the scores,
# which are few, and take one softmax over all of them; or keep a running maximum and sum, as in blockwise attention.
# What is not a way is a softmax for each page:

# %%
q, k, v = torch.randn(1, 8), torch.randn(10, 8), torch.randn(10, 8)
whole = F.scaled_dot_product_attention(q, k, v)
each = [F.scaled_dot_product_attention(q, k[i : i + 4], v[i : i + 4]) for i in (0, 4, 8)]
mean = sum(each) / 3
print("first feature: one softmax", f"{whole[0, 0]:.3f}", "  mean of three", f"{mean[0, 0]:.3f}")
assert (mean - whole).abs().max() > 0.05

# %% [markdown]
# The two tokens of the last page would count as much as four others.
#
# <details><summary>What the grader names here</summary>
#
# `only-first-page-read`, `softmax-of-each-page`, `pool-changed-by-reading`, `worked-in-half-precision`.
#
# </details>

# %% [markdown]
# ## The order of pages
#
# **Predict.** The three pages of a row of 12 tokens are read from the last to the first. By how much does the output of
# one query move? And those of five?

# %%
keys, values, queries = torch.randn(12, 8), torch.randn(12, 8), torch.randn(5, 8)
back = torch.arange(12).view(3, 4).flip(0).flatten()  # 8 9 10 11 4 5 6 7 0 1 2 3


def last_queries(queries, keys, values):
    """Causal attention of the last tokens, one query after the other, each with the tokens up to its own."""
    first = len(keys) - len(queries) + 1
    parts = [
        F.scaled_dot_product_attention(queries[i : i + 1], keys[: first + i], values[: first + i])
        for i in range(len(queries))
    ]
    return torch.cat(parts)


one = last_queries(queries[-1:], keys, values), last_queries(queries[-1:], keys[back], values[back])
five = last_queries(queries, keys, values), last_queries(queries, keys[back], values[back])
moves = [(a - b).abs().max().item() for a, b in (one, five)]
print("one query moves by less than 1e-12:", moves[0] < 1e-12, "  five by", f"{moves[1]:.2f}")
assert moves[0] < 1e-12 < 0.1 < moves[1]

# %%
fig, ax = plt.subplots()
ax.bar(range(7, 12), (five[0] - five[1]).norm(dim=-1), color=[OKABE_ITO[3]] * 4 + [OKABE_ITO[0]])
ax.set(xlabel="token", ylabel="output moved by [norm]", xticks=range(7, 12))
show(
    fig,
    "Pages in reverse: the last query sees all tokens and does not move; those before it see the wrong ones.",
)

# %% [markdown]
# A softmax runs over a set. Decode steps cannot tell orders apart, whatever the table says; a chunk can, for its mask
# counts positions. And each row counts from its own end: a mask that is made for the longest row lets the queries of
# shorter ones look ahead.
#
# <details><summary>What the grader names here</summary>
#
# `page-tokens-in-reverse`, `causal-mask-of-the-longest-row`; `pages-in-reverse` and `table-sorted` show here, too.
#
# </details>

# %% [markdown]
# ## Free slots
#
# The slots behind a row's last token, and pages of nobody, hold what the last owner left, or nothing that was ever
# written.
#
# **Predict.** A page of 16 slots is read whole. One free slot holds NaN, and its weight is exactly 0. How many of the 4
# features of the output are NaN?

# %%
slots, seen = torch.randn(16, 4), torch.arange(16) < 3
slots[7] = math.nan
weights = torch.randn(1, 16).masked_fill(~seen, -math.inf).softmax(-1)
assert weights[0, 7] == 0
masked, cut = weights @ slots, weights[:, :3] @ slots[:3]
print("masked, NaN features:", masked.isnan().sum().item(), "  cut off:", cut.isnan().sum().item())
assert masked.isnan().all()
assert not cut.isnan().any()

# %% [markdown]
# Without NaN it is worse: a length that is rounded up to whole pages, or ignored, lets another request's tokens take
# part, and the answer is merely a little wrong.
#
# <details><summary>What the grader names here</summary>
#
# `all-slots-of-a-row-seen`, `partial-page-read-whole`, `partial-page-lost`, `free-slots-nan`,
# `unused-entries-looked-up`, `lengths-taken-for-those-before`.
#
# </details>

# %% [markdown]
# ## Shared pages
#
# Two rows that begin alike may name the same pages, for equal beginnings have equal keys and values. Full pages never
# change. The last one does, and then it must be copied first, unless nobody else holds it: copy on write.
#
# **Predict.** Four samples of one prompt of 500 tokens, pages of 16. How many pages do they hold after one token each,
# and how many were copied?


# %%
def fork(prompt, samples, size):
    """Pages held after a token each, and pages copied: counters say who shares what."""
    users = [samples] * -(-prompt // size)
    copied = 0
    if prompt % size:
        for _ in range(samples):
            if users[-1 - copied] > 1:  # somebody else holds it: a copy of one's own
                users[-1 - copied] -= 1
                users.append(1)
                copied += 1
    else:
        users += [1] * samples
    return len(users), copied


held, copied = fork(500, 4, 16)
print("pages held", held, "  copied", copied, "  without sharing", 4 * 32)
assert (held, copied) == (35, 3)


# %%
def chained(tokens, size):
    """A key for each full page: its tokens, and the key of the page before it."""
    found, before = [], 0
    for start in range(0, len(tokens) - size + 1, size):
        before = hash((before, tuple(tokens[start : start + size])))
        found.append(before)
    return found


def shared(a, b):
    """How many pages at the beginning have the same key."""
    pairs = zip(chained(a, 16), chained(b, 16), strict=True)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), len(a) // 16)


prompt = list(range(512))
late, early = [*prompt[:500], -1, *prompt[501:]], [*prompt[:3], -1, *prompt[4:]]
print("different in token 500:", shared(prompt, late), "pages shared   in token 3:", shared(prompt, early))
assert (shared(prompt, late), shared(prompt, early)) == (31, 0)

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %% [markdown]
# Each number above, asserted:

# %%
# checks: fragmentation, page-size, two-addresses
assert 8_192 * TOKEN == 2**30
assert round(100 * 1_000 / 8_192) == 12
assert (-(-1_000 // 16), 63 * 16 - 1_000, 63 * 16 * TOKEN / 2**20) == (63, 8, 126)
assert [(size - 1) / 2 for size in (16, 256)] == [7.5, 127.5]
assert round(lost[sizes.index(16)], 2) == 0.94
assert round(lost[sizes.index(256)], 1) == 15.9
assert [8_192 // size for size in (16, 256)] == [512, 32]
assert [size * 128 * 2 // 2**10 for size in (16, 64)] == [4, 16]  # KiB of keys of one head
assert divmod(1_000, 16) == (62, 8)
assert (7 * 16 + 8) * 8 * 128 == (7 * 16 + 8) * 1_024 == 122_880
assert [(1_000 + i) // 16 for i in range(20)].count(62) == 8
assert [(1_000 + i) // 16 for i in range(20)].count(63) == 12

# %%
# checks: copy-on-write, prefix-key, order-of-pages
assert (divmod(500, 16), held, copied, 4 * -(-500 // 16)) == ((31, 4), 35, 3, 128)
assert len(prompt) == 512
assert shared(prompt, late) == 31
assert shared(prompt, early) == 0
assert len(back) == 3 * 4
assert moves[0] < 1e-12 < 0.1 < moves[1]

# %%
# checks: recycled-pages, gather-cost
assert (len(slots), slots.size(1), masked.isnan().sum().item()) == (16, 4, 4)
assert 8_192 * TOKEN / 2**30 == moved["where it lies"] == 1
assert moved["gathered"] == 3
assert [round(gib * 2**30 / (3.35 * 10**12) * 1e3, 2) for gib in moved.values()] == [0.32, 0.96]
assert 16 * 128 * 2 == 4 * 2**10
assert torch.tensor([5], dtype=torch.int32).element_size() == 4

# %% [markdown]
# ## Exercises
#
# **1.** A row holds 9 tokens in pages of 4, and its caller takes back the last 3. Which page becomes free, and must
# anything be cleared?
#
# <details><summary>Solution</summary>
#
# 6 tokens need 2 pages, so the third is free again. Nothing has to be cleared: slots behind the length are written
# before they are read.
#
# </details>
#
# **2.** The pool is full, and a row needs one page more. What can a server do?
#
# <details><summary>Solution</summary>
#
# Evict pages that nobody holds; if there are none, take all pages of one row, the youngest, and let it wait. Its cache
# is computed again later, or moved to host memory and back: 1,000 tokens of Llama-3-8B are 125 MiB, about 2 ms at
# 64 GB/s.
#
# </details>

# %% [markdown]
# ## Write it
#
# The stub of the kata. Do write first: with the places right, reading is a loop over pages.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here

# %% [markdown]
# **Further reading.** Kwon et al. 2023, *Efficient Memory Management for Large Language Model Serving with
# PagedAttention* (vLLM, 2309.06180). Zheng et al. 2023 (SGLang, prefixes in a tree, 2312.07104). Prabhu et al. 2024
# (vAttention, pages by the GPU's own virtual memory, 2405.04437).
