"""Defines something else."""
# kata: sdpa
# verdict: broken

def scaled_dot_product_attentoin(query, key, value, mask=None):
    return value
