"""Mistakes in what is projected, by which layer, and in the output projection."""

from grading.diagnosis.mistakes.record import CROSS, LAYERS, Mistake, Swap
from grading.diagnosis.mistakes.ways import leave
from grading.diagnosis.pipeline import State, linear

_SECTION = "mha.ipynb#Projections"


def _feed(query: str, key: str, value: str) -> Swap:
    def feed(state: State) -> State:
        given = {"query": state.query, "key": state.key, "value": state.value}
        return state._replace(query=given[query], key=given[key], value=given[value])

    return {"feed": feed}


def _project(query: str, key: str, value: str) -> Swap:
    """By these layers; "" is none."""

    def project(state: State) -> State:
        tensors = (state.query, state.key, state.value)
        done = [linear(state, n, x) if n else x for n, x in zip((query, key, value), tensors, strict=True)]
        return state._replace(query=done[0], key=done[1], value=done[2])

    return {"project": project}


def _without_bias(state: State) -> State:
    q, k, v = (state.layers[f"{name}.weight"].T for name in ("q_proj", "k_proj", "v_proj"))
    return state._replace(query=state.query @ q, key=state.key @ k, value=state.value @ v)


def _untransposed(state: State) -> State:
    done = []
    for name, x in (("q_proj", state.query), ("k_proj", state.key), ("v_proj", state.value)):
        done.append(x @ state.layers[f"{name}.weight"] + state.layers.get(f"{name}.bias", 0.0))
    return state._replace(query=done[0], key=done[1], value=done[2])


def _out_without_bias(state: State) -> State:
    return state._replace(output=state.output @ state.layers["o_proj.weight"].T)


def _out_untransposed(state: State) -> State:
    weight, bias = state.layers["o_proj.weight"], state.layers.get("o_proj.bias", 0.0)
    return state._replace(output=state.output @ weight + bias)


def _fed(name: str, sentence: str, symptom: str, roles: Swap) -> Mistake:
    return Mistake(name, CROSS, "feed", sentence, symptom, "mha.ipynb#Cross-attention", (roles,))


def _made(
    name: str, katas: tuple[str, ...], sentence: str, symptom: str, *swaps: Swap, step: str = "project"
) -> Mistake:
    return Mistake(name, katas, step, sentence, symptom, _SECTION, swaps)


MISTAKES = (
    _fed(
        "value-from-key",
        "v_proj is given key instead of value",
        "Right as long as key and value are the same tensor, wrong otherwise.",
        _feed("query", "key", "key"),
    ),
    _fed(
        "key-from-value",
        "k_proj is given value instead of key",
        "Right as long as key and value are the same tensor, wrong otherwise.",
        _feed("query", "value", "value"),
    ),
    _fed(
        "key-value-exchanged",
        "k_proj is given value and v_proj is given key",
        "Right as long as key and value are the same tensor, wrong otherwise.",
        _feed("query", "value", "key"),
    ),
    _fed(
        "key-from-query",
        "k_proj is given query instead of key",
        "Self-attention is right; with another key it fails, or is wrong where L == S.",
        _feed("query", "query", "value"),
    ),
    _fed(
        "value-from-query",
        "v_proj is given query instead of value",
        "Self-attention is right; with another value it fails, or is wrong where L == S.",
        _feed("query", "key", "query"),
    ),
    _fed(
        "self-attention-only",
        "query, key and value are all projected from query",
        "Self-attention is right; in cross-attention key and value have no effect.",
        _feed("query", "query", "query"),
    ),
    _fed(
        "cross-attention-reversed",
        "the queries are projected from key, and the keys and values from query",
        "The output has S rows, one for each key, instead of L.",
        _feed("key", "query", "query"),
    ),
    _made(
        "kv-projections-exchanged",
        LAYERS,
        "the keys go through v_proj and the values through k_proj",
        "Trains, and cannot read weights that others have trained.",
        _project("q_proj", "v_proj", "k_proj"),
    ),
    _made(
        "values-through-k-proj",
        LAYERS,
        "the values go through k_proj, like the keys, and v_proj is not used",
        "v_proj has no effect and gets no gradient.",
        _project("q_proj", "k_proj", "k_proj"),
    ),
    _made(
        "keys-through-v-proj",
        LAYERS,
        "the keys go through v_proj, like the values, and k_proj is not used",
        "k_proj has no effect and gets no gradient.",
        _project("q_proj", "v_proj", "v_proj"),
    ),
    _made(
        "qk-projections-exchanged",
        ("mha",),
        "the queries go through k_proj and the keys through q_proj",
        "Trains, and cannot read weights that others have trained.",
        _project("k_proj", "q_proj", "v_proj"),
    ),
    _made(
        "one-projection-for-all",
        ("mha",),
        "query, key and value all go through q_proj",
        "k_proj and v_proj have no effect; in self-attention the scores are symmetric.",
        _project("q_proj", "q_proj", "q_proj"),
    ),
    _made(
        "keys-through-q-proj",
        ("mha",),
        "the keys go through q_proj, like the queries, and k_proj is not used",
        "In self-attention the scores are symmetric and every token looks at itself.",
        _project("q_proj", "q_proj", "v_proj"),
    ),
    _made(
        "query-unprojected",
        LAYERS,
        "the queries are not projected: q_proj is never applied",
        "q_proj has no effect and gets no gradient.",
        _project("", "k_proj", "v_proj"),
    ),
    _made(
        "key-unprojected",
        ("mha",),
        "the keys are not projected: k_proj is never applied",
        "k_proj has no effect and gets no gradient.",
        _project("q_proj", "", "v_proj"),
    ),
    _made(
        "value-unprojected",
        ("mha",),
        "the values are not projected: v_proj is never applied",
        "v_proj has no effect and gets no gradient.",
        _project("q_proj", "k_proj", ""),
    ),
    _made(
        "input-biases-forgotten",
        LAYERS,
        "the biases of q_proj, k_proj and v_proj are not added",
        "Right with bias=False, shifted otherwise.",
        {"project": _without_bias},
    ),
    _made(
        "input-weights-untransposed",
        ("mha",),
        "the inputs are multiplied by the weights of the projections instead of by their transposes",
        "Trains, and cannot read weights that others have trained.",
        {"project": _untransposed},
    ),
    _made(
        "output-unprojected",
        LAYERS,
        "the merged heads are returned without o_proj",
        "The heads never mix.",
        {"project_out": leave},
        step="project_out",
    ),
    _made(
        "output-bias-forgotten",
        LAYERS,
        "the bias of o_proj is not added",
        "Right with bias=False, shifted otherwise.",
        {"project_out": _out_without_bias},
        step="project_out",
    ),
    _made(
        "output-weight-untransposed",
        LAYERS,
        "the merged heads are multiplied by o_proj.weight instead of by its transpose",
        "Trains, and cannot read weights that others have trained.",
        {"project_out": _out_untransposed},
        step="project_out",
    ),
)
