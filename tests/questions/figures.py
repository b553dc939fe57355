"""The numbers in the answer to an interview question, and models and machines that several answers compute with."""

import re
from dataclasses import dataclass

GIB, MIB, KIB = 2**30, 2**20, 2**10


def numbers(text):
    """The numbers in a text, without those that are part of a name (Llama-3-8B, Gemma 3, H100, float16, 16 bits)."""
    text = re.sub(r"(?<=\d)[,_](?=\d{3})", "", text)
    text = re.sub(r"\d+(\.\d+)? bits|(Gemma|Llama|OLMo|PCIe|version) \d+(\.\d+)?", "", text)
    return {float(n) for n in re.findall(r"(?<![\w.\-^{])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)", text)}


@dataclass(frozen=True)
class Model:
    """A decoder: its parameters, layers, width, query heads, kv heads, head size and vocabulary."""

    parameters: float
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int

    def cache(self, tokens=1, number=2):
        """Bytes of keys and values, in so many bytes a number."""
        return 2 * self.layers * self.kv_heads * self.head_size * number * tokens

    def causal_flops(self, tokens):
        """FLOPs of scores and weighted sums of a prompt, where a kernel skips what the mask hides."""
        return 2 * tokens**2 * self.heads * self.head_size * self.layers


LLAMA_2_7B = Model(6_738_415_616, 32, 4096, 32, 32, 128, 32_000)
LLAMA_3_8B = Model(8_030_261_248, 32, 4096, 32, 8, 128, 128_256)
LLAMA_3_70B = Model(70_553_706_496, 80, 8192, 64, 8, 128, 128_256)
H100_FLOPS, H100_BYTES = 989e12, 3.35e12  # a second, in bfloat16 without sparsity, and from its memory
