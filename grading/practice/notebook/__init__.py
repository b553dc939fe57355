"""The magic %%kata: a cell is graded as a file is.

In: the text of a cell. Out: the report as HTML and as text, and progress as after any grade.

Read: magic (what a kernel loads), warm_examiner (the kernel's end of the examiner), examiner_process (the examiner, in
a process that the kernel asks by lines of JSON).
"""
