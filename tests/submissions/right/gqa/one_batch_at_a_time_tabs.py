"""Tabs, Chinese comments, a loop over the batch, and the group folded into the rows of one bmm."""

import torch
from torch import nn


class GroupedQueryAttention(nn.Module):
	def __init__(self, d_model, num_heads, num_kv_heads, dropout=0.0, bias=True):
		super().__init__()
		# 两个整除条件都要检查
		if d_model % num_heads != 0:
			raise ValueError('d_model 要能被 num_heads 整除')
		if num_heads % num_kv_heads != 0:
			raise ValueError('num_heads 要能被 num_kv_heads 整除')
		self.H, self.K = num_heads, num_kv_heads
		self.E = d_model // num_heads
		self.q_proj = nn.Linear(d_model, d_model, bias=bias)
		self.k_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
		self.v_proj = nn.Linear(d_model, self.K * self.E, bias=bias)
		self.o_proj = nn.Linear(d_model, d_model, bias=bias)
		self.dropout = nn.Dropout(dropout)

	def 单个样本(self, x, y, z, mask):
		L, S = x.shape[0], y.shape[0]
		G = self.H // self.K
		q = self.q_proj(x).view(L, self.K, G, self.E).permute(1, 2, 0, 3).reshape(self.K, G * L, self.E)
		k = self.k_proj(y).view(S, self.K, self.E).permute(1, 2, 0)
		v = self.v_proj(z).view(S, self.K, self.E).permute(1, 0, 2)
		scores = torch.bmm(q * self.E ** -0.5, k)  # (K, G*L, S)
		if mask is None:
			weights = torch.softmax(scores, dim=-1)
		else:
			# (L, S) 或 (1|H, L, S) -> (K, G*L, S)
			m = mask.expand(self.H, L, S).reshape(self.K, G * L, S)
			weights = torch.softmax(scores.masked_fill(~m, float('-inf')), dim=-1)
			weights = weights.masked_fill(~m, 0.0)
		out = torch.bmm(self.dropout(weights), v)
		return out.view(self.H, L, self.E).transpose(0, 1).reshape(L, self.H * self.E)

	def forward(self, query, key, value, mask=None):
		结果 = []
		for b in range(query.shape[0]):
			m = mask if mask is None or mask.dim() == 2 else mask[b]
			结果.append(self.单个样本(query[b], key[b], value[b], m))
		return self.o_proj(torch.stack(结果))
