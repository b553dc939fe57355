"""The input is added to itself."""
# TODO: right answers unlike the reference, and unlike each other, as learners write them.


def twice(x):
    return x + x
