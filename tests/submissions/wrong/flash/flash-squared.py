"""The input is squared instead of doubled."""
# TODO: a file for each named mistake and for whatever else a check is there to catch, each in the style of a right one.
# cause: flash-squared


def twice(x):
    return x * x
