"""A report on the screen: the board, the first failure in full, the next step."""

from __future__ import annotations

import textwrap
import unicodedata

from rich.text import Text

from grading.catalog import Catalog
from grading.records import Cause, CheckResult, KataResult, Report

LABEL = 8
MAX_PRINTED = 3
STYLES = {"passed": "green", "failed": "red", "broken": "red", "not started": "dim"}
MARKS = {"passed": "ok", "failed": "x", "broken": "x", "not started": "-"}


def report(report: Report, width: int, verbose: bool = False) -> Text:
    """The whole screen."""
    out = board(report, width)
    failing = [result for result in report.katas if result.outcome in ("failed", "broken")]
    for result in failing if verbose else failing[:1]:
        out.append("\n")
        out.append(failure(result, width, verbose))
    out.append("\n")
    out.append(_next(report, width))
    return out


def board(report: Report, width: int) -> Text:
    """One line a kata: mark, number, stem, title, how far it is."""
    out = Text()
    stems = max(len(result.kata) for result in report.katas)
    for result in report.katas:
        number = Catalog()[result.kata].number
        state = f"{result.passed}/{result.expected}" if result.outcome in ("passed", "failed") else result.outcome
        left = f"{MARKS[result.outcome]:>3} {number} {result.kata:<{stems}}  "
        room = width - len(left) - len(state) - 2
        title = textwrap.shorten(result.title, room, placeholder="...") if room > 3 else ""
        out.append(f"{left}{title:<{max(room, 0)}} {state}\n", style=STYLES[result.outcome])
    return out


def failure(result: KataResult, width: int, verbose: bool = False) -> Text:
    """Why a kata does not pass: the first failing rule in full, the others by title."""
    if result.outcome == "broken":
        return _broken(result, width)
    failed = [check for check in result.checks if check.outcome == "failed"]
    out = Text()
    for check in failed if verbose else failed[:1]:
        out.append(_check(result, check, width))
        if result.causes and check is failed[0]:
            out.append(_row("cause", f"exactly what you get when {cause_text(result.causes)}", width, "yellow"))
        out.append(_printed(check.printed, width))
    if not failed:
        out.append(f"  x {result.kata}: {len(result.checks)} of {result.expected} checks ran\n", style="red")
    if not verbose and len(failed) > 1:
        titles = "; ".join(dict.fromkeys(check.title.split(" [")[0] for check in failed[1:]))
        out.append(_row("", f"{len(failed) - 1} more fail (-v shows all): {titles}", width, "dim", lines=1))
    out.append(_row("next", f"python grader.py hint {result.kata}", width))
    return out


def _check(result: KataResult, check: CheckResult, width: int) -> Text:
    out = _head(result, check.title, check.where, width)
    out.append(_row("call", check.call, width))
    out.append(_row("", check.message, width, "bold"))
    wanted, got = check.wanted.splitlines(), check.got.splitlines()
    if len(wanted) > 1 or len(got) > 1:
        return out.append(_side_by_side(wanted, got))
    out.append(_row("wanted", check.wanted, width))
    return out.append(_row("line" if check.kind in ("raised", "forbidden") else "got", check.got, width))


def cause_text(causes: tuple[Cause, ...]) -> str:
    """All causes in one sentence: those that hold together joined by `and`, those that each suffice by `or`."""
    groups = [[c.sentence for c in causes if c.alternative == i] for i in sorted({c.alternative for c in causes})]
    return "; or when ".join("; and ".join(group) for group in groups)


def _broken(result: KataResult, width: int) -> Text:
    out = _head(result, "the file does not load", result.where or result.file, width)
    out.append(_row("", result.message, width, "bold"))
    return out.append(_printed(result.printed, width))


def _head(result: KataResult, title: str, where: str, width: int) -> Text:
    left = f"  x {Catalog()[result.kata].number} {result.kata}   {title}"
    gap = width - len(left) - len(where)
    if gap > 1:
        return Text(f"{left}{' ' * gap}{where}\n", style="red")
    lines = [*textwrap.wrap(left, width, subsequent_indent=" " * 5, drop_whitespace=False), " " * 5 + where]
    return Text("\n".join(lines) + "\n", style="red")


def _row(label: str, text: str, width: int, style: str = "", lines: int | None = None) -> Text:
    """A labelled text, wrapped; with `lines`, at most that many."""
    if not text:
        return Text()
    indent = " " * (5 + LABEL)
    room = max(width - len(indent), 20)
    wrapped = textwrap.wrap(clean(text), room, break_on_hyphens=False, max_lines=lines, placeholder=" ...")
    return Text(f"     {label:<{LABEL}}" + f"\n{indent}".join(wrapped) + "\n", style=style)


def _side_by_side(wanted: list[str], got: list[str]) -> Text:
    column = max([len(line) for line in wanted] + [4]) + 6
    out = Text()
    for i in range(max(len(wanted), len(got))):
        left = wanted[i] if i < len(wanted) else ""
        right = clean(got[i]) if i < len(got) else ""
        labels = ("wanted", "got") if not i else ("", "")
        out.append(f"     {labels[0]:<{LABEL}}{left:<{column}}{labels[1]:<5}{right}".rstrip() + "\n")
    return out


def _printed(words: str, width: int) -> Text:
    """What the learner printed: the beginning, each line marked as theirs."""
    lines = [clean(line) for line in words.splitlines() if line.strip()]
    out = Text()
    for i, line in enumerate(lines[:MAX_PRINTED]):
        out.append(f"     {'printed' if not i else '':<{LABEL}}| {line[: max(width - LABEL - 8, 20)]}\n", style="dim")
    if len(lines) > MAX_PRINTED:
        out.append(f"     {'':<{LABEL}}| ... {len(lines) - MAX_PRINTED} more lines\n", style="dim")
    return out


def _next(report: Report, width: int) -> Text:
    """What to do now."""
    started = [result for result in report.katas if result.outcome != "not started"]
    fresh = [result for result in report.katas if result.outcome == "not started"]
    passed = [result for result in started if result.outcome == "passed"]
    if len(passed) < len(started):
        text = f"{len(passed)} of {len(started)} started katas pass. --seed {report.seed} repeats this run."
    elif fresh:
        kata = Catalog()[fresh[0].kata]
        text = f"Next: {kata.title}, about {kata.minutes} minutes: edit {fresh[0].file}, then grade again."
    else:
        text = "All pass. Compare with the reference: python grader.py compare " + report.katas[-1].kata
    return Text("\n".join(textwrap.wrap(text, width, break_on_hyphens=False)) + "\n", style="bold")


def clean(text: str) -> str:
    """Words of the learner's program without control characters: they cannot move the cursor or forge a line."""
    return "".join(c if c == "\t" or unicodedata.category(c)[0] != "C" else "?" for c in text).replace("\t", "    ")
