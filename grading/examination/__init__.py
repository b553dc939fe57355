"""The examination of a learner's file by the tests of its kata.

In: the stems of katas and the folder of a learner. Out: a Report, with a KataResult for each.

Read: examiner (a grade from its start to its report), examination (the checks of one grade, and what each came to),
collection (the checks in a grader's file), plugin (how pytest comes to the examination), checks
(wanted against got: what a test calls to compare), and for hunts plants (the bugs that can be planted) and hunting (how
many of them were found).
"""
