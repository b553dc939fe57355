"""The verb `author`: what is missing or wrong in katas, a line each; nothing where they are ready for learners."""

from __future__ import annotations

import argparse

from grading.console import FAIL, PASS, Verbs, kata_named


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    author = verbs.add_parser("author", help="for authors: what is missing or wrong in these katas, or in all")
    author.add_argument("katas", nargs="*", metavar="KATA", type=kata_named)
    author.add_argument("--submissions", action="store_true", help="grade tests/submissions too, which takes minutes")
    author.set_defaults(run=_author)


def _author(arguments: argparse.Namespace) -> int:
    from grading.authoring.findings import said
    from grading.examination.examiner import Examiner

    found, examiner = 0, Examiner()
    try:
        for line in said(examiner, arguments.katas, arguments.submissions):
            print(line, flush=True)
            found += 1
    finally:
        examiner.close()
    print(f"{found} to do" if found else "nothing is missing")
    return FAIL if found else PASS
