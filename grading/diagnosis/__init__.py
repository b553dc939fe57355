"""The side that judges what came back."""
