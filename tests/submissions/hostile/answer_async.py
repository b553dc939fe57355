"""Answers with a coroutine that nobody awaits."""
# kata: sdpa
# verdict: failed

async def scaled_dot_product_attention(query, key, value, mask=None):
    return value
