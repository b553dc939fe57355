"""What a mistake is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from grading.diagnosis.evidence import Facts
from grading.diagnosis.pipeline import Step

Swap = Mapping[str, Step]

ATTENTION = ("sdpa", "mha", "gqa", "gqa_kv_cache", "mqa")  # all that attend
LAYERS = ("mha", "gqa", "gqa_kv_cache", "mqa")  # with projections
MASKED = ("sdpa", "mha", "gqa", "mqa")  # that are handed a mask
CROSS = ("mha", "gqa", "mqa")  # layers that are handed query, key, value and a mask
GROUPED = ("gqa", "gqa_kv_cache")
CAUSAL = ("sdpa", "mha", "gqa", "gqa_kv_cache", "mqa")  # that put some mask on the scores
CACHED = ("gqa_kv_cache",)


@dataclass(frozen=True)
class Mistake:
    """One step done wrong.

    Attributes:
        name: short, unique.
        katas: where it can be made.
        step: the step of the pipeline, or where else to look: "layers", "constructor", "gradient", "cost".
        sentence: completes "exactly what you get when ...".
        symptom: what it does to the result, one sentence.
        notebook: file and section that explain it.
        swaps: the ways it is written; each replaces one step, or two that belong together.
        proof: for a mistake that outputs do not show: whether the facts do.
        denied: whether the facts speak against it, although outputs speak for it.
        error: where it raises on every input, its error text says as much as an output: it is proven by that text.
    """

    name: str
    katas: tuple[str, ...]
    step: str
    sentence: str
    symptom: str
    notebook: str
    swaps: tuple[Swap, ...] = ()
    proof: Callable[[str, Facts], bool] | None = None
    denied: Callable[[str, Facts], bool] | None = None
    error: bool = False
