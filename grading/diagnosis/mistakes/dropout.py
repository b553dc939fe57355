"""Mistakes in dropout. Outputs show those that still differ when everything is dropped; facts show the others."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from grading.diagnosis.evidence import Facts
from grading.diagnosis.mistakes.record import CROSS, Mistake
from grading.diagnosis.mistakes.ways import leave
from grading.diagnosis.pipeline import State, linear, run
from grading.diagnosis.probes import Probe

_SECTION = "mha.ipynb#Dropout"


def _in_evaluation(state: State) -> State:
    return state._replace(weights=state.weights * (1.0 - state.dropout))


def _reversed(state: State) -> State:
    return state if state.training else _in_evaluation(state)


def _inverse(state: State) -> State:
    return state._replace(weights=state.weights * state.dropout) if state.training else state


def _scores_before_the_mask(state: State) -> State:
    if not (state.training and state.dropout):
        return state
    scores = torch.zeros_like(state.scores)
    if state.mask is not None:
        scores = scores.masked_fill(~state.mask, -math.inf)
    return state._replace(weights=scores.softmax(dim=-1).nan_to_num(0.0))


def _masked_scores(state: State) -> State:
    """A finite fill is dropped as well, and what is masked is cleared after the softmax."""
    if not (state.training and state.dropout):
        return state
    weights = torch.full_like(state.scores, 1.0 / state.scores.size(-1))
    return state._replace(weights=weights if state.mask is None else weights.masked_fill(~state.mask, 0.0))


def _output(state: State) -> State:
    output = linear(state, "o_proj", state.output)
    return state._replace(output=output * (1.0 - state.dropout) if state.training else output)


def _half_dropped(facts: Facts) -> tuple[Probe, Tensor, Tensor] | None:
    """The probe with dropout=0.5, its output without dropout, and the learner's."""
    seen = facts.dropped
    if seen is None or seen.outputs is None or "output" not in seen.outputs:
        return None
    right, got = run(replace(seen.probe, training=False))["output"], seen.outputs["output"]
    return (seen.probe, right, got) if got.shape == right.shape and got.dtype == right.dtype else None


def _pattern(facts: Facts) -> tuple[Tensor, Tensor] | None:
    """(B, H, L, 2, S), what was kept of every weight, in each of its two copies, and the factor it has then."""
    found = _half_dropped(facts)
    if found is None:
        return None
    probe, right, got = found
    heads = int(probe.arguments["num_heads"])
    bias = probe.weights["o_proj.bias"]
    ratio = ((got - bias) / (right - bias)).unflatten(-1, (heads, 2, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]
    return ratio.abs() > 1e-6, ratio


def _factors(kept: Tensor, ratio: Tensor, factor: float) -> bool:
    """Some are dropped, some are not, and those are multiplied by this."""
    close = (ratio[kept] - factor).abs() < 1e-6
    return bool(kept.any()) and not bool(kept.all()) and bool(close.all())


def _values_dropped(kata: str, facts: Facts) -> bool:
    found = _pattern(facts)
    if found is None or not _factors(*found, 2.0):
        return False
    kept = found[0]
    alike = bool((kept == kept[:, :, :1]).all())  # for all queries
    return alike and not torch.equal(kept[..., 0, :], kept[..., 1, :])


def _heads_dropped(kata: str, facts: Facts) -> bool:
    found = _pattern(facts)
    if found is None or not _factors(*found, 2.0):
        return False
    kept = found[0]
    return not bool((kept == kept[:, :, :1]).all()) and not torch.equal(kept[..., 0, :], kept[..., 1, :])


def _unscaled(kata: str, facts: Facts) -> bool:
    found = _pattern(facts)
    return found is not None and _factors(*found, 1.0) and torch.equal(found[0][..., 0, :], found[0][..., 1, :])


def _some_dropped(kata: str, facts: Facts) -> bool:
    """With dropout=0.5 something is dropped in training, whatever dropout=1 does."""
    found = _pattern(facts)
    return found is not None and not bool(found[0].all())


def _weights_dropped_too(kata: str, facts: Facts) -> bool:
    """Some of what is kept of the output is twice the bias alone: the weight that belongs to it was dropped."""
    found = _half_dropped(facts)
    if found is None:
        return False
    probe, _, got = found
    return bool(((got - 2.0 * probe.weights["o_proj.bias"]).abs() < 1e-9).any())


MISTAKES = (
    Mistake(
        "dropout-in-evaluation",
        CROSS,
        "drop",
        "the dropout does not look at self.training and drops in evaluation too",
        "Two calls in evaluation differ.",
        _SECTION,
        ({"drop": _in_evaluation},),
    ),
    Mistake(
        "dropout-never",
        CROSS,
        "drop",
        "dropout is never applied",
        "Training with dropout is training without.",
        _SECTION,
        ({"drop": leave},),
        denied=_some_dropped,
    ),
    Mistake(
        "dropout-reversed",
        CROSS,
        "drop",
        "dropout is applied in evaluation and not in training",
        "Two calls in evaluation differ, two in training do not.",
        _SECTION,
        ({"drop": _reversed},),
    ),
    Mistake(
        "dropout-keeps-instead",
        CROSS,
        "drop",
        "dropout is the probability of keeping a weight instead of dropping it",
        "With dropout=0.0 everything is dropped in training.",
        _SECTION,
        ({"drop": _inverse},),
    ),
    Mistake(
        "dropout-on-scores",
        CROSS,
        "drop",
        "dropout acts on the scores before the softmax instead of on the weights after it",
        "A dropped score is 0, and its key keeps a weight.",
        _SECTION,
        ({"drop": _scores_before_the_mask}, {"drop": _masked_scores}),
    ),
    Mistake(
        "dropout-on-output",
        CROSS,
        "project_out",
        "dropout acts on the output of o_proj instead of on the attention weights",
        "Features of the output vanish, its bias among them.",
        _SECTION,
        ({"drop": leave, "project_out": _output},),
        denied=_weights_dropped_too,
    ),
    Mistake(
        "dropout-on-values",
        CROSS,
        "drop",
        "dropout acts on the projected values instead of on the attention weights",
        "A feature of a value vanishes for all queries at once.",
        _SECTION,
        proof=_values_dropped,
    ),
    Mistake(
        "dropout-on-heads",
        CROSS,
        "drop",
        "dropout acts on the output of the heads before o_proj instead of on the attention weights",
        "Single features of a head vanish, and not a key for all of them.",
        _SECTION,
        proof=_heads_dropped,
    ),
    Mistake(
        "dropout-unscaled",
        CROSS,
        "drop",
        "the weights that are kept are not divided by 1 - dropout",
        "The outputs are smaller in training than in evaluation.",
        _SECTION,
        proof=_unscaled,
    ),
)
