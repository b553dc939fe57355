"""The inputs on which mistakes are told apart.

Sizes are pairwise different where nothing is said, so that an axis taken for another shows; the collisions that
hide or reveal a mistake (L == S, L == H, B == H) are made on purpose, one a probe. Weights are wide, so that a
wrong scale shows; query, key and value are different tensors; a mask differs from one batch entry to the next.

    B batch    L query length    S key length    H num_heads    K num_kv_heads    E head_dim    D d_model = H * E
"""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from grading.diagnosis.draws import CLASSES, Arguments, Input, Probe, Sizes, draw_mask, draw_normal, draw_weights

__all__ = ["CLASSES", "KATAS", "Arguments", "Input", "Probe", "dropout_probe", "probes"]

KATAS = ("sdpa", "causal_mask", *CLASSES)


def probes(kata: str, seed: int) -> tuple[Probe, ...]:
    """The probes of a kata; the same seed gives the same numbers."""
    generator = torch.Generator().manual_seed(seed)
    if kata == "sdpa":
        return tuple(_sdpa(generator))
    if kata == "causal_mask":
        return tuple(_causal(generator))
    if kata == "gqa_kv_cache":
        return tuple(_cached(generator))
    return tuple(_layer(kata, generator))


def _sdpa(generator: Generator) -> Iterator[Probe]:
    def case(name: str, lead: tuple[int, ...], sizes: tuple[int, int, int, int], mask: Tensor | None) -> Probe:
        L, S, E, Ev = sizes
        query, key = draw_normal(generator, *lead, L, E), draw_normal(generator, *lead, S, E)
        inputs: dict[str, Input] = {"query": query, "key": key, "value": draw_normal(generator, *lead, S, Ev)}
        return Probe(name, "sdpa", "scaled_dot_product_attention", inputs=inputs | {"mask": mask})

    yield case("no mask", (3,), (4, 5, 6, 7), None)
    yield case("mask per batch entry", (2, 3), (4, 5, 6, 6), draw_mask(generator, 2, 1, 4, 5))
    yield case("no leading dimension, an empty row", (), (4, 5, 6, 3), draw_mask(generator, 4, 5, empty=True))
    yield case("L == S, an empty row", (2, 3), (5, 5, 4, 6), draw_mask(generator, 2, 3, 5, 5, empty=True))
    yield case("mask per batch entry, three dimensions", (3,), (4, 6, 5, 5), draw_mask(generator, 3, 4, 6))
    yield _large_logits(generator)
    yield _half(generator)


def _large_logits(generator: Generator) -> Probe:
    """Scores of some tens of thousands, of both signs, and in some rows all of them below -10,000."""
    query, key = draw_normal(generator, 2, 4, 8), draw_normal(generator, 2, 5, 8).abs() + 1.0
    query[:, 0], query[:, 1] = -query[:, 0].abs() - 1.0, query[:, 1].abs() + 1.0
    inputs: dict[str, Input] = {"query": query * 80.0, "key": key * 80.0, "value": draw_normal(generator, 2, 5, 3)}
    inputs["mask"] = draw_mask(generator, 2, 4, 5)
    return Probe("scores beyond 10,000", "sdpa", "scaled_dot_product_attention", inputs=inputs)


def _half(generator: Generator) -> Probe:
    """float16: the scores fit when they are scaled; their unscaled products do in one row of three only.

    Each row has one winner, so that no digit is lost to the dtype.
    """
    E, S = 8, 5
    query = torch.full((2, 3, E), 100.0, dtype=torch.float64)
    height = torch.stack([torch.randperm(S, generator=generator), torch.randperm(S, generator=generator)])
    # products 48,000 to 112,000 in steps of 16,000, and 65,504 is the largest number there is
    key = (60.0 + 20.0 * height).to(torch.float64).unsqueeze(-1).expand(2, S, E).contiguous()
    value = draw_normal(generator, 2, S, 4)
    tensors: dict[str, Input] = {"query": query.half(), "key": key.half(), "value": value.half()}
    mask = torch.stack([height > 0, height < 2, height > 2], dim=1)
    return Probe("float16", "sdpa", "scaled_dot_product_attention", inputs=tensors | {"mask": mask})


def _causal(generator: Generator) -> Iterator[Probe]:
    for query_len, key_len in ((5, None), (3, 7), (1, 6), (4, 5)):
        lengths: dict[str, Input] = {"query_len": query_len, "key_len": key_len}
        yield Probe(f"lengths {query_len} and {key_len}", "causal_mask", "causal_mask", inputs=lengths)
    for shape, dtype in (((3, 5), torch.float32), ((2, 4, 3), torch.float64), ((5, 4), torch.float16)):
        given: dict[str, Input] = {"mask": draw_mask(generator, *shape), "dtype": dtype}
        yield Probe(f"{len(shape)} dimensions in {dtype}", "causal_mask", "additive_mask", inputs=given)


