"""The verb `history`: the attempts that have ended, those under way, and whether it gets better."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from grading.catalog import Catalog, Kata
from grading.console import PASS, Verbs, named, say, width
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import DRILL, FILE, Attempt, Entry, form, work_of
from grading.practice.progress.times import day, length, moment
from grading.texts import Texts, word

NARROW = 72  # columns; below, a day has no year and no time
RECENT = 5  # passes that are shown of a kata, and that are compared with as many before


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    history = verbs.add_parser("history", help="what you did, with times, runs, mistakes and hints, and the trend")
    history.add_argument("kata", nargs="?", metavar="KATA", type=named)
    history.set_defaults(run=_history)


def _history(arguments: argparse.Namespace) -> int:
    kata: Kata | None = arguments.kata
    progress = Progress()
    katas = [kata] if kata else list(Catalog().katas)
    entries = [entry for entry in progress.history() if kata is None or entry.kata == kata.stem]
    going = [entry for each in katas if (entry := _under_way(progress, each.stem))]
    if not entries and not going:
        print(word("history-none"))
        return PASS
    print(_row("", *(word(f"history-{key}") for key in ("when", "kata", "kind", "time", "runs", "hints"))))
    for entry in entries:
        _show("ok" if entry.passed else "x", entry)
    for entry in going:
        _show("..", entry)
    if lines := trend(entries):
        print()
        for line in lines:
            say(line, "    ")
    return PASS


def _under_way(progress: Progress, stem: str) -> Entry | None:
    """The attempt at a file that has not ended yet, if there was a grade in it."""
    attempt = progress.kata(stem).attempt
    going = form(Attempt, attempt) if attempt else Attempt()
    return Entry(stem, going.last, FILE, passed=False, **work_of(going)) if going.runs else None


def _show(mark: str, entry: Entry) -> None:
    """A line, and under it how many bugs were found, or the mistakes that were named."""
    at = moment(entry.at) if width() >= NARROW else day(entry.at)[5:]
    where = word(f"kind-{entry.kind}")
    print(_row(mark, at, entry.kata, where, length(entry.seconds), str(entry.runs), str(entry.hints)))
    if entry.planted:
        say(" " * 4 + word("hunt-found", found=entry.found, planted=entry.planted), " " * 4)
    texts = Texts()
    for name, sentence in entry.causes.items():
        told = texts.cause(name, sentence, entry.explains.get(name, 0))
        say(" " * 4 + told, " " * 4)


def _row(mark: str, at: str, kata: str, where: str, time: str, runs: str, hints: str) -> str:
    from grading.reports.columns import flush, padded

    columns = (4, 18, 18, 12, 7, 7, 7) if width() >= NARROW else (4, 7, 14, 10, 5, 5, 5)
    texts = [padded(text, column) for text, column in zip((mark, at, kata, where), columns, strict=False)]
    numbers = [flush(text, column) for text, column in zip((time, runs, hints), columns[4:], strict=True)]
    return "".join(texts + numbers).rstrip()


def trend(entries: Sequence[Entry]) -> list[str]:
    """How the passes of each kata that was written more than once went, and the last passes beside those before."""
    texts, katas = Texts(), {kata.stem: kata for kata in Catalog().katas}
    passes = [entry for entry in entries if entry.passed and entry.kind != DRILL and entry.kata in katas]
    lines = []
    for stem in katas:
        own = [entry for entry in passes if entry.kata == stem][-RECENT:]
        if len(own) > 1:
            times = word("trend-to").join(length(entry.seconds) for entry in own)
            runs = word("trend-to").join(str(entry.runs) for entry in own)
            lines.append(texts.word("trend", kata=stem, times=times, runs=runs))
    count = min(RECENT, len(passes) // 2)
    if count > 1:
        shares = [entry.seconds / 60 / katas[entry.kata].minutes for entry in passes]
        last, before = sum(shares[-count:]) / count, sum(shares[-2 * count : -count]) / count
        lines.append(texts.word("trend-all", count=count, last=100 * last, before=100 * before))
    return lines
