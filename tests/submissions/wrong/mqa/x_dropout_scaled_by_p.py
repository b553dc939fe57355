"""Hand-made dropout divides by p instead of 1 - p."""
# cause: dropout-keeps-instead

import torch
import torch.nn.functional as F
from torch import nn as N


class MultiQueryAttention(N.Module):
	def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
		super().__init__()
		if d_model % num_heads:
			raise ValueError('d_model=%s num_heads=%s' % (d_model, num_heads))
		self.d_model, self.num_heads, self.p = d_model, num_heads, dropout
		e = d_model // num_heads
		self.q_proj, self.o_proj = N.Linear(d_model, d_model, bias=bias), N.Linear(d_model, d_model, bias=bias)
		self.k_proj, self.v_proj = N.Linear(d_model, e, bias=bias), N.Linear(d_model, e, bias=bias)

	def drop(self, w):
		if not self.training:
			return w
		# 保留的概率是 1-p,保留下来的要放大
		keep = torch.rand(w.shape, device=w.device) >= self.p
		return torch.where(keep, w, 0.0) / (self.p or 1)

	def forward(self, query, key, value, mask=None):
		e = self.d_model // self.num_heads
		q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
		y = query.new_zeros(query.shape)
		for h in range(self.num_heads):
			a = (q[:, :, h * e:(h + 1) * e] * e ** -0.5) @ k.transpose(1, 2)
			if mask is not None:
				m = mask if mask.dim() < 4 else mask[:, h % mask.shape[1]]
				a = torch.where(m, a, torch.finfo(a.dtype).min)
				a = torch.where(m, a.softmax(-1), 0.0)
			else:
				a = a.softmax(-1)
			y = y + F.linear(self.drop(a) @ v, self.o_proj.weight[:, h * e:(h + 1) * e])
		return y if self.o_proj.bias is None else y + self.o_proj.bias
