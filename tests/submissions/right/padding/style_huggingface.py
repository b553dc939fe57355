"""In the style of a model library: an additive causal mask, an additive padding mask, and what of both is hidden."""

from typing import Optional

import torch


def create_position_ids_from_attention_mask(attention_mask: torch.Tensor) -> torch.Tensor:
    position_ids = attention_mask.long().cumsum(-1) - 1
    position_ids.masked_fill_(attention_mask == 0, 0)
    return position_ids


def _make_causal_mask(tgt_len: int, past_key_values_length: int, dtype: torch.dtype) -> torch.Tensor:
    mask = torch.full((tgt_len, tgt_len), torch.finfo(dtype).min)
    mask_cond = torch.arange(mask.size(-1))
    mask.masked_fill_(mask_cond < (mask_cond + 1).view(mask.size(-1), 1), 0)
    mask = mask.to(dtype)
    if past_key_values_length > 0:
        mask = torch.cat([torch.zeros(tgt_len, past_key_values_length, dtype=dtype), mask], dim=-1)
    return mask[None, None, :, :]


def _expand_mask(mask: torch.Tensor, dtype: torch.dtype, tgt_len: int) -> torch.Tensor:
    bsz, src_len = mask.size()
    expanded_mask = mask[:, None, None, :].expand(bsz, 1, tgt_len, src_len).to(dtype)
    inverted_mask = 1.0 - expanded_mask
    return inverted_mask.masked_fill(inverted_mask.to(torch.bool), torch.finfo(dtype).min)


def position_ids(attention_mask: torch.Tensor) -> torch.Tensor:
    return create_position_ids_from_attention_mask(attention_mask)


def padding_causal_mask(attention_mask: torch.Tensor, query_len: Optional[int] = None) -> torch.Tensor:
    bsz, src_len = attention_mask.shape
    tgt_len = query_len if query_len is not None else src_len
    combined = _make_causal_mask(tgt_len, src_len - tgt_len, torch.float32)
    combined = combined + _expand_mask(attention_mask, torch.float32, tgt_len)
    return combined == 0
