"""A report on the screen: the board, the first failure in full, the next step."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection
from dataclasses import replace

from rich.cells import cell_len, chop_cells
from rich.text import Text

from grading.catalog import Catalog
from grading.records import CELL, Cause, CheckResult, KataResult, Report
from grading.reports.columns import fit, padded, wrap
from grading.texts import COMMAND, SHOWS_A_LINE, Texts, grader, word

LABEL = 8
TITLES = 3
MAX_PRINTED = 20
OWN_HEADLINE = ("forbidden", "stopped", "died", "misfit")  # kinds that have nothing to do with the rule of a check
STYLES = {"passed": "green", "failed": "red", "broken": "red", "not started": "dim"}
MARKS = {"passed": "ok", "failed": "x", "broken": "x", "not started": "-"}


def report(report: Report, width: int, verbose: bool = False, hints_read: Collection[str] = ()) -> Text:
    """The whole screen. `hints_read` are the katas that have no hint left."""
    out = board(report, width)
    failing = [result for result in report.katas if result.outcome in ("failed", "broken")]
    for result in failing if verbose else failing[:1]:
        out.append("\n")
        out.append(failure(result, width, verbose, hints_read))
    for result in report.katas:
        out.append(_printed_last(result, width, verbose))
    out.append("\n")
    out.append(_next(report, width))
    return out


def board(report: Report, width: int) -> Text:
    """One line a kata: mark, number, stem, title, how far it is; `*` for the efficiency star, or what it lacks. Where
    there are katas of several tracks, each track has its name above it."""
    out = Text()
    stems = max(len(result.kata) for result in report.katas)
    tracks = [Catalog()[result.kata].track for result in report.katas]
    for i, result in enumerate(map(Texts().result, report.katas)):
        if len(set(tracks)) > 1 and tracks[i] not in tracks[:i]:
            out.append(word(f"track-{tracks[i]}") + "\n", style="dim")
        number = Catalog()[result.kata].number
        shown = "not started" if result.left_out and result.outcome == "passed" else result.outcome
        counted = result.outcome in ("passed", "failed")
        star = "* " if result.star and result.star.given else ""
        state = f"{star}{_count(result)}" if counted else word(result.outcome.replace(" ", "-"))
        left = f"{MARKS[shown]:>3} {number or '-'} {result.kata:<{stems}}  "
        room = max(width - len(left) - cell_len(state) - 2, 0)
        out.append(f"{left}{fit(result.title, room)} {state}\n", style=STYLES[shown])
        if result.star and not result.star.given:
            out.append("\n".join(wrap(" " * 6 + result.star.text, width, " " * 6)) + "\n", style="dim")
    return out


def _count(result: KataResult) -> str:
    count, whole = f"{result.passed}/{result.expected}", result.expected + result.left_out
    return word("part", count=count, whole=whole) if result.left_out else count


def failure(result: KataResult, width: int, verbose: bool = False, hints_read: Collection[str] = ()) -> Text:
    """Why a kata does not pass: the first failing rule in full, the others by title."""
    result = Texts().result(result)
    if result.outcome == "broken":
        return _broken(result, width)
    failed, shown = result.failures, result.first_failure
    out = Text()
    for check in result.wrong if verbose and result.wrong else [shown] if shown else []:
        out.append(_check(result, check, width))
        if check is shown:
            out.append(_causes(result, check, width))
        out.append(_printed(check.printed, width, verbose))
    if result.fault:
        out.append(_row("", word("no-causes"), width, "yellow"))
    if not failed:
        ran = word("ran", count=len(result.checks), expected=result.expected)
        out.append(f"  x {result.kata}: {ran}\n", style="red")
    if not verbose and len(failed) > 1:
        out.append(_row("", _others(result), width, "dim"))
    out.append(_row("", _unwritten(result), width, "dim"))
    out.append(_row("", _not_run(result), width, "dim"))
    return out.append(_row("next", what_to_read(result, hints_read), width))


def one_check(result: KataResult, check: CheckResult, width: int) -> Text:
    """A failed check by itself: what went wrong, why where that is known, and where to read on."""
    result = Texts().result(result)
    check = next(each for each in result.checks if each.name == check.name)
    here = result.explaining(check)
    out = Text(f"{check.title}\n     {check.where}\n").append(rows(check, width))
    out.append(_row("cause", word("causes", causes=cause_text(here)) if here else "", width, "yellow"))
    return out.append(_row("next", what_to_read(result, ()), width))


def _unwritten(result: KataResult) -> str:
    """What of a half-done file is written and passes, or what is not written yet, where something else fails."""
    first, names = result.first_failure, dict.fromkeys(check.message for check in result.unwritten)
    if not names or not first:
        return ""
    if first.kind == "unwritten":
        return word("written-passes", count=result.passed)
    return f"{word('semicolon').join(names)}{word('checks', count=len(result.unwritten))}"


def _not_run(result: KataResult) -> str:
    """How many checks had no turn, because the answer was stopped before."""
    count = sum(check.kind == "skipped" for check in result.checks)
    return word("not-run", count=count) if count else ""


def what_to_read(result: KataResult, hints_read: Collection[str]) -> str:
    """The next hint, and the notebook's section where a cause is known; the notebook where no hint is left.

    In a notebook another is a click away; in a terminal its section can be read at once.
    """
    section = result.causes[0].notebook if result.causes else Catalog()[result.kata].notebook
    read = f"notebooks/{section}" if COMMAND in os.environ else f"{grader()} read {section.replace('.ipynb', '')}"
    read = read if section else ""
    if result.kata in hints_read:
        return read
    return f"{grader()} hint {result.kata}" + (f", {read}" if result.causes else "")


def _causes(result: KataResult, shown: CheckResult, width: int) -> Text:
    """The causes of the check that is shown; then those of others, which say so."""
    here, total = result.explaining(shown), len(result.wrong)
    away = tuple(cause for cause in result.causes if cause not in here)
    out = _row("cause", word("causes", causes=cause_text(here, total=total)) if here else "", width, "yellow")
    return out.append(
        _row("also-row", word("causes-elsewhere", causes=cause_text(away, total=total)) if away else "", width)
    )


def _others(result: KataResult) -> str:
    """What else fails, and where there are causes is not explained by them; at most three titles."""
    shown = result.first_failure
    left = [check for check in result.unexplained if check is not shown]
    titles = list(dict.fromkeys(check.title.split(" [")[0] for check in left))[:TITLES]
    key = "fail-otherwise" if result.causes else "more-fail"
    return word(key, count=len(left), titles=word("semicolon").join(titles)) if left else ""


def _check(result: KataResult, check: CheckResult, width: int) -> Text:
    if check.kind == "unwritten":
        return _head(result, check.message, check.where, width)
    own = check.kind in OWN_HEADLINE
    out = _head(result, check.message if own else check.title, check.where, width)
    return out.append(rows(replace(check, message="") if own else check, width))


def rows(check: CheckResult, width: int) -> Text:
    """What a failing check called, wanted and got."""
    out = _row("call", check.call, width)
    out.append(_row("", check.message, width, "bold"))
    wanted, got = check.wanted.splitlines(), check.got.splitlines()
    if len(wanted) > 1 or len(got) > 1:
        return out.append(_side_by_side(wanted, got))
    out.append(_row("wanted", check.wanted, width))
    return out.append(_row("line" if check.kind in SHOWS_A_LINE else "got", check.got, width))


def cause_text(causes: tuple[Cause, ...], texts: Texts | None = None, total: int = 0) -> str:
    """All causes in one sentence: those that hold together joined by `and`, those that each suffice by `or`.

    Args:
        total: how many checks fail, to say how many of them each cause explains.
    """
    texts = texts or Texts()
    groups: dict[int, list[str]] = {}
    for cause in causes:
        count = texts.word("explains", count=len(cause.explains), total=total) if total and cause.explains else ""
        groups.setdefault(cause.alternative, []).append(cause.sentence + count)
    return texts.word("or").join(texts.word("and").join(group) for _, group in sorted(groups.items()))


def why_broken(result: KataResult, texts: Texts) -> str:
    """Whether it is the learner's file that is broken, or the kata."""
    return texts.word("kata-broken" if result.fault else "does-not-load")


