"""The verb watch: each save gets its verdict on the screen.

In: saves, keys and signals. Out: a screen, drawn anew.

Read: watch (the verb), loop (events in, grades and screens out), screen (what is drawn), stoppable_examiner (a grade
that a save cuts short), saved_files (which files were saved), keys (single keys from a terminal).
"""
