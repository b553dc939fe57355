"""Part two: the model gets a cache and writes text.

What is to be added:
    forward(tokens, cache=None) returns (logits, cache). Without a cache it does what it did. With the cache of an
    earlier call, tokens (B, L) are the next L ones of the same B sequences: their positions go on where those before
    ended, they attend to all before them, and the cache that comes back holds those too. What a cache is, is yours.
    generate(prompt, steps, end=None) returns (B, L + steps): the prompt (B, L), then for each step the most likely
    token of each sequence. A sequence that has produced the token `end` goes on with `end` alone; one that has it in
    its prompt has not ended by that. Each step reads one token. There is no dropout, whatever mode the model is in,
    and the mode is the same afterwards. L + steps is at most context + 1.
    loss and train_step go on working, and parameters keep their names and shapes.

Shapes: B sequences of L tokens after P earlier ones, H heads of E features, D = H * E, a vocabulary of V.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Past = tuple[Tensor, Tensor]  # the keys and values of a block, (B, H, P, E) each


class Attention(nn.Module):
    """Causal self-attention with several heads: (B, L, D) and the keys and values of P earlier tokens to (B, L, D)."""

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

    def forward(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        batch, length, d_model = x.shape
        query, key, value = (self.split(each) for each in self.qkv(x).chunk(3, dim=-1))
        if past is not None:
            key, value = torch.cat([past[0], key], dim=-2), torch.cat([past[1], value], dim=-2)
        earlier = key.size(-2) - length
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_dim)
        allowed = torch.ones(length, earlier + length, dtype=torch.bool, device=x.device).tril(diagonal=earlier)
        scores = scores.masked_fill(~allowed, float("-inf"))
        weights = scores.softmax(dim=-1)
        weights = F.dropout(weights, self.dropout, self.training)
        mixed = weights @ value
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, d_model)), (key, value)


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

    def forward(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        mixed, past = self.attention(self.norm_1(x), past)
        x = x + mixed
        return x + self.mlp(self.norm_2(x)), past


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

    def forward(self, tokens: Tensor, cache: list[Past] | None = None) -> tuple[Tensor, list[Past]]:
        earlier = cache[0][0].size(-2) if cache else 0
        places = torch.arange(earlier, earlier + tokens.size(1), device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        kept = []
        for number, block in enumerate(self.blocks):
            x, past = block(x, cache[number] if cache else None)
            kept.append(past)
        return self.head(self.norm(x)), kept

    def loss(self, tokens: Tensor) -> Tensor:
        """How badly each token is predicted from those before it, in nats: a scalar."""
        logits = self(tokens)[0][:, :-1]
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

    @torch.no_grad()
    def generate(self, prompt: Tensor, steps: int, end: int | None = None) -> Tensor:
        """The prompt (B, L) and the most likely tokens after it, (B, L + steps)."""
        training, cache, fed = self.training, None, prompt
        self.eval()
        ended = torch.zeros(prompt.size(0), 1, dtype=torch.bool, device=prompt.device)
        for _ in range(steps):
            logits, cache = self(fed, cache)
            fed = logits[:, -1:].argmax(dim=-1)
            if end is not None:
                fed = fed.masked_fill(ended, end)
                ended = ended | (fed == end)
            prompt = torch.cat([prompt, fed], dim=1)
        self.train(training)
        return prompt
