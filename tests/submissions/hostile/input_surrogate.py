"""Has names and texts that not every terminal or encoder can show."""
# kata: sdpa
# verdict: failed

def scaled_dot_product_attention(query, key, value, mask=None):
    print("\ud800 \x00 \x1b[31m \U000e0001")
    raise ValueError("\ud800\udfff\x00")
