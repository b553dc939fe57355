"""Is not Python."""
# kata: sdpa
# verdict: broken

def scaled_dot_product_attention(query, key, value, mask=None)
    return
