"""A small GPT, as one writes it in an interview: learned positions, pre-norm blocks, causal attention, a tied head.

What it is meant to be:
    The residual stream of width d_model is the sum of a token's embedding and that of its position, counted from 0.
    A block adds attention of the normed stream to the stream, and then an MLP of the normed stream: one linear layer
    to 4 d_model, GELU, one back. A norm comes before the head, whose weight is that of the token embedding.
    Attention has num_heads heads of d_model / num_heads features each. A token attends to itself and to those before
    it; scores are divided by the root of the head's size. Dropout is on attention weights, in training alone.
    Weights begin normal with a standard deviation of 0.02, those of embeddings too, and biases with 0.
    loss(tokens) is the mean cross-entropy of each next token, and train_step(tokens) is one step of AdamW on it.

Shapes: B sequences of L tokens, H heads of E features, D = H * E, a vocabulary of V.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Causal self-attention with several heads: (B, L, D) to (B, L, D)."""

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = d_model // num_heads
        self.dropout = dropout
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.proj = nn.Linear(d_model, d_model)

    def split(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, H, L, E)."""
        batch, length, _ = x.shape
        return x.reshape(batch, length, self.num_heads, self.head_dim).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, d_model = x.shape
        query, key, value = (self.split(each) for each in self.qkv(x).chunk(3, dim=-1))
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_dim)
        allowed = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        scores = scores.masked_fill(~allowed, float("-inf"))
        weights = scores.softmax(dim=-1)
        weights = F.dropout(weights, self.dropout, self.training)
        mixed = weights @ value
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, d_model))


class MLP(nn.Module):
    """Each token by itself: (B, L, D) to (B, L, D)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, 4 * d_model)
        self.down = nn.Linear(4 * d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """Attention, then the MLP: (B, L, D) to (B, L, D)."""

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(d_model)
        self.attention = Attention(d_model, num_heads, dropout)
        self.norm_2 = nn.LayerNorm(d_model)
        self.mlp = MLP(d_model)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))


class GPT(nn.Module):
    """The model: tokens (B, L) to logits (B, L, V), for L up to context."""

    def __init__(
        self,
        vocabulary: int,
        context: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dropout: float = 0.0,
        lr: float = 3e-4,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, d_model)
        self.positions = nn.Embedding(context, d_model)
        self.blocks = nn.ModuleList([Block(d_model, num_heads, dropout) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        self.head.weight = self.tokens.weight
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=lr)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.size(1), device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def loss(self, tokens: Tensor) -> Tensor:
        """How badly each token is predicted from those before it, in nats: a scalar."""
        logits = self(tokens)[:, :-1]
        labels = tokens[:, 1:]
        log_probs = logits.log_softmax(dim=-1)
        return -log_probs.gather(-1, labels[..., None]).mean()

    def train_step(self, tokens: Tensor) -> float:
        """Make one step of the optimizer; the loss before it."""
        loss = self.loss(tokens)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()
