"""Two loops as in the paper: blocks of queries outside, blocks of keys inside, each tile with a small state object."""

from dataclasses import dataclass

import torch

INF = float("inf")


@dataclass
class State:
    top: torch.Tensor
    total: torch.Tensor
    mix: torch.Tensor

    def read(self, scores, values):
        new = torch.max(self.top, scores.detach().max(-1, keepdim=True)[0])
        base = torch.nan_to_num(new, neginf=0.0)
        old, fresh = torch.exp(self.top - base), torch.exp(scores - base)
        self.total = old * self.total + fresh.sum(-1, keepdim=True)
        self.mix = old * self.mix + fresh.matmul(values)
        self.top = new

    def result(self):
        blind = self.total == 0
        total = self.total + blind.to(self.total.dtype)
        lse = self.top + total.log()
        return self.mix / total, lse[..., 0]


def blockwise_attention(query, key, value, mask=None, block_size=32):
    if block_size < 1:
        raise ValueError("blocks of no keys")
    acc = torch.promote_types(query.dtype, torch.float32)
    L, S, Ev = query.shape[-2], key.shape[-2], value.shape[-1]
    keys, values = key.to(acc), value.to(acc)
    rows = 64
    tiles = []
    for i in range(0, L, rows):
        q = query[..., i : i + rows, :].to(acc) * query.shape[-1] ** -0.5
        shape = q.shape[:-1]
        state = State(q.new_full((*shape, 1), -INF), q.new_zeros((*shape, 1)), q.new_zeros((*shape, Ev)))
        for j in range(0, S, block_size):
            scores = q @ keys[..., j : j + block_size, :].transpose(-1, -2)
            if mask is not None:
                tile = mask.expand(*query.shape[:-1], S)[..., i : i + rows, j : j + block_size]
                scores = scores.masked_fill(tile == False, -INF)  # noqa: E712
            state.read(scores, values[..., j : j + block_size, :])
        tiles.append(state.result())
    outputs, lses = zip(*tiles)
    return torch.cat(outputs, dim=-2).to(query.dtype), torch.cat(lses, dim=-1)


def merge(output_a, lse_a, output_b, lse_b):
    new = torch.max(lse_a, lse_b).detach()
    base = torch.nan_to_num(new, neginf=0.0)
    a, b = torch.exp(lse_a - base).unsqueeze(-1), torch.exp(lse_b - base).unsqueeze(-1)
    total = a + b
    blind = total == 0
    total = total + blind.to(total.dtype)
    mix = a * output_a + b * output_b
    return (mix / total).to(output_a.dtype), new + total.log().squeeze(-1)
