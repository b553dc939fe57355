"""Nests more brackets than a parser can follow."""
# kata: sdpa
# verdict: broken

x = 1
