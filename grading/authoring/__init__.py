"""One who adds a kata: the files to begin with, and what is missing or wrong in them.

In: a kata's own files, and the submissions that its grader is tested with. Out: a skeleton that works at once, and one
line for each thing that is left to do.

Read: skeleton (the verb new; its texts are in skeleton.toml), submissions (what tests/submissions says of itself),
findings (one kata, file by file), author (the verb: the findings, and the grades that they need).
"""
