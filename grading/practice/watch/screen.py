"""The screen of `watch`: what to show, and how it is cut to the terminal."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from grading.catalog import ROOT, Catalog, Kata
from grading.records import Report
from grading.reports import terminal
from grading.reports.compare import side_by_side
from grading.texts import Texts, word

BAR = 20
View = Literal["verdict", "hint", "list", "all", "compare"]
Lines = list[list[Segment]]


@dataclass
class State:
    """All that the screen depends on. `page` counts screenfuls of a long body; `asking` is a question for y or n."""

    kata: Kata
    report: Report | None = None
    whole: Report | None = None
    view: View = "verdict"
    page: int = 0
    hint: int = 0
    passed: set[str] = field(default_factory=set)
    busy: bool = False
    polling: bool = False
    asking: str = ""

    @property
    def done(self) -> bool:
        """Whether the current kata passes."""
        return bool(self.report and self.report.katas[0].outcome == "passed")


def console() -> Console:
    """One that asks the terminal for its size each time: COLUMNS and LINES do not follow a resize."""
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return Console(highlight=False, _environ=environment)


def draw(console: Console, state: State) -> None:
    """Put the state on the (alternate) screen, in one write."""
    width, height = console.size
    options = console.options.update(width=width, height=None)
    foot = _lines(console, footer(state), width)
    room = max(height - len(foot), 1)
    shown = console.render_lines(body(state, width), options, pad=True)
    pages = max(-(-len(shown) // room), 1)
    state.page %= pages
    if state.view == "hint" and state.page == 0 and len(shown) > room:
        shown = shown[-room:]  # it stands at the end, and was asked for
    else:
        shown = shown[state.page * room : (state.page + 1) * room]
    blank = [Segment(" " * width)]
    page = [*shown, *[blank] * (room - len(shown)), *foot]
    if pages > 1:
        more = Text(word("page", page=state.page + 1, count=pages), style="reverse")
        page[room - 1] = _lines(console, more, width)[0]
    console.update_screen_lines(page[:height])


def body(state: State, width: int) -> RenderableType:
    """The upper part."""
    if state.view == "compare":
        path = ROOT / "problems" / f"{state.kata.stem}.py"
        yours = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        return side_by_side(yours, state.kata.reference, width)
    if state.view == "all" and state.whole:
        return terminal.report(state.whole, width)
    if state.view == "list":
        return Group(*(_entry(kata, state) for kata in Catalog().katas))
    verdict = _verdict(state, width)
    return Group(verdict, "", _hint(state)) if state.view == "hint" else verdict


def _verdict(state: State, width: int) -> Text:
    if not state.report:
        return Text(word("grading"))
    result, board = state.report.katas[0], terminal.board(state.report, width)
    if result.outcome in ("failed", "broken"):
        return board.append("\n").append(terminal.failure(result, width))
    if result.outcome == "passed":
        return board.append(f"\n{word('it-passes')}\n", style="bold")
    return board.append(f"\n{word('edit-file')}\n", style="bold")


def _hint(state: State) -> Text:
    hints = Texts().hints(state.kata)
    head = Text(word("hint-head", level=state.hint, count=len(hints)) + "\n", style="bold")
    return head.append(Text(hints[state.hint - 1], style="not bold"))


def _entry(kata: Kata, state: State) -> Text:
    mark = "ok" if kata.stem in state.passed else ">" if kata == state.kata else "-"
    style = "green" if mark == "ok" else "bold" if mark == ">" else ""
    minutes = word("list-minutes", minutes=kata.minutes)
    return Text(f"{mark:>3} {kata.number} {kata.stem:<14}{minutes}  {Texts().title(kata)}", style=style)


def footer(state: State) -> RenderableType:
    """What is done, the bar, the file as a link, the keys."""
    stems = Catalog().stems
    done = [stem for stem in stems if stem in state.passed]
    full = BAR * len(done) // len(stems)
    bar = Text("\n[").append("#" * full, style="green").append("-" * (BAR - full), style="dim")
    bar.append(f"] {len(done)}/{len(stems)}  ").append(" ".join(done), style="green")
    return Group(bar, _file(state), _keys(state))


def _file(state: State) -> Text:
    path = ROOT / "problems" / f"{state.kata.stem}.py"
    where = state.report.katas[0].file if state.report else str(path.relative_to(ROOT))
    line = Text(word("file") + "  ").append(where, style=Style(bold=True, link=path.as_uri()))
    if state.busy:
        line.append("   " + word("grading"), style="yellow")
    elif state.report:
        line.append("   " + word("seconds", seconds=state.report.seconds), style="dim")
    if state.polling:
        line.append("   " + word("polling"), style="yellow")
    return line


def _keys(state: State) -> Text:
    if state.asking:
        return Text(f"{state.asking}  y/n", style="bold reverse")
    keys = word("keys", compare=word("key-compare") if state.done else "")
    return Text(keys, style="dim", no_wrap=True, overflow="crop")


def _lines(console: Console, what: RenderableType, width: int) -> Lines:
    return console.render_lines(what, console.options.update(width=width, height=None), pad=True)
