"""Why checks failed: the mistakes with which a right answer gives what the learner's code gave.

In: the failed and passed checks of a kata as transcripts; the kata's programs and mistakes (katas/<kata>/diagnosis.py,
katas/attention/). Out: Causes, each with the checks that it explains. No mistake is known here by name.

Read: transcript (what a check saw), raised (the errors in it), program (a right answer in steps), run (a program goes
through a transcript), lent (what programs have in common there), replay (whether one gave the same), matching (what the
same is), mistake (steps done wrong), evidence (what is known of several of them together), search (which ones), budget
(how long that may take), explain (what of it is proven), causes (what is claimed), knowledge (where a kata keeps all
that).
"""
