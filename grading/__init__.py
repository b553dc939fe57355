"""The engine of the attention katas: it examines a learner's file and says what is wrong with it."""

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext grading` in a notebook: brings the magic `%%kata`."""
    from grading.practice.notebook import magic

    magic.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Ends the examiner."""
    from grading.practice.notebook import magic

    magic.PROCESS.close()
