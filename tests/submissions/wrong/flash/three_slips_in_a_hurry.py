"""No scale, the sum is not rescaled, and the lse of a merge is the larger one."""
# cause: scale-missing, sum-not-rescaled, merge-lse-maximum

import math

import torch


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size <= 0:
        raise ValueError("block_size must be positive")
    work = torch.float64 if query.dtype == torch.float64 else torch.float32
    q = query.to(work)
    *lead, L, E = q.shape
    S, Ev = key.shape[-2], value.shape[-1]
    sm_scale = 1.0
    if mask is not None:
        mask = mask.broadcast_to((*lead, L, S))

    m_i = torch.full((*lead, L), float("-inf"), dtype=work)
    l_i = torch.zeros((*lead, L), dtype=work)
    acc = torch.zeros((*lead, L, Ev), dtype=work)

    for start_n in range(0, S, block_size):
        end_n = min(start_n + block_size, S)
        k = key[..., start_n:end_n, :].to(work)
        v = value[..., start_n:end_n, :].to(work)
        qk = torch.matmul(q, k.mT) * sm_scale
        if mask is not None:
            qk = torch.where(mask[..., start_n:end_n], qk, float("-inf"))
        m_ij = torch.maximum(m_i, qk.detach().max(dim=-1).values)
        safe = torch.where(m_ij == float("-inf"), torch.zeros_like(m_ij), m_ij)
        p = torch.exp(qk - safe[..., None])
        alpha = torch.exp(m_i - safe)
        l_i = l_i + p.sum(-1)
        acc = acc * alpha[..., None]
        acc = acc + torch.matmul(p, v)
        m_i = m_ij

    dead = l_i == 0
    l_i = torch.where(dead, torch.ones_like(l_i), l_i)
    out = acc / l_i[..., None]
    lse = torch.where(dead, torch.full_like(l_i, float("-inf")), m_i + torch.log(l_i))
    return out.to(query.dtype), lse


def merge(output_a, lse_a, output_b, lse_b):
    m = torch.maximum(lse_a, lse_b).detach()
    m = torch.where(m == float("-inf"), torch.zeros_like(m), m)
    wa = torch.exp(lse_a - m)
    wb = torch.exp(lse_b - m)
    s = wa + wb
    dead = s == 0
    s = torch.where(dead, torch.ones_like(s), s)
    out = (wa[..., None] * output_a + wb[..., None] * output_b) / s[..., None]
    lse = torch.where(dead, torch.full_like(s, float("-inf")), torch.maximum(lse_a, lse_b))
    return out.to(output_a.dtype), lse