def _broken(result: KataResult, width: int) -> Text:
    out = _head(result, why_broken(result, Texts()), result.where or result.file, width)
    out.append(_row("", result.message, width, "bold"))
    return out.append(_printed(result.printed, width, verbose=False))


def _head(result: KataResult, title: str, where: str, width: int) -> Text:
    left = f"  x {Catalog()[result.kata].number or '-'} {result.kata}   {title}"
    gap = width - cell_len(left) - cell_len(where)
    if gap > 1:
        return Text(f"{left}{' ' * gap}{where}\n", style="red")
    lines = [*wrap(left, width, " " * 5), " " * 5 + where]
    return Text("\n".join(lines) + "\n", style="red")


def _row(label: str, text: str, width: int, style: str = "", lines: int | None = None) -> Text:
    """A labelled text, wrapped; with `lines`, at most that many."""
    if not text:
        return Text()
    indent = " " * (5 + LABEL)
    room = max(width - len(indent), 20)
    wrapped = wrap(clean(text), room, lines=lines)
    return Text(f"     {_label(label)}" + f"\n{indent}".join(wrapped) + "\n", style=style)


def _label(key: str) -> str:
    return padded(word(key) if key else "", LABEL)


def _side_by_side(wanted: list[str], got: list[str]) -> Text:
    column = max([len(line) for line in wanted] + [4]) + 6
    out = Text()
    for i in range(max(len(wanted), len(got))):
        left = wanted[i] if i < len(wanted) else ""
        right = clean(got[i]) if i < len(got) else ""
        labels = ("wanted", word("got")) if not i else ("", "")
        out.append(f"     {_label(labels[0])}{left:<{column}}{padded(labels[1], 5)}{right}".rstrip() + "\n")
    return out


