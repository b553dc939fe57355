"""Many learners: the verbs ci (a fork's push), badge (in a fork's README) and cohort (a folder of submissions).

In: a checkout, or folders, zips and git bundles. Out: files that a CI server shows; tables of a cohort.

Read: entries (the files in a submission), submissions (which of them count); ci and readme_badge (verbs);
then cohort (the verb), workers (processes that grade), journal (what is graded already), similarity (who handed in the
same), overview (the tables).
"""
