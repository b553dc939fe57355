"""Takes other arguments."""
# kata: sdpa
# verdict: failed

def scaled_dot_product_attention(query):
    return query
