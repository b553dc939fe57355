"""The inputs are flattened with view, which raises on a transposed batch."""
# cause: none

import torch
import torch.nn as nn
import torch.nn.functional as F


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model must be a multiple of num_heads")
        self.d_model = d_model
        self.num_heads = num_heads
        self.p = dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def heads(self, x, layer):
        w = layer.weight.view(self.num_heads, -1, self.d_model)  # h e d
        y = torch.einsum("nd,hed->hne", x.view(-1, self.d_model), w)
        y = y.unflatten(1, (x.shape[0], x.shape[1])).transpose(0, 1)
        if layer.bias is not None:
            y = y + layer.bias.view(self.num_heads, 1, -1)
        return y

    def forward(self, query, key, value, mask=None):
        q = self.heads(query, self.q_proj)
        k = self.heads(key, self.k_proj)
        v = self.heads(value, self.v_proj)
        scale = q.shape[-1] ** -0.5
        scores = torch.einsum("bhle,bhse->bhls", q * scale, k)
        if mask is not None:
            if mask.ndim == 3:
                mask = mask[:, None, :, :]
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(-1)
        if mask is not None:
            weights = weights.nan_to_num(0.0)
        weights = F.dropout(weights, self.p, self.training)
        heads = torch.einsum("bhls,bhse->bhle", weights, v)
        w_o = self.o_proj.weight.view(self.d_model, self.num_heads, -1)  # d h e
        out = torch.einsum("bhle,dhe->bld", heads, w_o)
        return out if self.o_proj.bias is None else out + self.o_proj.bias
