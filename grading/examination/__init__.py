"""The examination of a learner's file by the tests of its kata.

In: the stems of katas and the folder of a learner. Out: a Report, with a KataResult for each.

Read: examiner (a grade from its start to its report), plugin (the fixtures of the tests, what a test raised as a
CheckResult), checks (wanted against got: what a test calls to compare).
"""
