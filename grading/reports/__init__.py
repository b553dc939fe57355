"""A Report as text: every function here is a pure one.

In: a Report (records), and the Texts of a language where a person reads it. Out: str, rich's Text, or plain data.

Read: terminal (the screen, and how a cause is worded), columns (text in a given width), compare (two files side by
side); html with heat (the page, and the maps of two tensors) and templates/; then what a CI server wants: annotations,
badge, junit, markdown, score.
"""
