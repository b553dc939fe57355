"""The drawings of the notebooks: each function returns a figure and the caption that says what is to be seen in it.

A notebook has the code of its drawing in a folded cell, so that it can be opened alone: its source says
`# drawing: NAME` in a cell tagged `drawing`, and build.py puts the function there, with what it uses from this file.
The notebook's own `show` displays it, at twice the resolution of the screen.

One thing has one colour in all of them: queries are blue, keys orange, values green, weights purple, outputs red.
"""

import math

import matplotlib.pyplot as plt

INKS = {"query": "#0072B2", "key": "#E69F00", "value": "#009E73", "weight": "#CC79A7", "output": "#D55E00"}
GREY, PALE = "#777777", "#EEEEEE"


def canvas(width, height, inches):
    """An empty drawing, `width` by `height` units, `inches` wide; y grows downwards, as rows of a matrix do."""
    fig, ax = plt.subplots(figsize=(inches, inches * height / width))
    fig.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    return fig, ax


def matrix(ax, corner, shape, fill, name="", under="", edge="white"):
    """A grid of unit squares with its upper left corner there; `fill` is a colour, or one for each (row, column)."""
    (x, y), (rows, columns) = corner, shape
    for i in range(rows):
        for j in range(columns):
            colour = fill if isinstance(fill, str) else fill(i, j)
            ax.add_patch(plt.Rectangle((x + j, y + i), 1, 1, facecolor=colour, edgecolor=edge, linewidth=1.2))
    ax.text(x + columns / 2, y - 0.35, name, ha="center", va="bottom", fontsize=10, weight="bold")
    note(ax, x + columns / 2, y + rows + 0.35, under, va="top")


