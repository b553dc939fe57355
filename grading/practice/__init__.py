"""One learner between two grades.

In: Reports of the learner's own files, in problems/ or in .kata/. Out: screens, and what is remembered in .kata/.

Read: progress (what is remembered), watch (a verdict at each save), interview (under a clock; drills and questions),
plan (the days up to the interview, and today), reading (a notebook's section in the terminal), notebook (the magic of
a cell), debug (a debugger in the first check that fails), plain_pytest (the graders run by pytest itself). A later one
may use an earlier one.
"""
