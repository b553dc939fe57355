"""In the style of a sequence-to-sequence toolkit: a logger, static helpers, float32 softmax, an argument check."""

import argparse
import logging
import math
import sys
from typing import Dict, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

logging.basicConfig(
    format="%(asctime)s | %(levelname)s | %(name)s | %(message)s",
    datefmt="%Y-%m-%d %H:%M:%S",
    level="WARNING",
    stream=sys.stdout,
)
logger = logging.getLogger(__name__)


def softmax(x: Tensor, dim: int) -> Tensor:
    if x.dtype in (torch.float16, torch.bfloat16):
        return F.softmax(x, dim=dim, dtype=torch.float32).type_as(x)
    return F.softmax(x, dim=dim)


def fill_with_neg_inf(t: Tensor) -> Tensor:
    """A tensor like t, filled with -inf; t.float().fill_() would fill t itself where it is float32 already."""
    return torch.empty_like(t).fill_(float("-inf"))


class _Attention(object):
    def __init__(self, args: Optional[Dict[str, float]] = None):
        self.args = args or {}
        self.scaling: Optional[float] = self.args.get("scaling")

    def attn_weights(self, q: Tensor, k: Tensor, attn_mask: Optional[Tensor]) -> Tensor:
        scaling = self.scaling if self.scaling is not None else float(q.size(-1)) ** -0.5
        attn_weights = torch.matmul(q * scaling, k.transpose(-1, -2))
        assert attn_weights.size(-1) == k.size(-2), "attn_weights has to end with the source length"
        if attn_mask is None:
            return softmax(attn_weights, dim=-1)
        padding_mask = ~attn_mask
        all_padded = padding_mask.all(dim=-1, keepdim=True)
        blocked = torch.where(padding_mask & ~all_padded, fill_with_neg_inf(attn_weights.detach()), attn_weights)
        return softmax(blocked, dim=-1) * (~all_padded).type_as(attn_weights)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Optional[Tensor] = None) -> Tensor:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(f"tgt_len {q.size(-2)} src_len {k.size(-2)}")
        return torch.matmul(self.attn_weights(q, k, attn_mask), v)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Optional[Tensor] = None
) -> Tensor:
    return _Attention()(query, key, value, mask)


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="compare with the arithmetic by hand")
    parser.add_argument("--tgt-len", default=3, type=int)
    return parser


def cli_main() -> None:
    args = get_parser().parse_args()
    q = torch.randn(args.tgt_len, 4)
    torch.testing.assert_close(
        scaled_dot_product_attention(q, q, q), (q @ q.t() / math.sqrt(4)).softmax(-1) @ q, rtol=1e-4, atol=1e-5
    )
    logger.info("ok")


if __name__ == "__main__":
    cli_main()
