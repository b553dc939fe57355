"""Raises an error whose text takes for ever."""
# kata: sdpa
# verdict: failed

class Endless(Exception):
    def __str__(self):
        while True:
            pass


def scaled_dot_product_attention(query, key, value, mask=None):
    raise Endless
