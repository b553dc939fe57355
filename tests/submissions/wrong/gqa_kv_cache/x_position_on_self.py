"""The number of past tokens is counted on self, so a second sequence starts where the first one stopped."""
# cause: past-length-on-self

import torch
from torch import nn


class CachedGroupedQueryAttention(nn.Module):
	def __init__(self, d_model, num_heads, num_kv_heads, bias=True):
		super().__init__()
		if d_model % num_heads:
			raise ValueError('d_model=%d 不能被 num_heads=%d 整除' % (d_model, num_heads))
		if num_heads % num_kv_heads:
			raise ValueError('num_heads=%d 不能被 num_kv_heads=%d 整除' % (num_heads, num_kv_heads))
		self.head_dim = d_model // num_heads
		self.num_kv_heads = num_kv_heads
		# 第 h 个查询头用第 h // 组大小 个 kv 头
		self.谁用谁 = [h // (num_heads // num_kv_heads) for h in range(num_heads)]
		self.q_proj = nn.Linear(d_model, d_model, bias=bias)
		self.k_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
		self.v_proj = nn.Linear(d_model, num_kv_heads * self.head_dim, bias=bias)
		self.o_proj = nn.Linear(d_model, d_model, bias=bias)

	def forward(self, x, kv_cache=None):
		B, L, D = x.shape
		q = self.q_proj(x).view(B, L, -1, self.head_dim)
		k = self.k_proj(x).view(B, L, self.num_kv_heads, self.head_dim).transpose(1, 2)
		v = self.v_proj(x).view(B, L, self.num_kv_heads, self.head_dim).transpose(1, 2)
		past = 0
		if kv_cache is not None:
			# 旧的在前,新的在后
			past = self.位置
			k = torch.cat([kv_cache[0], k], 2)
			v = torch.cat([kv_cache[1], v], 2)
		self.位置 = past + L
		rows = []
		for i in range(L):
			看得到的 = past + i + 1
			ki = k[:, self.谁用谁, :看得到的]  # (B, H, n, E)
			vi = v[:, self.谁用谁, :看得到的]
			qi = q[:, i].unsqueeze(-1) / self.head_dim ** 0.5  # (B, H, E, 1)
			w = (ki @ qi).softmax(dim=2)  # (B, H, n, 1)
			rows.append((w * vi).sum(dim=2).reshape(B, D))
		return self.o_proj(torch.stack(rows, dim=1)), (k, v)
