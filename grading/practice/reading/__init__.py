"""A notebook's section in the terminal.

In: the name of a kata and of a section, as the line `next` of a failure has them. Out: the section's text, code and
printed results; the verb read.

Read: formulas (LaTeX as plain text), sections (the parts of a notebook), read (the verb).
"""
