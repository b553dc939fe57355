"""Weights for layers with other parameters than they should have."""

import torch

from grading.candidate.weights import fitted

WEIGHTS = {
    "q.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    "q.bias": torch.tensor([5.0, 6.0]),
    "k.weight": torch.tensor([[7.0, 8.0]]),
    "k.bias": torch.tensor([9.0]),
}


def found(shapes):
    return {name: weight.tolist() for name, weight in fitted(WEIGHTS, shapes).items()}


def test_what_fits_is_taken_as_it_is():
    assert fitted(WEIGHTS, {name: list(weight.shape) for name, weight in WEIGHTS.items()}) is WEIGHTS


def test_under_other_names_each_layer_gets_its_own():
    shapes = {"W_q.weight": (2, 2), "W_q.bias": (2,), "W_k.weight": (1, 2), "W_k.bias": (1,)}
    assert list(found(shapes).values()) == [weight.tolist() for weight in WEIGHTS.values()]


def test_in_one_layer_for_all_they_lie_as_they_are_listed():
    assert found({"qk.weight": (3, 2), "qk.bias": (3,)}) == {
        "qk.weight": [[1.0, 2.0], [3.0, 4.0], [7.0, 8.0]],
        "qk.bias": [5.0, 6.0, 9.0],
    }


def test_a_layer_of_another_width_gets_its_own_rows_from_the_first_again():
    assert found({"q.weight": (1, 2), "k.weight": (2, 2)}) == {
        "q.weight": [[1.0, 2.0]],
        "k.weight": [[7.0, 8.0], [7.0, 8.0]],
    }


def test_a_bias_that_is_too_many_is_zero():
    without = {name: weight for name, weight in WEIGHTS.items() if name.endswith("weight")}
    shapes = {name: weight.shape for name, weight in WEIGHTS.items()}
    assert [fitted(without, shapes)[name].tolist() for name in ("q.bias", "k.bias")] == [[0.0, 0.0], [0.0]]
