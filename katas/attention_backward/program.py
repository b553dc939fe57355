"""The backward pass of attention in named steps: what the diagnosis runs, right or with mistakes in it.

The forward pass is that of all attention (katas/attention/program.py), whose mistakes can be made here too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grading.diagnosis.transcript import Transcript
from katas.attention.program import Core


class AttentionBackward(Core):
    """The function of the kata. In its own steps `gradient` stands for a derivative of the loss."""

    takes_a_mask = True

    upstream: Tensor  # (..., L, Ev), the gradient of the output
    dtype: torch.dtype
    mixing: Tensor  # (..., L, S), the weights by which value gets its gradient
    slope: Tensor  # (..., L, S), the gradient of the weights
    row_sum: Tensor  # (..., L, 1), the mean of the slopes of a row by its weights
    centred: Tensor  # (..., L, S), the slopes without it
    gradient: Tensor  # (..., L, S), that of the scores
    grad_query: Tensor
    grad_key: Tensor
    grad_value: Tensor

    @classmethod
    def idle(cls, check: Transcript) -> frozenset[str]:
        halves = frozenset() if check.half else frozenset({"choose_precision", "deliver_gradients"})
        masks = frozenset() if check.has_mask else frozenset({"find_mixing", "hide"})
        return super().idle(check) | halves | masks

    def __call__(
        self, grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Any:
        self.upstream, self.query, self.key, self.value, self.mask = grad_output, query, key, value, mask
        self.head_dim, self.dtype = query.size(-1), query.dtype
        self.choose_precision()
        self.receive()
        self.take_grad_output()
        self.attend()
        self._go_back()
        self.deliver_gradients()
        return self.hand_out()

    def _go_back(self) -> None:
        self.find_mixing()
        self.find_value_gradient()
        self.find_slopes()
        self.sum_rows()
        self.centre()
        self.weigh_slopes()
        self.hide()
        self.scale_query_gradient()
        self.find_query_gradient()
        self.scale_key_gradient()
        self.find_key_gradient()

    def choose_precision(self) -> None:
        """Half inputs are worked on in float32."""
        if self.dtype.itemsize < 4:
            self.upstream, self.query, self.key, self.value = (
                each.float() for each in (self.upstream, self.query, self.key, self.value)
            )

    def take_grad_output(self) -> None:
        """As it is given."""

    def find_mixing(self) -> None:
        self.mixing = self.weights

    def find_value_gradient(self) -> None:
        self.grad_value = self.mixing.transpose(-2, -1) @ self.upstream

    def find_slopes(self) -> None:
        self.slope = self.upstream @ self.value.transpose(-2, -1)

    def sum_rows(self) -> None:
        self.row_sum = (self.slope * self.weights).sum(dim=-1, keepdim=True)

    def centre(self) -> None:
        self.centred = self.slope - self.row_sum

    def weigh_slopes(self) -> None:
        self.gradient = self.weights * self.centred

    def hide(self) -> None:
        """Hidden scores have weights of zero: nothing is left to do."""

    def scale_query_gradient(self) -> None:
        self.to_query = self.factor

    def find_query_gradient(self) -> None:
        self.grad_query = self.gradient @ self.key * self.to_query

    def scale_key_gradient(self) -> None:
        self.to_key = self.factor

    def find_key_gradient(self) -> None:
        self.grad_key = self.gradient.transpose(-2, -1) @ self.query * self.to_key

    def deliver_gradients(self) -> None:
        """The dtype of the inputs."""
        self.grad_query, self.grad_key, self.grad_value = (
            each.to(self.dtype) for each in (self.grad_query, self.grad_key, self.grad_value)
        )

    def hand_out(self) -> Any:
        """What is returned."""
        return self.grad_query, self.grad_key, self.grad_value
