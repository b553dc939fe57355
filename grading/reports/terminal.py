"""A report on the screen: the board, the first failure in full, the next step."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len
from rich.text import Text

from grading.catalog import Catalog
from grading.records import Cause, CheckResult, KataResult, Report
from grading.reports.columns import fit, padded, wrap
from grading.texts import Texts, word

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
    """One line a kata: mark, number, stem, title, how far it is; `*` for the efficiency star, or what it lacks."""
    out = Text()
    stems = max(len(result.kata) for result in report.katas)
    for result in map(Texts().result, report.katas):
        number = Catalog()[result.kata].number
        counted = result.outcome in ("passed", "failed")
        star = "* " if result.star and result.star.given else ""
        state = f"{star}{result.passed}/{result.expected}" if counted else word(result.outcome.replace(" ", "-"))
        left = f"{MARKS[result.outcome]:>3} {number or '-'} {result.kata:<{stems}}  "
        room = max(width - len(left) - cell_len(state) - 2, 0)
        out.append(f"{left}{fit(result.title, room)} {state}\n", style=STYLES[result.outcome])
        if result.star and not result.star.given:
            out.append("\n".join(wrap(" " * 6 + result.star.text, width, " " * 6)) + "\n", style="dim")
    return out


def failure(result: KataResult, width: int, verbose: bool = False) -> Text:
    """Why a kata does not pass: the first failing rule in full, the others by title."""
    result = Texts().result(result)
    if result.outcome == "broken":
        return _broken(result, width)
    failed = [check for check in result.checks if check.outcome == "failed"]
    out = Text()
    for check in failed if verbose else failed[:1]:
        out.append(_check(result, check, width))
        if result.causes and check is failed[0]:
            out.append(_row("cause", word("causes", causes=cause_text(result.causes)), width, "yellow"))
        out.append(_printed(check.printed, width))
    if result.fault:
        out.append(_row("", word("no-causes"), width, "yellow"))
    if not failed:
        ran = word("ran", count=len(result.checks), expected=result.expected)
        out.append(f"  x {result.kata}: {ran}\n", style="red")
    if not verbose and len(failed) > 1:
        titles = word("semicolon").join(dict.fromkeys(check.title.split(" [")[0] for check in failed[1:]))
        out.append(_row("", word("more-fail", count=len(failed) - 1, titles=titles), width, "dim", lines=1))
    read = f", notebooks/{result.causes[0].notebook}" if result.causes else ""
    out.append(_row("next", f"python grader.py hint {result.kata}{read}", width))
    return out


def _check(result: KataResult, check: CheckResult, width: int) -> Text:
    out = _head(result, check.title, check.where, width)
    out.append(_row("call", check.call, width))
    out.append(_row("", check.message, width, "bold"))
    wanted, got = check.wanted.splitlines(), check.got.splitlines()
    if len(wanted) > 1 or len(got) > 1:
        return out.append(_side_by_side(wanted, got))
    out.append(_row("wanted", check.wanted, width))
    return out.append(_row("line" if check.kind in ("raised", "forbidden", "misfit") else "got", check.got, width))


def cause_text(causes: tuple[Cause, ...], texts: Texts | None = None) -> str:
    """All causes in one sentence: those that hold together joined by `and`, those that each suffice by `or`."""
    groups = [[c.sentence for c in causes if c.alternative == i] for i in sorted({c.alternative for c in causes})]
    texts = texts or Texts()
    return texts.word("or").join(texts.word("and").join(group) for group in groups)


def why_broken(result: KataResult, texts: Texts) -> str:
    """Whether it is the learner's file that is broken, or the kata."""
    return texts.word("kata-broken" if result.fault else "does-not-load")


def _broken(result: KataResult, width: int) -> Text:
    out = _head(result, why_broken(result, Texts()), result.where or result.file, width)
    out.append(_row("", result.message, width, "bold"))
    return out.append(_printed(result.printed, width))


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


def _printed(words: str, width: int) -> Text:
    """What the learner printed: the beginning, each line marked as theirs."""
    lines = [clean(line) for line in words.splitlines() if line.strip()]
    out = Text()
    for i, line in enumerate(lines[:MAX_PRINTED]):
        out.append(f"     {_label('' if i else 'printed')}| {line[: max(width - LABEL - 8, 20)]}\n", style="dim")
    if len(lines) > MAX_PRINTED:
        more = word("more-lines", count=len(lines) - MAX_PRINTED)
        out.append(f"     {'':<{LABEL}}| {more}\n", style="dim")
    return out


def _next(report: Report, width: int) -> Text:
    return Text("\n".join(wrap(summary(report), width)) + "\n", style="bold")


def summary(report: Report, texts: Texts | None = None) -> str:
    """How far it is, and what to do now."""
    texts = texts or Texts()
    started = [result for result in report.katas if result.outcome != "not started"]
    fresh = [result for result in report.katas if result.outcome == "not started"]
    passed = sum(result.outcome == "passed" for result in started)
    if passed < len(started):
        return texts.word("summary", passed=passed, started=len(started), seed=report.seed)
    if fresh:
        kata = Catalog()[fresh[0].kata]
        return texts.word("next-kata", title=texts.title(kata), minutes=kata.minutes, file=fresh[0].file)
    return texts.word("all-pass", kata=report.katas[-1].kata)


def clean(text: str) -> str:
    """Words of the learner's program without control characters: they cannot move the cursor or forge a line."""
    return "".join(c if c == "\t" or unicodedata.category(c)[0] != "C" else "?" for c in text).replace("\t", "    ")
