"""Mistakes on the way back through the softmax: from the gradients of the weights to those of the scores."""

from __future__ import annotations

import torch

from grading.diagnosis.mistake import Mistake
from katas.attention_backward.program import AttentionBackward


class RowSum(Mistake, AttentionBackward):
    see = "attention_backward#Where-the-row-sum-comes-from"


class Jacobian(Mistake, AttentionBackward):
    see = "attention_backward#The-Jacobian-of-softmax"


class RowSumMissing(RowSum):
    """nothing is subtracted: the gradient of a score is its weight times the gradient of the weight

    Each weight is treated as if it could grow alone, although the weights of a row sum to one.
    """

    def sum_rows(self) -> None:
        self.row_sum = torch.zeros_like(self.slope[..., :1])


class RowSumOverQueries(RowSum):
    """the sum of weight times gradient runs over the queries (dim=-2) instead of over the keys of a row

    A softmax that ran over rows is gone back through by columns.
    """

    def sum_rows(self) -> None:
        self.row_sum = (self.slope * self.weights).sum(dim=-2, keepdim=True)


class RowSumOverAll(RowSum):
    """the sum of weight times gradient runs over all queries and keys instead of over the keys of each row

    Queries that have nothing to do with each other change each other's gradients.
    """

    def sum_rows(self) -> None:
        self.row_sum = (self.slope * self.weights).sum(dim=(-2, -1), keepdim=True)


class _OverTheBatch(RowSumOverAll):
    def sum_rows(self) -> None:
        self.row_sum = (self.slope * self.weights).sum()


class RowSumUnweighted(RowSum):
    """the plain sum of the gradients of a row's weights is subtracted, without the weights in it

    It grows with the number of keys, seen or not.
    """

    def sum_rows(self) -> None:
        self.row_sum = self.slope.sum(dim=-1, keepdim=True)


class RowMeanUnweighted(RowSum):
    """the plain mean of the gradients of a row's weights is subtracted instead of the mean by the weights

    Right where all weights of a row are equal, and nowhere else.
    """

    def sum_rows(self) -> None:
        self.row_sum = self.slope.mean(dim=-1, keepdim=True)


class RowMeanForSum(RowSum):
    """the mean of weight times gradient is subtracted instead of the sum

    It is divided by the number of keys once too often.
    """

    def sum_rows(self) -> None:
        self.row_sum = (self.slope * self.weights).mean(dim=-1, keepdim=True)


class RowSumOfGradOutput(RowSum):
    """the sum of grad_output over the features is subtracted: grad_output is not multiplied by the output in it

    It is a number of another kind, with which equal values do not cancel.
    """

    def sum_rows(self) -> None:
        self.row_sum = self.upstream.sum(dim=-1, keepdim=True)


class RowSumAdded(RowSum):
    """the row sum is added instead of subtracted

    What is the same for all keys counts twice instead of cancelling.
    """

    def centre(self) -> None:
        self.centred = self.slope + self.row_sum


class RowSumSubtractedFirst(RowSum):
    """the gradients are turned round: the row sum minus the gradient of the weight

    Every gradient of query and key has the wrong sign.
    """

    def centre(self) -> None:
        self.centred = self.row_sum - self.slope


class RowSumOutsideTheWeight(RowSum):
    """the row sum is subtracted after the product with the weight, which belongs before both

    P * dP - sum instead of P * (dP - sum).
    """

    def centre(self) -> None:
        self.centred = self.slope

    def weigh_slopes(self) -> None:
        self.gradient = self.weights * self.centred - self.row_sum


class WeightNoFactor(Jacobian):
    """the gradients of a row, less their row sum, are not multiplied by the weights

    Hidden keys get a gradient, too.
    """

    def weigh_slopes(self) -> None:
        self.gradient = self.centred


class SoftmaxPassedOver(Jacobian):
    """the gradients of the weights are taken for those of the scores, as if there were no softmax

    Hidden keys get a gradient, too.
    """

    def centre(self) -> None:
        self.centred = self.slope

    def weigh_slopes(self) -> None:
        self.gradient = self.centred


class DiagonalAlone(Jacobian):
    """only the diagonal of the Jacobian is used, p (1 - p), as if the softmax were a sigmoid

    That a score lowers the weights of all other keys is left out.
    """

    def weigh_slopes(self) -> None:
        self.gradient = self.weights * (1 - self.weights) * self.slope


class WeightSquared(Jacobian):
    """the weight is a factor of the gradient of its score twice

    Small weights get next to no gradient.
    """

    def weigh_slopes(self) -> None:
        self.gradient = self.weights * self.weights * self.centred


class ScoresForWeights(Jacobian):
    """the scores are used where the weights belong, on the way back through the softmax

    Most often it is a variable that has been overwritten, or not.
    """

    def weigh_slopes(self) -> None:
        row_sum = (self.slope * self.scores).sum(dim=-1, keepdim=True)
        self.gradient = self.scores * (self.slope - row_sum)
