"""The summary of a CI job in Markdown: the board, the first difference of each failing kata, the score."""

from __future__ import annotations

import html
from collections.abc import Sequence

from grading.catalog import Catalog
from grading.records import KataResult, Report
from grading.reports.score import score, started
from grading.reports.terminal import cause_text, clean, why_broken
from grading.texts import ENGLISH, Texts

LONGEST = 2000  # characters of one value: GitHub refuses a summary of more than 1 MiB


def markdown(report: Report, notes: Sequence[str] = ()) -> str:
    """The whole summary; `notes` are sentences about the submission that are no part of the grade."""
    points = score(report)
    tracks = started(report)
    counted = [result for result in report.katas if Catalog()[result.kata].track in tracks]
    passed = sum(result.outcome == "passed" for result in counted)
    shown = [
        f"{each['points']:g} of {each['max']:g} points ({each['track']})"
        for each in points["tracks"]
        if each["track"] in tracks
    ]
    head = f"## {passed} of {len(counted)} katas pass, {', '.join(shown)}"
    rows = ["| | kata | | checks | points |", "|---|---|---|---|---|"]
    for result, kata in zip(report.katas, points["katas"], strict=True):
        number = Catalog()[result.kata].number
        name = f"{result.title} (`problems/{result.kata}.py`)"
        rows.append(
            f"| {number or '-'} | {name} | {result.outcome} | {result.passed}/{result.expected} "
            f"| {kata['points']:g}/{kata['max']:g} |"
        )
    parts = [head, "\n".join(rows), *(_failure(result) for result in report.katas)]
    parts += [f"> {html.escape(clean(note))}" for note in notes]
    fences = ", ".join(report.fences)
    parts.append(f"`python grader.py --seed {report.seed}` repeats this run's inputs. Fences: {fences}.")
    return "\n\n".join(filter(None, parts)) + "\n"


def _failure(result: KataResult) -> str:
    """Title, then call, wanted, got and cause as preformatted text: nothing of the learner's is read as markup."""
    if result.outcome not in ("failed", "broken"):
        return ""
    check = result.first_failure
    if check is None:
        message = result.message or f"{len(result.checks)} of {result.expected} checks ran"
        title, rows = "a check is missing", [("", message), ("where", result.where)]
        title = why_broken(result, Texts(ENGLISH)) if result.outcome == "broken" else title
    else:
        title = check.title
        rows = [("", check.message), ("where", check.where), ("call", check.call)]
        rows += [("wanted", check.wanted), ("got", check.got)]
        here, total = result.explaining(check), len(result.wrong)
        away = tuple(cause for cause in result.causes if cause not in here)
        english = Texts(ENGLISH)
        for label, key, causes in (("cause", "causes", here), ("also", "causes-elsewhere", away)):
            if causes:
                rows.append((label, english.word(key, causes=cause_text(causes, english, total))))
    block = "\n".join(_row(label, text) for label, text in rows if text)
    more = len(result.failures) - 1
    tail = f"\n\n{more} more checks of this kata fail." if more > 0 else ""
    return f"### {result.kata}: {html.escape(clean(title))}\n\n<pre>\n{block}\n</pre>{tail}"


def _row(label: str, text: str) -> str:
    lines = [html.escape(clean(line)) for line in text[:LONGEST].splitlines()]
    return "\n".join(f"{label if not i else '':<8}{line}" for i, line in enumerate(lines))
