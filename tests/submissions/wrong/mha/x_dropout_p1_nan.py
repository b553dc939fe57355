"""Hand-made dropout divides by 1 - p also when p is 1: NaN."""
# cause: none

import torch
from torch import nn as N


def 手写softmax(x, 可见):
	最大 = x.masked_fill(~可见, torch.finfo(x.dtype).min).max(dim=-1, keepdim=True).values
	指数 = torch.exp(x.masked_fill(~可见, float('-inf')) - 最大.detach())
	总和 = 指数.sum(dim=-1, keepdim=True)
	# 整行都被遮住的时候总和是 0,除以 1 就好
	return 指数 / torch.where(总和 == 0, torch.ones_like(总和), 总和)


class MultiHeadAttention(N.Module):
	def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
		super(MultiHeadAttention, self).__init__()
		if d_model % num_heads:
			raise ValueError('d_model 必须能被 num_heads 整除')
		self.头数 = num_heads
		self.p = dropout
		self.q_proj = N.Linear(d_model, d_model, bias=bias)
		self.k_proj = N.Linear(d_model, d_model, bias=bias)
		self.v_proj = N.Linear(d_model, d_model, bias=bias)
		self.o_proj = N.Linear(d_model, d_model, bias=bias)

	def 随机丢弃(self, w):
		if not self.training or self.p == 0:
			return w
		保留 = torch.bernoulli(torch.full_like(w, 1 - self.p))
		return w * 保留 / (1 - self.p)

	def forward(self, query, key, value, mask=None):
		B, L, D = query.shape
		S = key.shape[1]
		# 拆成多头: (B, 长度, H, E) -> (B, H, 长度, E)
		拆 = lambda t: t.view(B, -1, self.头数, D // self.头数).transpose(1, 2)
		q, k, v = 拆(self.q_proj(query)), 拆(self.k_proj(key)), 拆(self.v_proj(value))
		q = q / (D // self.头数) ** 0.5
		s = q @ k.transpose(2, 3)
		if mask is None:
			mask = torch.ones(L, S, dtype=torch.bool, device=s.device)
		elif mask.dim() == 3:
			mask = mask.unsqueeze(1)
		w = self.随机丢弃(手写softmax(s, mask))
		return self.o_proj((w @ v).transpose(1, 2).reshape(B, L, D))
