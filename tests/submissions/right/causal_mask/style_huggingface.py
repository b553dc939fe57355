"""In the style of a model library: make and expand functions, typed, with a logger and an argument object."""

import logging
from dataclasses import dataclass, field
from typing import List, Optional, Tuple, Union

import torch

logger = logging.getLogger(__name__)


@dataclass
class AttentionMaskConverter:
    is_causal: bool = True
    sliding_window: Optional[int] = field(default=None, repr=False)

    def __post_init__(self):
        if self.sliding_window is not None and self.sliding_window <= 0:
            raise ValueError(f"sliding_window has to be a strictly positive integer, not {self.sliding_window}")

    @staticmethod
    def _make_causal_mask(
        input_ids_shape: Union[torch.Size, Tuple[int, int]],
        past_key_values_length: int = 0,
        device: Optional[torch.device] = None,
    ) -> torch.Tensor:
        tgt_len, src_len = input_ids_shape
        mask_cond = torch.arange(src_len, device=device)
        return mask_cond[None, :] <= (torch.arange(tgt_len, device=device) + past_key_values_length)[:, None]

    def to_causal(self, query_length: int, key_length: int) -> torch.Tensor:
        return self._make_causal_mask((query_length, key_length), key_length - query_length)


def causal_mask(query_len: int, key_len: Optional[int] = None) -> torch.Tensor:
    if key_len is None:
        logger.debug("no key_len: a square mask")
        key_len = query_len
    return AttentionMaskConverter(is_causal=True).to_causal(query_len, key_len)


def additive_mask(mask: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    inverted_mask = torch.ones_like(mask) ^ mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(inverted_mask, float("-inf"))


def _examples() -> List[str]:
    return [str(causal_mask(2, 4).int().tolist()), repr(AttentionMaskConverter())]
