"""Attention in named steps: what the diagnosis runs, right or with mistakes in it.

Steps read and set attributes of the program. Letters: B batch, L query length, S key length, D d_model, H num_heads,
K num_kv_heads, E head_dim.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from grading.diagnosis.program import Program
from grading.diagnosis.transcript import Shapes, Transcript

Cache = tuple[Tensor, Tensor]
NAMES = ("q_proj", "k_proj", "v_proj", "o_proj")


class Core(Program):
    """What every attention does with its heads."""

    masking = frozenset({"orient", "fill", "clear", "align", "align_causal"})
    query: Tensor  # (..., L, E); a layer's is (B, L, D) first
    key: Tensor
    value: Tensor
    mask: Tensor | None  # broadcastable to the scores once it is aligned
    given: Tensor | None  # the same before it was turned round, where a mistake does that
    scores: Tensor  # (..., L, S)
    weights: Tensor  # (..., L, S)
    output: Tensor
    factor: float | Tensor  # what the products of query and key are multiplied by
    empty: float = 0.0  # the weights of a query that may attend to nothing
    head_dim: int
    heads: int = 1

    @classmethod
    def idle(cls, check: Transcript) -> frozenset[str]:
        return frozenset() if check.has_mask else frozenset({"orient", "fill", "clear", "align"})

    def attend(self) -> None:
        self.scale()
        self.score()
        self._see()
        self.given = self.mask
        self.orient()
        self.fill()
        self.normalise()
        self.clear()
        self.correct()
        self._thin()
        self.weigh()

    def receive(self) -> None:
        """What is done to the inputs before anything else: nothing."""

    def scale(self) -> None:
        self.factor = 1.0 / math.sqrt(self.head_dim)

    def score(self) -> None:
        self.scores = self.multiply(*self.operands())

    def operands(self) -> tuple[Tensor, Tensor]:
        """What is multiplied: rows, and what becomes columns."""
        return self.query, self.key

    def multiply(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Scaled before the product, which float16 could not hold."""
        return (rows * self.factor) @ columns.transpose(-2, -1)

    def _see(self) -> None:
        """Where a mask is made, or brought into the form of the scores."""

    def orient(self) -> None:
        """True means may attend, a row of the mask is a query: nothing is to be turned."""

    def fill(self) -> None:
        """Scores that may not count. A row without keys is left for `clear`: a softmax of -inf has no gradient."""
        if self.mask is not None:
            hidden = ~self.mask & self.mask.any(dim=-1, keepdim=True)
            self.scores = self.scores.masked_fill(hidden, -math.inf)

    def normalise(self) -> None:
        self.temper()
        self.spread()

    def temper(self) -> None:
        """What is done to the scores before the softmax: nothing."""

    def spread(self) -> None:
        """The weights of a query sum to 1 over the keys."""
        self.weights = self.soften(self.scores)

    def soften(self, scores: Tensor) -> Tensor:
        """The softmax over the last dimension."""
        return scores.softmax(dim=-1)

    def clear(self) -> None:
        """A query that may attend to nothing gets weights of zero."""
        if self.mask is not None:
            self.weights = self.weights.masked_fill(~self.mask.any(dim=-1, keepdim=True), self.empty)

    def correct(self) -> None:
        """Nothing is left to do to the weights: here stands what a mistake left for after the softmax."""

    def _thin(self) -> None:
        """Where there is dropout."""

    def weigh(self) -> None:
        self.output = self.weights @ self.summands()

    def summands(self) -> Tensor:
        """What the weights are applied to."""
        return self.value

    def answer(self) -> Any:
        """What is returned."""
        return self.output


class Attention(Core):
    """Scaled dot-product attention."""

    takes_a_mask = True

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        self.query, self.key, self.value, self.mask = query, key, value, mask
        self.head_dim, self.dtype = query.size(-1), query.dtype
        self.receive()
        self.attend()
        self.deliver()
        return self.answer()

    def deliver(self) -> None:
        """The dtype of the query."""
        self.output = self.output.to(self.dtype)


