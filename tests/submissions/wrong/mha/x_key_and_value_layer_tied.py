"""A chained assignment makes k_proj and v_proj one and the same layer."""
# cause: none

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

DEBUG = True


class MultiHeadAttention(nn.Module):

    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if d_model % num_heads != 0:
            raise ValueError("d_model %% num_heads must be 0, got %d %% %d" % (d_model, num_heads))
        self.num_heads = num_heads
        self.head_dim = int(d_model / num_heads)
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = dropout

    def forward(self, query, key, value, mask=None):
        Q, K, V = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        if DEBUG:
            print("Q", Q.shape, "K", K.shape, "V", V.shape, "mask", None if mask is None else mask.shape)

        def allowed(b, h, i):
            if mask is None:
                return slice(None)
            if mask.dim() == 2:
                return mask[i]
            if mask.dim() == 3:
                return mask[b, i]
            return mask[b, h if mask.size(1) > 1 else 0, i]

        batches = []
        for b in range(query.size(0)):
            rows = []
            for i in range(query.size(1)):
                pieces = []
                for h in range(self.num_heads):
                    lo, hi = h * self.head_dim, (h + 1) * self.head_dim
                    which = allowed(b, h, i)
                    k, v = K[b, which, lo:hi], V[b, which, lo:hi]
                    w = F.softmax(k @ (Q[b, i, lo:hi] / math.sqrt(self.head_dim)), dim=0)
                    w = F.dropout(w, p=self.dropout, training=self.training)
                    pieces.append(w @ v)
                rows.append(torch.cat(pieces))
            batches.append(torch.stack(rows))
        return self.o_proj(torch.stack(batches))


if __name__ == "__main__":
    torch.manual_seed(0)
    mine = MultiHeadAttention(12, 3).eval()
    x = torch.randn(2, 5, 12)
    split = lambda t: t.view(2, 5, 3, 4).transpose(1, 2)
    ref = F.scaled_dot_product_attention(split(mine.q_proj(x)), split(mine.k_proj(x)), split(mine.v_proj(x)))
    print(torch.allclose(mine(x, x, x), mine.o_proj(ref.transpose(1, 2).reshape(2, 5, 12)), atol=1e-6))
