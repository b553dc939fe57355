"""Work on a program in which bugs are planted: what is given, how many are found, and what they were."""

from __future__ import annotations

import random

from grading.examination.plants import SOUND, drawn, planted, plants
from grading.hunts import Hunt
from grading.practice.interview.workspace import Work
from grading.records import CheckResult, KataResult
from grading.texts import Texts, grader, word


def given(hunt: Hunt, count: int, minutes: float, chance: random.Random, now: float = 0.0) -> Work:
    """The program with so many bugs in it, to be mended. KataFault where a file of the hunt is broken."""
    keys = drawn(hunt, chance, count)
    return Work(hunt.stem, now, minutes, planted(hunt, keys), source=" ".join(keys))


def found(result: KataResult) -> str:
    """How many are found, and never where one is that is not; of what else went wrong, that it did."""
    parts = [word("hunt-found", found=result.passed, planted=result.expected)]
    sound = _sound(result)
    if sound.outcome == "failed":
        parts.append(word("hunt-unsound"))
    if sound.kind in ("raised", "stopped"):
        parts.append(word("run-raised", message=sound.message, where=sound.where))
    return word("semicolon").join(parts)


def _sound(result: KataResult) -> CheckResult:
    """The check of what was right at the start."""
    return next(check for check in result.checks if check.name == SOUND)


def rows(work: Work) -> list[tuple[str, str]]:
    """For a card: how many were found, then each bug, those first that were; now it is said what they were."""
    hunt, keys = work.kata, sorted(work.planted, key=lambda key: key not in work.found)
    assert isinstance(hunt, Hunt)
    known, counts = plants(hunt), {"part": work.passed, "whole": len(keys)}
    lines = [("found", word("card-of", **counts))]
    for key in keys:
        told = Texts().drill(hunt.stem, key, known[key].sentence)
        lines.append(("bug" if key in work.found else "left", told))
    if SOUND not in work.found:
        lines.append(("unsound", word("hunt-unsound")))
    if hunt.notebook:
        lines.append(("read", f"{grader()} read {hunt.stem}"))
    return lines
