"""The magic %%kata: a cell is graded as a file is.

In: the text of a cell. Out: the report as HTML and as text.

Read: magic (what a kernel loads), examiner_process (the examiner, in a process that the kernel asks by lines of JSON).
"""
