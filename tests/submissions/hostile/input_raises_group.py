"""Raises a deeply nested exception group when it is loaded."""
# kata: sdpa
# verdict: broken

error = ValueError("not today")
for _ in range(200):
    error = ExceptionGroup("group", [error])
raise error
