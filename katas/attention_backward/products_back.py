"""Mistakes in the products: which factor, transposed or not, with which scale."""

from __future__ import annotations

import math

import torch

from grading.diagnosis.mistake import Mistake
from katas.attention_backward.program import AttentionBackward


class Products(Mistake, AttentionBackward):
    see = "attention_backward#Products"


class Scale(Mistake, AttentionBackward):
    see = "attention_backward#The-scale-once"


# ---------------------------------------------------------------------------------------------- products


class WeightsForTheirTranspose(Products):
    """the gradient of value is the weights times grad_output, without the transpose

    It raises an error where L and S differ, and sums over keys instead of queries where they are equal.
    """

    def find_value_gradient(self) -> None:
        self.grad_value = self.mixing @ self.upstream


class ScoreGradientsForTheirTranspose(Products):
    """the gradient of key is the gradients of the scores times query, without the transpose

    It raises an error where L and S differ, and sums over keys instead of queries where they are equal.
    """

    def find_key_gradient(self) -> None:
        self.grad_key = self.gradient @ self.query * self.to_key


class QueryGradientTransposed(Products):
    """the gradient of query is the transposed gradients of the scores times key

    It raises an error where L and S differ, and sums over queries instead of keys where they are equal.
    """

    def find_query_gradient(self) -> None:
        self.grad_query = self.gradient.transpose(-2, -1) @ self.key * self.to_query


class ValueForItsTranspose(Products):
    """the gradients of the weights are grad_output times value, without the transpose

    It raises an error where S and Ev differ, and sums over keys instead of features where they are equal.
    """

    def find_slopes(self) -> None:
        self.slope = self.upstream @ self.value


class OnesForGradOutput(Products):
    """grad_output is ignored: the gradients are those of the sum of the output

    Right for a grad_output of ones, which is what many tests take.
    """

    def take_grad_output(self) -> None:
        self.upstream = torch.ones_like(self.upstream)


class ValueGradientOfScores(Products):
    """the gradient of value is a product with the gradients of the scores instead of with the weights

    A value gets into the output by its weight.
    """

    def find_value_gradient(self) -> None:
        """It comes when the gradients of the scores are there."""

    def find_key_gradient(self) -> None:
        super().find_key_gradient()
        self.grad_value = self.gradient.transpose(-2, -1) @ self.upstream


class QueryKeyFactorsExchanged(Products):
    """the gradient of query is a product with query, and that of key one with key

    It raises an error where L and S differ.
    """

    def find_query_gradient(self) -> None:
        self.grad_query = self.gradient @ self.query * self.to_query

    def find_key_gradient(self) -> None:
        self.grad_key = self.gradient.transpose(-2, -1) @ self.key * self.to_key


# ------------------------------------------------------------------------------------------------- scale


class ScaleForgottenBehind(Scale):
    """the gradients of query and key are not multiplied by 1/sqrt(E), which the scores were

    They are sqrt(E) times too large.
    """

    def scale_query_gradient(self) -> None:
        self.to_query = 1.0

    def scale_key_gradient(self) -> None:
        self.to_key = 1.0


class ScaleOfQueryForgotten(Scale):
    """the gradient of query is not multiplied by 1/sqrt(E), and that of key is

    So it goes where the scaled key is at hand, or the query was scaled before the product.
    """

    def scale_query_gradient(self) -> None:
        self.to_query = 1.0


class ScaleOfKeyForgotten(Scale):
    """the gradient of key is not multiplied by 1/sqrt(E), and that of query is

    The query that key is multiplied by is the one before its scaling.
    """

    def scale_key_gradient(self) -> None:
        self.to_key = 1.0


class ScaleTwiceBehind(Scale):
    """the gradients of query and key are multiplied by 1/sqrt(E) twice

    Once with the gradients of the scores, and once more at the end.
    """

    def scale_query_gradient(self) -> None:
        self.to_query = self.factor**2

    def scale_key_gradient(self) -> None:
        self.to_key = self.factor**2


class ScaleOfQueryTwice(Scale):
    """the gradient of query is multiplied by 1/sqrt(E) twice, that of key once

    Both got it with the gradients of the scores, and query once more.
    """

    def scale_query_gradient(self) -> None:
        self.to_query = self.factor**2


class ScaleOfKeyTwice(Scale):
    """the gradient of key is multiplied by 1/sqrt(E) twice, that of query once

    The gradients of the scores have the factor already, and so has the query that was scaled before the product.
    """

    def scale_key_gradient(self) -> None:
        self.to_key = self.factor**2


class ScaleOfValueToo(Scale):
    """the gradient of value is multiplied by 1/sqrt(E) too

    Value takes no part in the scores.
    """

    def find_value_gradient(self) -> None:
        super().find_value_gradient()
        self.grad_value = self.grad_value * self.factor


class ScaleByValueDim(Scale):
    """the scale is 1/sqrt(Ev), of the values, instead of 1/sqrt(E), of queries and keys

    Right where both have the same number of features.
    """

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.value.size(-1))
