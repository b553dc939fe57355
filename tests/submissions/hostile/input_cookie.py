# -*- coding: utf-7 -*-
"""Says that it is written in UTF-7, in which its comment is code."""
# kata: sdpa
# verdict: broken


# +AAo-from solutions.sdpa import scaled_dot_product_attention
