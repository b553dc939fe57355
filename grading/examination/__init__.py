"""The examination of a learner's file by the tests of its kata.

In: the stems of katas and the folder of a learner. Out: a Report, with a KataResult for each.

Read: examiner (a grade from its start to its report), examination (the checks of one grade, and what each came to),
collection (the checks in the file of a grader), draw (their random inputs), checks (wanted against got: what a check
calls to compare), plugin (how pytest comes to the same checks), and for hunts plants (the bugs that can be planted) and
hunting (how many of them were found).
"""