def _printed_last(result: KataResult, width: int, verbose: bool) -> Text:
    """What the learner's code printed in the check that ran last, of a kata that passes."""
    last = result.checks[-1] if result.outcome == "passed" and result.checks else None
    if not last or not last.printed.strip():
        return Text()
    title = Texts().result(result).checks[-1].title
    head = Text("\n" + "\n".join(wrap(f"    {result.kata}   {title}", width, " " * 5)) + "\n")
    return head.append(_printed(last.printed, width, verbose))


def _printed(words: str, width: int, verbose: bool) -> Text:
    """What the learner printed, each line marked as theirs: the beginning, or with `verbose` all of it."""
    room = max(width - LABEL - 8, 20)
    lines = [part for line in words.splitlines() if line.strip() for part in chop_cells(clean(line), room)]
    shown = lines if verbose else lines[:MAX_PRINTED]
    out = Text()
    for i, line in enumerate(shown):
        out.append(f"     {_label('' if i else 'printed')}| {line}\n", style="dim")
    if len(lines) > len(shown):
        more = word("more-lines", count=len(lines) - len(shown))
        out.append(f"     {'':<{LABEL}}| {more}\n", style="dim")
    return out


def _next(report: Report, width: int) -> Text:
    lines = [part for line in summary(report).splitlines() for part in wrap(line, width)]
    return Text("\n".join(lines) + "\n", style="bold")


def summary(report: Report, texts: Texts | None = None) -> str:
    """How far it is, and what to do now."""
    texts = texts or Texts()
    if report.only:
        return texts.word("partial", only=report.only, seed=report.seed)
    started = [result for result in report.katas if result.outcome != "not started"]
    fresh = [result for result in report.katas if result.outcome == "not started"]
    passed = sum(result.outcome == "passed" for result in started)
    if passed < len(started):
        return texts.word("summary", passed=passed, started=len(started), seed=report.seed)
    if fresh:
        kata = Catalog()[fresh[0].kata]
        key = "next-cell" if fresh[0].file == CELL else "next-kata"
        return texts.word(key, title=texts.title(kata), minutes=kata.minutes, file=fresh[0].file)
    done = texts.word("all-pass", kata=report.katas[-1].kata)
    if len(report.katas) < len(Catalog().katas):
        return done
    lacking = [result.kata for result in report.katas if result.star and not result.star.given]
    star = texts.word("then-star", katas=texts.word("list-comma").join(lacking)) + "\n" if lacking else ""
    return f"{done}\n{star}{texts.word('then')}"


def clean(text: str) -> str:
    """Words of the learner's program without control characters: they cannot move the cursor or forge a line."""
    return "".join(c if c == "\t" or unicodedata.category(c)[0] != "C" else "?" for c in text).replace("\t", "    ")
