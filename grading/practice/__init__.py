"""One learner between two grades.

In: Reports of the learner's own files, in problems/ or in .kata/. Out: screens, and what is remembered in .kata/.

Read: progress (what is remembered, and what is due), watch (a verdict at each save), interview (under a clock; drills
and questions), notebook (the magic of a cell). A later package may use an earlier one.
"""
