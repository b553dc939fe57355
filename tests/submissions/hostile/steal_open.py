"""Opens the reference's file and runs it."""
# kata: sdpa
# verdict: broken

with open("solutions/sdpa.py") as file:
    exec(file.read())