class Projected(Core):
    """What all layers have in common. K is H where nothing else is said."""

    @classmethod
    def idle(cls, check: Transcript) -> frozenset[str]:
        made = {"validate", "validate_groups", "widths", "biased", "parameters"}
        return super().idle(check) | (made if check.made_right else frozenset())

    def make(self, d_model: int, heads: int, kv_heads: int, dropout: float, bias: bool) -> None:
        """Every constructor ends here."""
        self.d_model, self.heads, self.kv_heads, self.dropout, self.bias = d_model, heads, kv_heads, dropout, bias
        self.validate()
        self._validate_more()
        self.head_dim = d_model // heads

    def validate(self) -> None:
        if self.d_model % self.heads:
            raise ValueError("d_model must be divisible by num_heads")

    def _validate_more(self) -> None:
        """What else a constructor checks."""

    def parameters(self) -> Shapes:
        widths, biased = self.widths(), self.biased()
        shapes: Shapes = {f"{name}.weight": (out, self.d_model) for name, out in widths.items()}
        return shapes | {f"{name}.bias": (out,) for name, out in widths.items() if name in biased}

    def widths(self) -> dict[str, int]:
        """The output width of each projection."""
        narrow = self.kv_heads * self.head_dim
        return dict(zip(NAMES, (self.d_model, narrow, narrow, self.d_model), strict=True))

    def biased(self) -> tuple[str, ...]:
        """The projections that have a bias."""
        return NAMES if self.bias else ()

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.lent.made(functional.linear, x, weight, bias)

    def project(self) -> None:
        self.query, self.key = self.project_in("q_proj", self.query), self.project_in("k_proj", self.key)
        self.value = self.project_in("v_proj", self.value)

    def project_in(self, name: str, x: Tensor) -> Tensor:
        """An input through one of the projections."""
        layer = self.through(name)
        return self._linear(x, self.input_weight(layer), self.input_bias(layer)) if layer else x

    def through(self, name: str) -> str:
        """The layer that does the work of this one: itself; "" for none."""
        return name

    def input_weight(self, name: str) -> Tensor:
        """(out, in)"""
        return self.layers[f"{name}.weight"]

    def input_bias(self, name: str) -> Tensor | None:
        return self.layers.get(f"{name}.bias")

    def split(self) -> None:
        self.query = self.lent.made(split_heads, self.query, self.heads)
        self.key, self.value = (self.lent.made(split_heads, x, self.heads_in(x)) for x in (self.key, self.value))

    def heads_in(self, x: Tensor) -> int:
        """How many heads keys or values have that are projected and not yet split."""
        return self.kv_heads

    def share(self) -> None:
        """Every query head gets the key/value head of its group."""
        self.key, self.value = (self.to_all_heads(x) for x in (self.key, self.value))

    def to_all_heads(self, x: Tensor) -> Tensor:
        """Keys or values of all query heads."""
        return x.repeat_interleave(self.heads // self.kv_heads, dim=1) if self.heads != self.kv_heads else x

    def merge(self) -> None:
        """(B, H, L, E) -> (B, L, H * E)"""
        output = self.output.transpose(1, 2)
        self.output = output.reshape(output.size(0), output.size(1), -1)

    def project_out(self) -> None:
        self.output = self._linear(self.output, self.output_weight(), self.output_bias())

    def output_weight(self) -> Tensor:
        """(out, in)"""
        return self.layers["o_proj.weight"]

    def output_bias(self) -> Tensor | None:
        return self.layers.get("o_proj.bias")

    def finish(self) -> None:
        """What is done to the output at the end: nothing."""


class Layer(Projected):
    """Multi-head attention, and the other two that are handed query, key, value and a mask."""

    takes_a_mask = True
    inputs: tuple[Tensor, Tensor, Tensor]  # query, key and value as they came in

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        self.make(d_model, num_heads, num_heads, dropout, bias)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        self.query, self.key, self.value, self.mask = query, key, value, mask
        self.receive()
        self.inputs = self.query, self.key, self.value
        self.feed()
        self.project()
        self.split()
        self.share()
        self.attend()
        self.merge()
        self.project_out()
        self.finish()
        return self.answer()

    @classmethod
    def idle(cls, check: Transcript) -> frozenset[str]:
        return super().idle(check) | (frozenset() if check.has_dropout else frozenset({"drop", "thinned"}))

    def feed(self) -> None:
        """Which tensor is projected to the query, which to the key, which to the value."""

    def _see(self) -> None:
        self.align()

    def align(self) -> None:
        """The mask gets a dimension for the heads."""
        if self.mask is not None and self.mask.dim() == 3:
            self.mask = self.mask.unsqueeze(1)

    def _thin(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Dropout on the weights."""
        self.weights = self.thinned(self.weights)

    def thinned(self, x: Tensor) -> Tensor:
        """Dropout, in training."""
        return functional.dropout(x, self.dropout) if self.training else x


class MultiQueryLayer(Layer):
    """Multi-query attention: one key/value head."""

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        self.make(d_model, num_heads, 1, dropout, bias)

    def group(self) -> int:
        """How many query heads share a key/value head."""
        return self.heads // self.kv_heads


class Grouped(Projected):
    """Several key/value heads, each for a group of query heads."""

    def _validate_more(self) -> None:
        self.validate_groups()

    def validate_groups(self) -> None:
        if self.heads % self.kv_heads:
            raise ValueError("num_heads must be divisible by num_kv_heads")

    def group(self) -> int:
        """How many query heads share a key/value head."""
        return self.heads // self.kv_heads


class GroupedLayer(Grouped, Layer):
    """Grouped-query attention."""

    def __init__(
        self, d_model: int, num_heads: int, num_kv_heads: int, dropout: float = 0.0, bias: bool = True
    ) -> None:
        self.make(d_model, num_heads, num_kv_heads, dropout, bias)


class Continued(Grouped):
    """Grouped-query attention of new tokens over those that came before, and themselves."""

    past: Cache | None  # keys and values of those that came before
    tokens: Tensor  # what is projected

    @classmethod
    def idle(cls, check: Transcript) -> frozenset[str]:
        return super().idle(check) - {"orient", "fill", "clear"}

    def _see(self) -> None:
        self.align_causal()

    def align_causal(self) -> None:
        """The new tokens are the last L of the S positions."""
        L, S = self.scores.shape[-2:]
        self.mask = torch.ones(L, S, dtype=torch.bool).tril(S - L)


class CachedLayer(Continued):
    """Those that came before are in a cache that is handed in, and a longer one is handed out."""

    cache: Cache  # the cache handed out
    memory: Cache | None = None  # what a layer that keeps a cache to itself would have kept

    def __init__(self, d_model: int, num_heads: int, num_kv_heads: int, bias: bool = True) -> None:
        self.make(d_model, num_heads, num_kv_heads, 0.0, bias)

    def __call__(self, x: Tensor, kv_cache: Cache | None = None) -> Any:
        self.query = self.key = self.value = self.tokens = x
        self.past, self.mask = kv_cache, None
        self.receive()
        self.project()
        self.split()
        self.append()
        self.hand_out()
        self.share()
        self.attend()
        self.merge()
        self.project_out()
        self.finish()
        return self.answer()

    def append(self) -> None:
        """New keys and values go behind those of the cache."""
        if self.past is not None:
            self.key = torch.cat([self.past[0], self.key], dim=2)
            self.value = torch.cat([self.past[1], self.value], dim=2)

    def hand_out(self) -> None:
        """What the caller gets as the cache."""
        self.cache = self.key, self.value

    def answer(self) -> Any:
        return self.output, self.cache


class CausalMask(Program):
    """Which keys a query may see."""

    mask: Tensor

    def __call__(self, query_len: int, key_len: int | None = None) -> Any:
        self.query_len, self.key_len = query_len, key_len
        self.lengths()
        self.triangle()
        self.polarity()
        return self.mask

    def lengths(self) -> None:
        """Without a key length it is the query length."""
        self.key_len = self.query_len if self.key_len is None else self.key_len

    def triangle(self) -> None:
        """The queries are the last of the positions."""
        assert self.key_len is not None
        self.mask = self.ones().tril(self.key_len - self.query_len)

    def polarity(self) -> None:
        """True means may attend."""

    def ones(self) -> Tensor:
        assert self.key_len is not None
        return torch.ones(self.query_len, self.key_len, dtype=torch.bool)


class AdditiveMask(Program):
    """A boolean mask as a summand of the scores."""

    additive: Tensor

    def __call__(self, mask: Tensor, dtype: torch.dtype = torch.float32) -> Any:
        self.mask, self.dtype = mask, dtype
        self.receive()
        self.summand()
        self.deliver_mask()
        return self.additive

    def receive(self) -> None:
        """What is done to the mask before anything else: nothing."""

    def summand(self) -> None:
        self.additive = torch.zeros(self.mask.shape, dtype=self.dtype).masked_fill(~self.mask, -math.inf)

    def deliver_mask(self) -> None:
        """The dtype asked for."""
        self.additive = self.additive.to(self.dtype)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, heads * E) -> (B, heads, L, E)"""
    return x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2)
