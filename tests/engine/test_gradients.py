"""Gradients of several outputs at once: the candidate and the replay of a program ask for them in the same way."""

import pytest
import torch

from grading.candidate.session import Session
from grading.diagnosis.program import Program
from grading.diagnosis.run import Run

SOURCE = """
def both(x):
    return 2 * x, (x * x).detach() if x[0] < 0 else x * x
"""


class Both(Program):
    def __call__(self, x):
        return 2 * x, (x * x).detach() if x[0] < 0 else x * x


def answered(x, cotangent):
    """The gradient of x over there, and in a replay."""
    request = {"do": "call", "layer": None, "symbol": "both", "args": [x.clone()], "same": [0], "kwargs": {}}
    request |= {"cotangent": cotangent, "leaves": True}
    session = Session([])
    exec(SOURCE, session.module.__dict__)
    replayed = Run(Both).step({**request, "args": [x.clone()]})
    return session.answer(request)["input_grads"][0], replayed["input_grads"][0]


@pytest.mark.parametrize(
    ("first", "cotangent", "wanted"),
    [
        (1.0, torch.tensor([1.0, 10.0]), [2.0, 20.0]),  # one cotangent: of the first output alone
        (1.0, (torch.tensor([1.0, 10.0]), torch.tensor([1.0, 1.0])), [4.0, 26.0]),
        (-1.0, (torch.tensor([1.0, 10.0]), torch.tensor([1.0, 1.0])), [2.0, 20.0]),  # the second one has none
    ],
    ids=["first output", "both outputs", "one of them detached"],
)
def test_each_output_has_its_cotangent(first, cotangent, wanted):
    x = torch.tensor([first, 3.0])
    for got in answered(x, cotangent):
        assert got.tolist() == wanted
