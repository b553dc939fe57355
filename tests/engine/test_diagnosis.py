"""The diagnosis: the pipeline is right, every mistake is told from every other, and nothing else is named."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from grading.diagnosis import search
from grading.diagnosis.diagnose import Decode, Facts, Observation, diagnose, result
from grading.diagnosis.evidence import Shapes
from grading.diagnosis.mistakes import CATALOGUE, catalogue
from grading.diagnosis.mistakes.layers import _shapes
from grading.diagnosis.pipeline import PROGRAMS, State, run, start
from grading.diagnosis.probes import KATAS, Probe, dropout_probe, probes
from grading.diagnosis.search import Combination, Walk, ways

SEED = 20261123
LAYERS = ("mha", "gqa", "gqa_kv_cache", "mqa")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small are slower with two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """PyTorch's own attention; a query that may attend to nothing gets zeros from it."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def of_layer(probe: Probe, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropped: float) -> Tensor:
    """A layer by PyTorch's own functions."""
    H = int(probe.arguments["num_heads"])
    E = query.size(-1) // H
    q, k, v = (
        F.linear(x, probe.weights[f"{n}.weight"], probe.weights.get(f"{n}.bias")).unflatten(-1, (-1, E)).transpose(1, 2)
        for n, x in (("q_proj", query), ("k_proj", key), ("v_proj", value))
    )
    mask = mask.unsqueeze(1) if mask is not None and mask.dim() == 3 else mask
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True) * (1 - dropped)
    return F.linear(heads.transpose(1, 2).flatten(2), probe.weights["o_proj.weight"], probe.weights.get("o_proj.bias"))


def by_pytorch(probe: Probe) -> Tensor:
    """What PyTorch gives for a probe that is one call."""
    if probe.symbol == "causal_mask":
        L, S = probe.inputs["query_len"], probe.inputs["key_len"]
        S = L if S is None else S
        return torch.ones(L, S).cumsum(dim=1) <= torch.arange(1, L + 1)[:, None] + S - L
    if probe.symbol == "additive_mask":
        return torch.where(probe.inputs["mask"], 0.0, -math.inf).to(probe.inputs["dtype"])
    if probe.kata == "sdpa":
        return attended(*probe.inputs.values())
    dropped = float(probe.arguments["dropout"]) if probe.training else 0.0
    return of_layer(probe, *probe.inputs.values(), dropped)


