"""Raises an error when it is loaded."""
# kata: sdpa
# verdict: broken

raise RuntimeError("not today")
