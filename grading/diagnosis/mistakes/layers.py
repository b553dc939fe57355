"""Mistakes in the layers: the state_dict shows them."""

from collections.abc import Callable

from grading.diagnosis.evidence import Facts, Shapes
from grading.diagnosis.mistakes.record import GROUPED, LAYERS, Mistake

_SIZES = "mha.ipynb#Parameters"
_GROUPS = "gqa.ipynb#Parameters"
_ONE = "mqa.ipynb#Parameters"
_NAMES = ("q_proj", "k_proj", "v_proj", "o_proj")
_Widths = tuple[int, int, int, int]


def _sizes(kata: str, facts: Facts) -> tuple[int, int, int]:
    """D, K, E"""
    D, H = facts.arguments["d_model"], facts.arguments["num_heads"]
    return D, {"mha": H, "mqa": 1}.get(kata, facts.arguments.get("num_kv_heads", H)), D // H


def _shapes(D: int, widths: _Widths, biases: tuple[str, ...] = _NAMES) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (width, D) for name, width in zip(_NAMES, widths, strict=True)}
    return shapes | {f"{n}.bias": (w,) for n, w in zip(_NAMES, widths, strict=True) if n in biases}


def _right(kata: str, facts: Facts, biases: tuple[str, ...] = _NAMES) -> Shapes:
    D, K, E = _sizes(kata, facts)
    return _shapes(D, (D, K * E, K * E, D), biases)


def _state(widths: Callable[[int, int, int, int], _Widths]) -> Callable[[str, Facts], bool]:
    """Whether the layers have these widths, widths(D, H, K, E), where others are right."""

    def proof(kata: str, facts: Facts) -> bool:
        if facts.state is None or not facts.arguments:
            return False
        D, K, E = _sizes(kata, facts)
        expected = widths(D, D // E, K, E)
        return expected != (D, K * E, K * E, D) and dict(facts.state) == _shapes(D, expected)

    return proof


def _biases(*names: str) -> Callable[[str, Facts], bool]:
    """Whether bias=True gives biases to these layers alone."""

    def proof(kata: str, facts: Facts) -> bool:
        return bool(facts.arguments) and facts.state == _right(kata, facts, names)

    return proof


def _always_biased(kata: str, facts: Facts) -> bool:
    return bool(facts.arguments) and facts.state_without_bias == _right(kata, facts)


def _no_output_layer(kata: str, facts: Facts) -> bool:
    if facts.state is None or not facts.arguments:
        return False
    return dict(facts.state) == {n: s for n, s in _right(kata, facts).items() if not n.startswith("o_proj")}


def _layer(
    name: str, katas: tuple[str, ...], sentence: str, symptom: str, proof: Callable[[str, Facts], bool]
) -> Mistake:
    section = _SIZES if katas == LAYERS else _ONE if katas == ("mqa",) else _GROUPS
    return Mistake(name, katas, "layers", sentence, symptom, section, proof=proof)


MISTAKES = (
    _layer(
        "kv-projections-full-width",
        (*GROUPED, "mqa"),
        "k_proj and v_proj are Linear(d_model, d_model), as wide as q_proj, as in multi-head attention",
        "Nothing is saved: each query head has keys and values of its own.",
        _state(lambda D, H, K, E: (D, D, D, D)),
    ),
    _layer(
        "v-projection-full-width",
        (*GROUPED, "mqa"),
        "v_proj is Linear(d_model, d_model), as wide as q_proj; only k_proj is narrow",
        "Keys and values have different numbers of heads.",
        _state(lambda D, H, K, E: (D, K * E, D, D)),
    ),
    _layer(
        "kv-projections-of-group-size",
        GROUPED,
        "k_proj and v_proj have num_heads // num_kv_heads heads, the size of a group, instead of num_kv_heads",
        "The number of groups and the size of a group are mixed up.",
        _state(lambda D, H, K, E: (D, H // K * E, H // K * E, D)),
    ),
    _layer(
        "kv-projections-of-one-head",
        GROUPED,
        "k_proj and v_proj have the width of one head, as in multi-query attention, instead of num_kv_heads heads",
        "All query heads would have to share one key/value head.",
        _state(lambda D, H, K, E: (D, E, E, D)),
    ),
    _layer(
        "kv-projections-without-head-dim",
        GROUPED,
        "k_proj and v_proj are Linear(d_model, num_kv_heads), without the factor head_dim",
        "A key/value head has one feature.",
        _state(lambda D, H, K, E: (D, K, K, D)),
    ),
    _layer(
        "all-projections-of-one-head",
        ("mqa",),
        "q_proj has the width of one head too, like k_proj and v_proj",
        "There is one query head instead of num_heads.",
        _state(lambda D, H, K, E: (E, E, E, D)),
    ),
    _layer(
        "key-bias-missing",
        LAYERS,
        "k_proj has no bias while the others have one",
        "No output shows it, as the softmax cancels a bias of the keys; the state_dict does.",
        _biases("q_proj", "v_proj", "o_proj"),
    ),
    _layer(
        "output-bias-missing",
        LAYERS,
        "o_proj has no bias while the others have one",
        "bias=True is for all four layers.",
        _biases("q_proj", "k_proj", "v_proj"),
    ),
    _layer(
        "input-biases-missing",
        LAYERS,
        "o_proj has a bias while q_proj, k_proj and v_proj have none",
        "bias=True is for all four layers.",
        _biases("o_proj"),
    ),
    _layer(
        "bias-never",
        LAYERS,
        "the layers have no bias, whatever the argument bias says",
        "bias=True, the default, has no effect.",
        _biases(),
    ),
    _layer(
        "bias-always",
        LAYERS,
        "the layers have a bias, whatever the argument bias says",
        "bias=False has no effect.",
        _always_biased,
    ),
    _layer(
        "output-layer-missing",
        LAYERS,
        "there is no layer o_proj",
        "The heads never mix.",
        _no_output_layer,
    ),
    _layer(
        "layers-in-a-list",
        LAYERS,
        "the layers are not registered: they are in a plain list or dict, which nn.Module does not look into",
        "The state_dict is empty and an optimiser finds no parameters.",
        lambda kata, facts: facts.state == {},
    ),
)
