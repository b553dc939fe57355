"""Mistakes in what is projected, by which layer, and in the output projection."""

from torch import Tensor

from grading.diagnosis.mistake import Mistake
from katas.attention.program import Layer, Projected


class Fed(Mistake, Layer):
    see = "mha#Cross-attention"


class ValueFromKey(Fed):
    """v_proj is given key instead of value

    Right as long as key and value are the same tensor, wrong otherwise.
    """

    often = True

    def feed(self) -> None:
        super().feed()
        self.value = self.inputs[1]


class KeyFromValue(Fed):
    """k_proj is given value instead of key

    Right as long as key and value are the same tensor, wrong otherwise.
    """

    def feed(self) -> None:
        super().feed()
        self.key = self.inputs[2]


class KeyValueExchanged(Fed):
    """k_proj is given value and v_proj is given key

    Right as long as key and value are the same tensor, wrong otherwise.
    """

    def feed(self) -> None:
        super().feed()
        self.key, self.value = self.inputs[2], self.inputs[1]


class KeyFromQuery(Fed):
    """k_proj is given query instead of key

    Self-attention is right; with another key it fails, or is wrong where L == S.
    """

    often = True

    def feed(self) -> None:
        super().feed()
        self.key = self.inputs[0]


class ValueFromQuery(Fed):
    """v_proj is given query instead of value

    Self-attention is right; with another value it fails, or is wrong where L == S.
    """

    often = True

    def feed(self) -> None:
        super().feed()
        self.value = self.inputs[0]


class SelfAttentionOnly(Fed):
    """query, key and value are all projected from query

    Self-attention is right; in cross-attention key and value have no effect.
    """

    often = True

    def feed(self) -> None:
        super().feed()
        self.key = self.value = self.inputs[0]


class _WhereShapesAgree(SelfAttentionOnly):
    def feed(self) -> None:
        super(SelfAttentionOnly, self).feed()
        if self.inputs[0].shape == self.inputs[1].shape:
            self.key = self.value = self.inputs[0]


class QueryFromKey(Fed):
    """q_proj is given key instead of query

    Self-attention is right; in cross-attention the queries have no effect, and the output has S rows.
    """

    def feed(self) -> None:
        super().feed()
        self.query = self.inputs[1]


class CrossAttentionReversed(Fed):
    """the queries are projected from key, and the keys and values from query

    The output has S rows, one for each key, instead of L.
    """

    def feed(self) -> None:
        super().feed()
        self.query, self.key, self.value = self.inputs[1], self.inputs[0], self.inputs[0]


class Made(Mistake, Projected):
    see = "mha#Projections"


class KvProjectionsExchanged(Made):
    """the keys go through v_proj and the values through k_proj

    Trains, and cannot read weights that others have trained.
    """

    often = True

    def through(self, name: str) -> str:
        return {"k_proj": "v_proj", "v_proj": "k_proj"}.get(name, super().through(name))


class ValuesThroughKProj(Made):
    """the values go through k_proj, like the keys, and v_proj is not used

    v_proj has no effect and gets no gradient.
    """

    def through(self, name: str) -> str:
        return {"v_proj": "k_proj"}.get(name, super().through(name))


class KeysThroughVProj(Made):
    """the keys go through v_proj, like the values, and k_proj is not used

    k_proj has no effect and gets no gradient.
    """

    def through(self, name: str) -> str:
        return {"k_proj": "v_proj"}.get(name, super().through(name))


class QkProjectionsExchanged(Made):
    """the queries go through k_proj and the keys through q_proj

    Trains, and cannot read weights that others have trained.
    """

    def through(self, name: str) -> str:
        return {"q_proj": "k_proj", "k_proj": "q_proj"}.get(name, super().through(name))


class QvProjectionsExchanged(Made):
    """the queries go through v_proj and the values through q_proj

    Trains, and cannot read weights that others have trained.
    """

    def through(self, name: str) -> str:
        return {"q_proj": "v_proj", "v_proj": "q_proj"}.get(name, super().through(name))


class QueriesThroughKProj(Made):
    """the queries go through k_proj, like the keys, and q_proj is not used

    q_proj has no effect and gets no gradient.
    """

    def through(self, name: str) -> str:
        return {"q_proj": "k_proj"}.get(name, super().through(name))


