"""What is remembered of each kata, and what is due again: .kata/progress.json.

In: Reports on files and on notebooks' cells, hints that were shown, stubs that were put back. Out: Records and Reviews;
the verbs status and due.

Read: state (the forms, and how a pass went), store (the file), progress (what happens to it), review (the verb due, by
the fsrs schedule), status (the verb status).
"""