def shade(colour, strength):
    """The colour mixed with white: 0 is white, 1 the colour."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - strength * (255 - part)):02X}" for part in parts)


def arrow(ax, start, end, label="", colour=GREY):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0})
    x, y = (start[0] + end[0]) / 2, min(start[1], end[1]) - 0.3
    note(ax, x, y, label, va="bottom")


def note(ax, x, y, text, **how):
    """A remark in grey, or as `how` says."""
    style = {"ha": "center", "va": "center", "fontsize": 9, "color": "#444444"}
    ax.text(x, y, text, **(style | how))


def attention_shapes():
    """softmax(Q K^T / sqrt(E)) V for 3 queries over 5 keys, with one row followed from left to right."""
    fig, ax = canvas(39.4, 8.6, 10)
    weights = [[0.1, 0.5, 0.2, 0.1, 0.1], [0.05, 0.05, 0.15, 0.7, 0.05], [0.3, 0.1, 0.3, 0.1, 0.2]]

    def row_one(colour):
        return lambda i, j: shade(colour, 0.9 if i == 1 else 0.35)

    def by_weight(i, j):
        return shade(INKS["weight"], 0.1 + 1.2 * weights[i][j])

    matrix(ax, (0.6, 2.7), (3, 4), row_one(INKS["query"]), "query", "(L, E)")
    matrix(ax, (6.6, 2.2), (4, 5), shade(INKS["key"], 0.6), "keys, transposed", "(E, S)")
    matrix(ax, (14.8, 2.7), (3, 5), lambda i, j: shade(GREY, 0.6 if i == 1 else 0.25), "scores", "(L, S)")
    matrix(ax, (24.4, 2.7), (3, 5), by_weight, "weights", "(L, S)\neach row sums to 1")
    matrix(ax, (31.4, 1.7), (5, 2), shade(INKS["value"], 0.6), "values", "(S, Ev)")
    matrix(ax, (36.6, 2.7), (3, 2), row_one(INKS["output"]), "output", "(L, Ev)")
    for x, sign in ((5.6, r"$\times$"), (13.2, "="), (30.4, r"$\times$"), (35, "=")):
        ax.text(x, 4.2, sign, ha="center", va="center", fontsize=15)
    arrow(ax, (20.2, 4.2), (24, 4.2), "divide by $\\sqrt{E}$,\nmask, softmax")
    caption = (
        "From queries, keys and values to the output, with shapes: 3 queries, 5 keys, head size 4, 2 value features. "
        "Row 1 is dark throughout: its query meets every key, its five weights mix the five values, and one output row "
        "comes out."
    )
    return fig, caption


def heads_and_back():
    """(B, L, D) is viewed as (B, L, H, E), transposed to (B, H, L, E), attended, and put together again."""
    fig, ax = canvas(44, 17, 10)
    inks = [INKS["query"], INKS["key"], INKS["value"]]

    def bands(i, j):
        return shade(inks[j // 2], 0.3 + 0.17 * i)

    matrix(ax, (0.8, 6.1), (4, 6), bands, "projected", "(B, L, D)\nrows are tokens")
    arrow(ax, (7.2, 8.1), (12.6, 8.1), "view (B, L, H, E),\nthen transpose\ntokens and heads")
    for h in range(3):
        y = 0.9 + 5.2 * h
        for x in (16, 25.6):
            matrix(ax, (x, y), (4, 2), lambda i, j, h=h: bands(i, 2 * h))
        note(ax, 15.5, y + 2, f"head {h}", ha="right", color=inks[h], weight="bold")
        arrow(ax, (18.4, y + 2), (25.2, y + 2), "attention" if h == 0 else "")
    for x in (17, 26.6):
        note(ax, x, 16.4, "(B, H, L, E)")
    arrow(ax, (28.6, 8.1), (34.6, 8.1), "transpose back,\nthen reshape\n(which copies)")
    matrix(ax, (35.4, 6.1), (4, 6), bands, "merged", "(B, L, D)\nthen the output projection")
    caption = (
        "Splitting and merging, for 4 tokens of 6 features and 3 heads of 2. A colour is a head, a darker shade is a "
        "later token. A head is a band of columns that keeps all tokens; merging puts the bands side by side again, "
        "and only then does the output projection mix them."
    )
    return fig, caption


def shared_heads():
    """Eight query heads over 8, 2 and 1 key/value heads."""
    fig, ax = canvas(42, 11.5, 10)
    for x, kv_heads, name in (
        (1, 8, "multi-head, K = 8"),
        (15.5, 2, "grouped-query, K = 2"),
        (30, 1, "multi-query, K = 1"),
    ):
        ax.text(x + 5.4, 0.9, name, ha="center", va="center", fontsize=11, weight="bold")
        places = [x + 0.9 + 1.3 * (8 / kv_heads * (g + 0.5) - 0.5) for g in range(kv_heads)]
        for h in range(8):
            place = x + 0.9 + 1.3 * h
            ax.plot([place, places[h * kv_heads // 8]], [8.0, 6.0], color=GREY, linewidth=1.3, zorder=0)
            ax.add_patch(plt.Rectangle((place - 0.5, 8), 1, 1.8, color=INKS["query"]))
        for place in places:
            ax.add_patch(plt.Rectangle((place - 0.5, 2.0), 1, 1.8, color=INKS["value"]))
            ax.add_patch(plt.Rectangle((place - 0.5, 4.1), 1, 1.8, color=INKS["key"]))
        bytes_ = "all of the cache" if kv_heads == 8 else f"1/{8 // kv_heads} of the cache"
        note(ax, x + 5.4, 10.7, bytes_)
    for y, kind in ((2.9, "value"), (5, "key"), (8.9, "query")):
        ax.text(0.5, y, kind, ha="center", va="center", rotation=90, fontsize=9, color=INKS[kind], weight="bold")
    caption = (
        "Eight query heads read eight, two or one pair of a key head and a value head. Queries, and so attention maps, "
        "stay eight in all three; what shrinks is what has to be stored for each token and read at each step."
    )
    return fig, caption


def growing_cache():
    """A prompt of 4 tokens, two single steps and a piece of 2: what is new in the cache, and what the queries read."""
    fig, ax = canvas(37, 9, 10)
    x = 5.6
    for new, past, name in ((4, 0, "the prompt"), (1, 4, "one token"), (1, 5, "one token"), (2, 6, "a piece of two")):
        keys = past + new

        def read(i, j, past=past):
            return shade(INKS["weight"], 0.7) if j <= past + i else PALE

        def stored(i, j, past=past):
            return INKS["key"] if j >= past else shade(INKS["key"], 0.35)

        matrix(ax, (x, 1.8), (1, keys), stored, name)
        for j in range(keys):
            note(ax, x + j + 0.5, 2.3, str(j), fontsize=8, color="black")
        matrix(ax, (x, 3.6), (new, keys), read)
        for i in range(new):
            note(ax, x - 0.3, 4.1 + i, str(past + i), ha="right", color=INKS["query"])
        note(ax, x + keys / 2, 8.1, f"{new} x {keys} scores")
        x += keys + 2.6
    note(ax, 4.4, 2.3, "stored keys\nand values", ha="right", color="#A06C00")
    note(ax, 4.4, 5.6, "new queries", ha="right", color=INKS["query"])
    caption = (
        "The cache grows by what is new. Upper row: stored keys and values, dark where this call computed them. "
        "Below: what the new queries, numbered by position, may read (purple). Queries are not kept. A single row "
        "reads everything; a prompt, and a piece of two, need the triangle, and it leans against the right."
    )
    return fig, caption


def slow_memory(ax):
    """The left half of the tiles: Q, K, V and the output in HBM, and the scores that are never there."""
    ax.add_patch(plt.Rectangle((0.4, 0.4), 24.4, 18.2, facecolor="#F7F7F7", edgecolor=GREY, linewidth=1.2))
    note(ax, 1, 1.2, "large slow memory (HBM)", ha="left", fontsize=10, weight="bold", color="black")
    matrix(ax, (2, 7), (8, 2), lambda i, j: shade(INKS["query"], 1 if i in (4, 5) else 0.3), "Q", "N rows")
    matrix(ax, (7, 3), (2, 12), lambda i, j: shade(INKS["key"], 1 if j in (6, 7, 8) else 0.3))
    note(ax, 6.6, 4, "K, V", ha="right", fontsize=10, weight="bold", color="black")
    for i in range(4):
        for j in range(4):
            strength = 1 if (i, j) == (2, 2) else 0.28 if i < 2 or (i == 2 and j < 2) else 0
            edge = {"edgecolor": GREY, "linewidth": 0.8, "linestyle": ":"}
            tile = plt.Rectangle((7 + 3 * j, 7 + 2 * i), 3, 2, facecolor=shade(INKS["weight"], strength), **edge)
            ax.add_patch(tile)
    note(ax, 13, 15.6, "scores: N x N, never stored")
    matrix(ax, (21, 7), (8, 2), lambda i, j: INKS["output"] if i < 4 else "white", "output", "written once", PALE)


def flash_tiles():
    """One tile of the score matrix at a time, on chip; keys and values pass by; a running state for each query."""
    fig, ax = canvas(42, 19, 10)
    slow_memory(ax)
    ax.add_patch(plt.Rectangle((27.4, 0.4), 14.2, 18.2, facecolor="#FFF6E5", edgecolor=INKS["key"], linewidth=1.2))
    note(ax, 28, 1.2, "small fast memory on chip (SRAM)", ha="left", fontsize=10, weight="bold", color="black")
    matrix(ax, (29.5, 7), (2, 2), INKS["query"], "Q tile")
    matrix(ax, (33, 3.2), (2, 3), INKS["key"])
    note(ax, 36.5, 4.2, "K tile, V tile", ha="left", fontsize=10, weight="bold", color="black")
    matrix(ax, (33, 7), (2, 3), INKS["weight"], "", "scores of the tile")
    for x, width, name in ((32, 1, "m"), (34, 1, r"$\ell$"), (36, 2, "O")):
        matrix(ax, (x, 13), (2, width), INKS["output"] if name == "O" else shade(GREY, 0.6), name)
    note(ax, 34.8, 16.2, "running maximum, sum and mix:\nrescaled at each tile")
    arrow(ax, (34.5, 10.2), (34.5, 11.8))
    arrow(ax, (25, 4.2), (32.6, 4.2), "", INKS["key"])
    arrow(ax, (25, 8), (29.1, 8), "", INKS["query"])
    arrow(ax, (31.6, 17.7), (25, 17.7), "", INKS["output"])
    note(ax, 32, 17.75, "after the last key tile: O / $\\ell$", ha="left")
    caption = (
        "FlashAttention: the score matrix is walked tile by tile (dark: now, pale: done) and never stored. A tile of "
        "queries stays on chip while the tiles of keys and values pass by; each query keeps a running maximum, a sum "
        "and a mix of values, and writes its output once."
    )
    return fig, caption


def mask_with_cache():
    """The mask of 3 new tokens over 4 cached ones is the last 3 rows of the square mask of 7."""
    fig, ax = canvas(33.5, 10, 9)

    def square(i, j):
        if j > i:
            return PALE if i >= 4 else "#F8F8F8"
        return shade(INKS["weight"], 0.75 if i >= 4 else 0.25)

    matrix(ax, (4.6, 1.6), (7, 7), square, "the square mask of all 7")
    matrix(ax, (19, 5.6), (3, 7), lambda i, j: square(i + 4, j))
    for x in (4.6, 19):
        ax.add_patch(plt.Rectangle((x, 5.6), 7, 3, fill=False, edgecolor="black", linewidth=2))
        note(ax, x + 3.5, 9.1, "key positions 0 to 6")
    for i in range(7):
        note(ax, 4.2, 2.1 + i, str(i), ha="right", color=INKS["query"] if i > 3 else GREY)
    for i in range(4, 7):
        note(ax, 18.6, 2.1 + i, str(i), ha="right", color=INKS["query"])
        note(ax, 26.6, 2.1 + i, f"reads keys 0 to {i}", ha="left")
    note(ax, 1.9, 3.6, "computed\nbefore", color=GREY)
    note(ax, 1.9, 7.1, "new\nqueries", color=INKS["query"])
    arrow(ax, (12.2, 7.1), (17.2, 7.1), "keep the\nlast L rows")
    for start, end, text in ((19, 23, "4 cached"), (23, 26, "3 new")):
        ax.plot([start + 0.1, end - 0.1], [5.1, 5.1], color=GREY, linewidth=1.5)
        note(ax, (start + end) / 2, 4.5, text)
    caption = (
        "Four tokens are cached, three are new. Their mask (purple: may attend) is the last three rows of the square "
        "mask of seven: every new query sees all four cached keys, and the triangle lies at the bottom right, over the "
        "new ones."
    )
    return fig, caption


def rotating_pair():
    """A pair of features at four positions, and a query and a key whose angle depends on their distance alone."""
    fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), constrained_layout=True)
    theta, query, key = 0.5, 1.15, 0.25
    panels = {
        "a key, turned by 0.5 a position": [(m, key, "key", f"position {m}") for m in range(4)],
        "two positions apart": [(1, key, "key", "key at 1"), (3, query, "query", "query at 3")],
        "both four later: the same angle": [(5, key, "key", "key at 5"), (7, query, "query", "query at 7")],
    }
    for ax, (title, vectors) in zip(axes, panels.items(), strict=True):
        ax.add_patch(plt.Circle((0, 0), 1, fill=False, color=GREY, linewidth=0.8, linestyle=":"))
        turned = [position * theta + angle for position, angle, *_ in vectors]
        for angle, (_, _, kind, label) in zip(turned, vectors, strict=True):
            x, y = math.cos(angle), math.sin(angle)
            style = {"arrowstyle": "-|>", "color": INKS[kind], "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (x, y), (0, 0), arrowprops=style)
            side = "left" if x > 0.3 else "right" if x < -0.3 else "center"
            note(ax, 1.1 * x, 1.14 * y, label, ha=side, color=INKS[kind])
        if len(turned) == 2:
            arc = [turned[0] + (turned[1] - turned[0]) * i / 40 for i in range(41)]
            ax.plot([0.45 * math.cos(a) for a in arc], [0.45 * math.sin(a) for a in arc], color="black", linewidth=1.5)
        ax.set_title(title, fontsize=10)
        ax.set(xlim=(-1.9, 1.9), ylim=(-1.35, 1.35), aspect="equal")
        ax.axis("off")
    caption = (
        "Rotary positions, one pair of features as a vector in the plane. Left: a key at positions 0 to 3, turned by "
        "the same angle each time. Middle and right: a query and a key, at 3 and 1 and at 7 and 5. The angle between "
        "them, and so their score, is the same: it depends on the distance 2 alone."
    )
    return fig, caption
