"""Blocked scores are filled with -1e4, which a real score can undercut."""
# cause: fill-not-low-enough

import torch
from torch import nn as N


def scaled_dot_product_attention(query, key, value, mask=None):
	# 把缩放因子平均分到 q 和 k 上,这样 float16 不会溢出
	缩放 = query.shape[-1] ** -0.25
	分数 = (query * 缩放) @ (key * 缩放).transpose(-2, -1)
	if mask is not None:
		# True 表示可以看,所以取反之后再填充
		分数 = 分数.masked_fill(mask == False, -1e4)
	if query.dtype in (torch.float16, torch.bfloat16):
		权重 = N.functional.softmax(分数, dim=-1, dtype=torch.float32)
	else:
		权重 = N.Softmax(dim=-1)(分数)
	if mask is not None:
		# 没有任何 key 可看的那一行必须是零
		权重 = 权重 * mask.any(dim=-1, keepdim=True)
	return 权重.to(value.dtype) @ value
