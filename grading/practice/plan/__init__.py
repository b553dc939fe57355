"""The days up to the interview, and what is to be done today.

In: what is remembered of the learner, a day and minutes a day. Out: a plan, as a screen and as a calendar; a page of
progress; the verbs plan, due and status.

Read: known (what a plan rests on), schedule (what to do on which day), steps (a day in words), plan (the verb),
calendar (--ics), due (the verb), status (the verb, how far each kata is), page (status --html).
"""
