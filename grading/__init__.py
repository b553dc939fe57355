"""The engine of the attention katas: it examines a learner's file and says what is wrong with it.

In: katas/*/kata.toml, a learner's file, the tests of its kata. Out: a Report, and what is made of it. No kata is known
here by name.

Read: catalog (what a kata is), hunts (what a hunt is), records (what a grade comes to), then the parts in the order in
which they import each other: texts, stubs; candidate (the learner's process), diagnosis (why it is wrong), examination
(a grade), reports (how it is shown); console and doctor; practice (one learner), classroom (many), authoring (one who
adds a kata); cli and bootstrap (how it starts).
"""

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext grading` in a notebook: brings the magic `%%kata`."""
    from grading.practice.notebook import magic

    magic.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Ends the examiner."""
    from grading.practice.notebook import magic

    magic.EXAMINER.close()