def _layer(kata: str, generator: Generator) -> Iterator[Probe]:
    Mask = Callable[[Sizes], Tensor | None]

    def case(name: str, sizes: Sizes, mask: Mask, dropout: float = 0.0, training: bool = False) -> Probe:
        D, bias = sizes.H * sizes.E, sizes.L != sizes.H  # the probe with L == H is the one without biases
        K = {"mha": sizes.H, "mqa": 1}.get(kata, sizes.K)
        arguments: Arguments = {"d_model": D, "num_heads": sizes.H}
        if kata == "gqa":
            arguments["num_kv_heads"] = K
        arguments |= {"dropout": dropout, "bias": bias}
        query, key = draw_normal(generator, sizes.B, sizes.L, D), draw_normal(generator, sizes.B, sizes.S, D)
        inputs: dict[str, Input] = {"query": query, "key": key, "value": draw_normal(generator, sizes.B, sizes.S, D)}
        inputs["mask"] = mask(sizes)
        weights = draw_weights(generator, D, K * sizes.E, bias)
        return Probe(name, kata, CLASSES[kata], arguments, weights, inputs, training=training)

    def random(*axes: str, empty: bool = False) -> Mask:
        return lambda sizes: draw_mask(generator, *(getattr(sizes, a) if a != "1" else 1 for a in axes), empty=empty)

    def nothing(sizes: Sizes) -> None:
        return None

    yield case("no mask, training without dropout", Sizes(4, 7, 8, 6, 2, 5), nothing, training=True)
    yield case("mask (B, 1, L, S)", Sizes(2, 4, 5, 6, 3, 7), random("B", "1", "L", "S"))
    yield case("mask (B, H, L, S), an empty row", Sizes(2, 5, 7, 6, 3, 4), random("B", "H", "L", "S", empty=True))
    yield case("mask (L, S), L == S", Sizes(2, 5, 5, 6, 2, 4), random("L", "S"))
    yield case("mask (L, S), B == L == H, no biases", Sizes(4, 4, 7, 4, 2, 5), random("L", "S"))
    yield case("mask (B, L, S), B == H, an empty row", Sizes(4, 5, 6, 4, 2, 3), random("B", "L", "S", empty=True))
    yield case("dropout 1.0, training", Sizes(2, 4, 5, 6, 3, 3), nothing, 1.0, training=True)
    yield case("dropout 1.0, training, mask (L, S)", Sizes(3, 5, 4, 6, 2, 3), random("L", "S"), 1.0, training=True)
    yield case("dropout 1.0, evaluation, L == S", Sizes(2, 4, 4, 6, 2, 3), nothing, 1.0)


def _cached(generator: Generator) -> Iterator[Probe]:
    def case(name: str, sizes: Sizes, chunks: tuple[int, ...], bias: bool, resume: tuple[int, ...] = ()) -> Probe:
        training = not bias  # it makes no difference here
        D = sizes.H * sizes.E
        arguments: Arguments = {"d_model": D, "num_heads": sizes.H, "num_kv_heads": sizes.K, "bias": bias}
        weights = draw_weights(generator, D, sizes.K * sizes.E, bias)
        inputs: dict[str, Input] = {"x": draw_normal(generator, sizes.B, sum(chunks), D)}
        symbol = CLASSES["gqa_kv_cache"]
        return Probe(name, "gqa_kv_cache", symbol, arguments, weights, inputs, training, chunks, resume)

    yield case("one chunk", Sizes(2, 0, 0, 6, 3, 5), (4,), True)
    yield case("chunks of 3, 4 and 2", Sizes(4, 0, 0, 6, 2, 5), (3, 4, 2), True)
    yield case("chunks of 2, 2 and 4", Sizes(3, 0, 0, 4, 2, 5), (2, 2, 4), False)
    yield case("one token at a time after 3", Sizes(2, 0, 0, 6, 3, 4), (3, 1, 1), True)
    resume = (-1, 0, 0, -1)
    yield case("a prefix continued twice, then a new sequence", Sizes(1, 0, 0, 6, 2, 3), (3, 2, 2, 2), True, resume)


def dropout_probe(kata: str, seed: int) -> Probe:
    """Half of what dropout touches is dropped, and the output shows what that was.

    value is twice the identity, side by side, and every projection is the identity: the output of a head is its
    weights, each twice, and 10, the bias of o_proj, on top of all. A right answer is not one tensor here: what is
    compared is the pattern of what was dropped.
    """
    generator = torch.Generator().manual_seed(seed)
    B, L, S, H, E = 4, 5, 3, 2, 6
    eye = torch.eye(H * E, dtype=torch.float64)
    kv = eye[: H * E if kata == "mha" else E]
    weights = {"q_proj": eye, "k_proj": kv, "v_proj": kv, "o_proj": eye}
    twice = torch.eye(S, dtype=torch.float64).repeat(1, 2 * H).expand(B, S, H * E)
    inputs: dict[str, Input] = {
        "query": draw_normal(generator, B, L, H * E),
        "key": draw_normal(generator, B, S, H * E),
        "value": twice.contiguous(),
        "mask": None,
    }
    arguments: Arguments = {"d_model": H * E, "num_heads": H, "dropout": 0.5, "bias": True}
    if kata == "gqa":
        arguments = {"d_model": H * E, "num_heads": H, "num_kv_heads": 1, "dropout": 0.5, "bias": True}
    state = {f"{name}.weight": weight.clone() for name, weight in weights.items()}
    state |= {f"{name}.bias": weight.new_zeros(weight.size(0)) for name, weight in weights.items()}
    state["o_proj.bias"] = state["o_proj.bias"] + 10.0
    return Probe("half dropped", kata, CLASSES[kata], arguments, state, inputs, training=True)