def close(wanted: Tensor, got: Tensor) -> bool:
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        return False
    scale = float(wanted.double().nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(wanted.double(), got.double(), rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("kata", [kata for kata in KATAS if kata != "gqa_kv_cache"])
def test_the_steps_give_what_pytorch_gives(kata: str) -> None:
    for probe in probes(kata, SEED):
        assert close(by_pytorch(probe), run(probe)["output"]), probe.name


def test_the_steps_of_a_cached_layer_give_what_one_causal_pass_gives() -> None:
    for probe in probes("gqa_kv_cache", SEED):
        outputs, x = run(probe), torch.split(probe.inputs["x"], list(probe.chunks), dim=1)
        history: list[Tensor] = []
        for i, (chunk, given) in enumerate(zip(x, probe.given, strict=True)):
            history.append(torch.cat([history[given], chunk], dim=1) if given >= 0 else chunk)
            S = history[i].size(1)
            mask = torch.ones(S, S, dtype=torch.bool).tril()
            whole = of_layer(probe, history[i], history[i], history[i], mask, 0.0)
            assert close(whole[:, -chunk.size(1) :], outputs[f"output.{i}"]), (probe.name, i)
        for name, layer in (("keys", "k_proj"), ("values", "v_proj")):
            E = x[0].size(-1) // int(probe.arguments["num_heads"])
            flat = F.linear(history[-1], probe.weights[f"{layer}.weight"], probe.weights.get(f"{layer}.bias"))
            assert close(flat.unflatten(-1, (-1, E)).transpose(1, 2), outputs[name]), (probe.name, name)


def seen(probe: Probe, combination: Combination = ()) -> Observation:
    """As if a learner had made these mistakes."""
    given = result(probe, combination)
    return Observation(probe, None, f"RuntimeError: {given}") if isinstance(given, str) else Observation(probe, given)


def named(kata: str, combination: Combination = (), facts: Facts | None = None) -> list[str]:
    observations = [seen(probe, combination) for probe in probes(kata, SEED)]
    return [cause.name for cause in diagnose(kata, observations, facts or Facts())]


@pytest.mark.parametrize("kata", KATAS)
def test_every_mistake_is_named_and_no_other(kata: str) -> None:
    for way in ways(catalogue(kata)):
        assert named(kata, (way,)) == [way.mistake.name]


@pytest.mark.parametrize("kata", KATAS)
def test_single_mistakes_differ_on_some_probe(kata: str) -> None:
    marks: dict[tuple[object, ...], str] = {}
    for way in ways(catalogue(kata)):
        mark = tuple(signature(result(probe, (way,))) for probe in probes(kata, SEED))
        assert marks.setdefault(mark, way.mistake.name) == way.mistake.name


def signature(given: dict[str, Tensor] | str) -> object:
    return given if isinstance(given, str) else tuple((tuple(x.shape), x.dtype, digits(x)) for x in given.values())


def digits(x: Tensor) -> bytes:
    """Eight digits of each number; NaN and the infinities are numbers that nothing else is."""
    return (x.double().nan_to_num(1e9, 2e9, -2e9) * 1e8).round().numpy().tobytes()


@pytest.mark.parametrize("kata", ["sdpa"])  # of a layer as many do, 1,772 of 2,023 for gqa, and it takes a second
def test_most_pairs_differ_on_some_probe(kata: str, record_property: Callable[[str, object], None]) -> None:
    marks: dict[frozenset[str], list[bytes]] = {}
    for probe in probes(kata, SEED):

        def found(chosen: Combination, state: State) -> None:
            names = frozenset(way.mistake.name for way in chosen)
            if len(names) == 2:
                marks.setdefault(names, []).append(digits(state.output))

        Walk(PROGRAMS[probe.symbol], ways(catalogue(kata)), found).go(0, start(probe), {}, (), 2)
    times = Counter(map(tuple, marks.values()))
    alone = sum(times[tuple(mark)] == 1 for mark in marks.values())
    record_property("pairs", f"{alone} of {len(marks)} pairs are alone with their outputs")
    assert alone >= 0.8 * len(marks)


@pytest.mark.parametrize("kata", KATAS)
def test_a_right_answer_has_no_cause(kata: str) -> None:
    assert named(kata) == []


@pytest.mark.parametrize("kata", KATAS)
@pytest.mark.parametrize(
    "spoil",
    [lambda x: x + 1e-6 * torch.rand_like(x), lambda x: x * 0, lambda x: x * math.nan],
    ids=["noise", "zero", "nan"],
)
def test_what_no_mistake_gives_has_no_cause(kata: str, spoil: object) -> None:
    observations = []
    for probe in probes(kata, SEED):
        right = run(probe)
        if probe.symbol != "causal_mask" and probe.symbol != "additive_mask":
            right = {name: spoil(x) if "output" in name else x for name, x in right.items()}  # type: ignore[operator]
        elif probe.symbol == "causal_mask":
            right = {"output": right["output"].roll(1, dims=-1)}
        observations.append(Observation(probe, right))
    assert diagnose(kata, observations, Facts()) == []


def test_an_error_alone_has_no_cause() -> None:
    observations = [
        Observation(probe, None, "NameError: name 'scroes' is not defined") for probe in probes("gqa", SEED)
    ]
    assert diagnose("gqa", observations, Facts()) == []


def test_two_mistakes_are_both_named() -> None:
    wanted = [("scale-d-model", "kv-heads-tiled"), ("mask-inverted", "merge-without-transpose")]
    for names in wanted:
        pair = tuple(next(way for way in ways(catalogue("gqa")) if way.mistake.name == name) for name in names)
        assert sorted(named("gqa", pair)) == sorted(names)


def test_one_mistake_in_each_function_is_two_causes() -> None:
    names = ("triangle-top-left", "additive-positive")
    pair = tuple(next(way for way in ways(catalogue("causal_mask")) if way.mistake.name == name) for name in names)
    assert named("causal_mask", pair) == list(names)


@pytest.mark.parametrize("kata", LAYERS)
def test_the_search_is_bounded(kata: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in steps and not in time: about 5 microseconds each."""
    count = 0
    attempt = search.attempt

    def counted(step: object, state: object) -> object:
        nonlocal count
        count += 1
        return attempt(step, state)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "attempt", counted)
    observations = [Observation(p, {n: x + 0.1 for n, x in run(p).items()}) for p in probes(kata, SEED)]
    assert diagnose(kata, observations, Facts()) == []
    assert count < 20_000


def test_names_are_unique_and_every_text_is_a_clause() -> None:
    assert len({mistake.name for mistake in CATALOGUE}) == len(CATALOGUE) >= 45
    for mistake in CATALOGUE:
        assert not mistake.sentence.endswith("."), mistake.name
        assert mistake.symptom.endswith("."), mistake.name
        assert bool(mistake.swaps) != (mistake.proof is not None), mistake.name
        assert "#" in mistake.notebook


ARGUMENTS = {"d_model": 24, "num_heads": 6, "num_kv_heads": 2}


def state(widths: tuple[int, int, int, int], *biased: str) -> Facts:
    shapes: Shapes = _shapes(24, widths, biased or ("q_proj", "k_proj", "v_proj", "o_proj"))
    return Facts(state=shapes, arguments=ARGUMENTS)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("kv-projections-full-width", state((24, 24, 24, 24))),
        ("kv-projections-of-group-size", state((24, 12, 12, 24))),
        ("kv-projections-of-one-head", state((24, 4, 4, 24))),
        ("key-bias-missing", state((24, 8, 8, 24), "q_proj", "v_proj", "o_proj")),
        ("layers-in-a-list", Facts(state={}, arguments=ARGUMENTS)),
        ("divisibility-unchecked", Facts(raised={"d_model": "", "num_heads": "ValueError"})),
        ("groups-unchecked", Facts(raised={"d_model": "ValueError", "num_heads": ""})),
        ("assert-instead-of-error", Facts(raised={"d_model": "AssertionError"})),
        ("query-changed-in-place", Facts(modified=("query",))),
        ("empty-row-nan-gradient", Facts(nan_gradients=("query", "key"))),
    ],
)
def test_what_no_output_shows_is_named_from_the_facts(name: str, facts: Facts) -> None:
    assert named("gqa", facts=facts) == [name]


def test_projecting_all_tokens_is_named_from_the_cost() -> None:
    D, S, kv = 24, 41, 8
    new, every = (4 * D * D + 4 * n * D * kv + 4 * S * D for n in (1, S))
    assert named("gqa_kv_cache", facts=Facts(decode=Decode(every, 40, D, 6, 2))) == ["all-tokens-projected"]
    assert named("gqa_kv_cache", facts=Facts(decode=Decode(new, 40, D, 6, 2))) == []


@pytest.mark.parametrize("kata", ["mha", "gqa", "mqa"])
def test_where_dropout_acts_is_named_from_its_pattern(kata: str) -> None:
    probe = dropout_probe(kata, SEED)
    generator = torch.Generator().manual_seed(SEED)
    right = run(replace(probe, training=False))["output"]
    weights = (right - 10.0).unflatten(-1, (2, 2, 3))  # (B, L, H, copies, S)
    B, L = right.shape[:2]

    def given(factor: float, *shape: int) -> list[str]:
        kept = torch.rand(*shape, generator=generator) < 0.5
        output = (weights * kept * factor).flatten(2) + 10.0
        return named(kata, facts=Facts(dropped=Observation(probe, {"output": output})))

    assert given(2.0, B, L, 2, 1, 3) == []
    assert given(2.0, B, 1, 2, 2, 3) == ["dropout-on-values"]
    assert given(2.0, B, L, 2, 2, 3) == ["dropout-on-heads"]
    assert given(1.0, B, L, 2, 1, 3) == ["dropout-unscaled"]
