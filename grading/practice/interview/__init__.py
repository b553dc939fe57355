"""Work beside problems/, against the clock or on somebody's mistake: the verbs interview and drill.

In: a kata; for a drill a wrong submission. Out: a file in .kata/ to work in, and a card at the end.

Read: workspace (the file, and what is known of the work), interview (the verb), clock (an interview on a terminal),
questions (what is asked), deck (the verb that prints it), drill (the verb).
"""
