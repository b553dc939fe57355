"""Never finishes making its layer."""
# kata: mha
# verdict: failed

from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        while True:
            pass
