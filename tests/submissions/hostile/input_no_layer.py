"""Has a class that is no layer."""
# kata: mha
# verdict: broken

class MultiHeadAttention:
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        self.training = False

    def forward(self, query, key, value, mask=None):
        return query
