"""Work beside problems/, against the clock or on somebody's mistake, and questions.

In: a kata; a hunt; for a drill a wrong submission; questions.toml. Out: a file in .kata/ to work in, a card at the end,
and what is remembered of it; the verbs interview, drill, debug and questions.

Read: workspace (the file, and what is known of the work), questions (what is asked), recall (which of them now),
asking (how), deck (the verb questions), drill (the verb), choice (which kata), bugs (that are planted, and found),
running (a grade, and rows of a card), clock (on a terminal), hunt (the verb debug), rounds (the parts of a whole
round), onsite (how they are held), interview (the verb).
"""
