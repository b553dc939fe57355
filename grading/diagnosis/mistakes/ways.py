"""Steps that several mistakes have in common."""

from grading.diagnosis.pipeline import State


def leave(state: State) -> State:
    """The step is left out."""
    return state


def cut_masked(state: State) -> State:
    """What is masked loses its weight after the softmax."""
    return state if state.mask is None else state._replace(weights=state.weights.masked_fill(~state.mask, 0.0))


def cut_empty(state: State) -> State:
    """A query that may attend to nothing loses its weights after the softmax."""
    if state.mask is None:
        return state
    return state._replace(weights=state.weights.masked_fill(~state.mask.any(dim=-1, keepdim=True), 0.0))
