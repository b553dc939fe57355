"""Imports the reference."""
# kata: sdpa
# verdict: broken

from solutions.sdpa import scaled_dot_product_attention
