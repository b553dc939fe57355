"""What is remembered of each kata, and what is due again: .kata/progress.json.

In: Reports on files and on notebooks' cells, hints that were shown, stubs that were put back, interviews and drills
that ended, questions that were answered. Out: Records, and the Entries of the history; the verb history.

Read: state (the forms, and how a pass went), store (the file), lock (one writer at a time), progress (what happens to
it), times (for people), history (the verb), review (when a kata is due, by the fsrs schedule).
"""