class OneProjectionForAll(Made):
    """query, key and value all go through q_proj

    k_proj and v_proj have no effect; in self-attention the scores are symmetric.
    """

    def through(self, name: str) -> str:
        return {"k_proj": "q_proj", "v_proj": "q_proj"}.get(name, super().through(name))


class KeysThroughQProj(Made):
    """the keys go through q_proj, like the queries, and k_proj is not used

    In self-attention the scores are symmetric and every token looks at itself.
    """

    def through(self, name: str) -> str:
        return {"k_proj": "q_proj"}.get(name, super().through(name))


class ValuesThroughQProj(Made):
    """the values go through q_proj, like the queries, and v_proj is not used

    v_proj has no effect and gets no gradient.
    """

    def through(self, name: str) -> str:
        return {"v_proj": "q_proj"}.get(name, super().through(name))


class QueryUnprojected(Made):
    """the queries are not projected: q_proj is never applied

    q_proj has no effect and gets no gradient.
    """

    def through(self, name: str) -> str:
        return {"q_proj": ""}.get(name, super().through(name))


class KeyUnprojected(Made):
    """the keys are not projected: k_proj is never applied

    k_proj has no effect and gets no gradient.
    """

    def through(self, name: str) -> str:
        return {"k_proj": ""}.get(name, super().through(name))


class ValueUnprojected(Made):
    """the values are not projected: v_proj is never applied

    v_proj has no effect and gets no gradient.
    """

    def through(self, name: str) -> str:
        return {"v_proj": ""}.get(name, super().through(name))


class NothingProjected(Made):
    """query, key and value are not projected: none of the three layers is applied

    The three layers have no effect and get no gradient.
    """

    def through(self, name: str) -> str:
        return {"q_proj": "", "k_proj": "", "v_proj": ""}.get(name, super().through(name))


class Weights(Mistake, Projected):
    see = "mha#Projections"


class ReluOnProjections(Weights):
    """the projected queries, keys and values go through a ReLU

    Negative features are lost: a projection is linear.
    """

    def project_in(self, name: str, x: Tensor) -> Tensor:
        return super().project_in(name, x).relu()


class InputBiasesForgotten(Weights):
    """the biases of q_proj, k_proj and v_proj are not added

    Right with bias=False, shifted otherwise.
    """

    def input_bias(self, name: str) -> None:
        """Left out."""


class InputWeightsUntransposed(Weights):
    """the inputs are multiplied by the weights of the projections instead of by their transposes

    Trains, and cannot read weights that others have trained.
    """

    def input_weight(self, name: str) -> Tensor:
        return super().input_weight(name).T


class KeysAndValuesExchanged(Weights, Layer):
    """the projected keys and values are handed on in the wrong order: the scores come from the values

    The weights are applied to the keys.
    """

    often = True
    see = "mha#Cross-attention"

    def split(self) -> None:
        super().split()
        self.key, self.value = self.value, self.key


class OutputUnprojected(Weights):
    """the merged heads are returned without o_proj

    The heads never mix.
    """

    often = True

    def project_out(self) -> None:
        """Left out."""


class OutputBiasForgotten(Weights):
    """the bias of o_proj is not added

    Right with bias=False, shifted otherwise.
    """

    def output_bias(self) -> None:
        """Left out."""


class OutputWeightUntransposed(Weights):
    """the merged heads are multiplied by o_proj.weight instead of by its transpose

    Trains, and cannot read weights that others have trained.
    """

    def output_weight(self) -> Tensor:
        return super().output_weight().T


class OutputProjectedTwice(Weights):
    """o_proj is applied twice

    The output went through the same layer again.
    """

    def project_out(self) -> None:
        super().project_out()
        super().project_out()


class OutputThroughQProj(Weights):
    """the merged heads go through q_proj instead of through o_proj

    o_proj has no effect and gets no gradient.
    """

    def project_out(self) -> None:
        self.output = self._linear(self.output, self.layers["q_proj.weight"], self.layers.get("q_proj.bias"))


class ResidualAdded(Weights):
    """the input (query, or x) is added to the output: a residual connection, part of the block around the layer

    The output is attention plus its input.
    """

    def receive(self) -> None:
        super().receive()
        self.residual = self.query

    def finish(self) -> None:
        super().finish()
        self.output = self.output + self.residual
