"""Multi-head attention from a GPT: c_attn projects all three of the query, and the width of the model scales."""
# cause: fused-projection, self-attention-only, scale-d-model

import inspect
import math
import sys
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F


@dataclass
class GPTConfig:
    n_head: int = 12
    n_embd: int = 768
    dropout: float = 0.0
    bias: bool = True  # True: bias in Linears, like GPT-2


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        config = GPTConfig(n_head=num_heads, n_embd=d_model, dropout=dropout, bias=bias)
        if config.n_embd % config.n_head != 0:
            raise ValueError(f"n_embd {config.n_embd} % n_head {config.n_head} != 0")
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.n_head = config.n_head
        self.n_embd = config.n_embd
        # flash attention makes GPU go brrrrr but support is only in PyTorch >= 2.0
        self.flash = hasattr(F, "scaled_dot_product_attention") and False
        if not self.flash and "-v" in ():
            print("WARNING: using slow attention.", file=sys.stderr)
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)

    def forward(self, query, key, value, mask=None):
        B, T, C = query.size()  # batch size, sequence length, embedding dimensionality (n_embd)
        q, k, v = self.c_attn(query).split(self.n_embd, dim=2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)  # (B, nh, T, hs)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)  # (B, nh, S, hs)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)  # (B, nh, S, hs)
        att = (q * (1.0 / math.sqrt(C))) @ k.transpose(-2, -1)
        if mask is not None:
            mask = mask[:, None] if mask.ndim == 3 else mask
            att = att.masked_fill(mask == 0, torch.finfo(att.dtype).min)
        att = F.softmax(att, dim=-1)
        if mask is not None:
            att = att * mask
        att = self.attn_dropout(att)
        y = att @ v  # (B, nh, T, S) x (B, nh, S, hs) -> (B, nh, T, hs)
        y = y.transpose(1, 2).contiguous().view(B, T, C)  # re-assemble all head outputs side by side
        return self.c_proj(y)

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        param_dict = {pn: p for pn, p in self.named_parameters() if p.requires_grad}
        decay_params = [p for n, p in param_dict.items() if p.dim() >= 2]
        nodecay_params = [p for n, p in param_dict.items() if p.dim() < 2]
        fused_available = "fused" in inspect.signature(torch.optim.AdamW).parameters
        use_fused = fused_available and device_type == "cuda"
        extra_args = dict(fused=True) if use_fused else dict()
        groups = [{"params": decay_params, "weight_decay": weight_decay}, {"params": nodecay_params}]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, **extra_args)


if __name__ == "__main__":
    import os

    torch.manual_seed(int(os.environ.get("SEED", "1337")))
    x = torch.randn(2, 8, 32)
    compiled = torch.compile(MultiHeadAttention(32, 4))
    print(compiled(x, x, x).shape)
