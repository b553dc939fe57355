"""The side that runs the learner's code."""
