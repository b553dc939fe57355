"""Makes a text of a million gigabytes when it is loaded."""
# kata: sdpa
# verdict: broken

x = ((1 << 30) * "x" * (1 << 10)) * (1 << 10)


def scaled_dot_product_attention(query, key, value, mask=None):
    return value
