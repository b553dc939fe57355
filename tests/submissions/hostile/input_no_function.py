"""Has a number where the function should be."""
# kata: sdpa
# verdict: broken

scaled_dot_product_attention = 1
