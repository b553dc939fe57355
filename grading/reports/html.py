"""A report as a page of its own, and as a part of a notebook's page. Neither has a script in it.

A notebook that is not trusted is shown without styles and drawings, so that the maps are tables of numbers. What a
learner's program said is escaped by the templates and cleaned of control characters here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from grading.catalog import Catalog
from grading.records import CheckResult, KataResult, Report
from grading.reports.heat import Heat, heats
from grading.reports.terminal import MARKS, cause_text, clean, summary, what_to_read, why_broken
from grading.texts import Texts

MAX_DRAWN = 6  # maps are most of a page, and the seventh tells nobody anything new
MAX_TEXT = 4000


@dataclass(frozen=True)
class Shown:
    """The first failed check of a test, with its maps, and the parameters with which the test fails too."""

    check: CheckResult
    heats: tuple[Heat, ...]
    also: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A kata as the templates show it."""

    result: KataResult
    number: int
    mark: str
    style: str
    state: str
    causes: str
    notebooks: tuple[str, ...]
    failures: tuple[Shown, ...]
    star: str
    next: str

    @property
    def failing(self) -> bool:
        return self.result.outcome in ("failed", "broken")


def page(report: Report, texts: Texts | None = None, notebooks: str = "notebooks") -> str:
    """One self-contained file: light and dark, for screens from a phone's on.

    Args:
        notebooks: where the notebooks are, seen from the page.
    """
    return _render("page.html", report, texts or Texts(), notebooks, ())


def cell(report: Report, texts: Texts | None = None, hints_read: Collection[str] = ()) -> str:
    """The verdict as part of a notebook, in its colours. `hints_read` are the katas that have no hint left."""
    return _render("cell.html", report, texts or Texts(), ".", hints_read)


def _render(template: str, report: Report, texts: Texts, notebooks: str, hints_read: Collection[str]) -> str:
    rows = [_row(texts.result(result), texts, hints_read) for result in report.katas]
    values = {
        "summary": summary(report, texts),
        "seed": report.seed,
        "seconds": f"{report.seconds:.1f}",
        "notebooks": notebooks,
    }
    return environment().get_template(template).render(texts=texts, rows=rows, **values)


def _row(result: KataResult, texts: Texts, hints_read: Collection[str]) -> Row:
    counted = result.outcome in ("passed", "failed")
    star = "* " if result.star and result.star.given else ""
    state = f"{star}{result.passed}/{result.expected}" if counted else texts.word(result.outcome.replace(" ", "-"))
    return Row(
        result,
        Catalog()[result.kata].number,
        MARKS[result.outcome],
        result.outcome.replace(" ", "-"),
        state,
        _causes(result, texts),
        tuple(dict.fromkeys(cause.notebook for cause in result.causes)),
        tuple(_failures(result)),
        result.star.text if result.star else "",
        what_to_read(result, hints_read),
    )


def _causes(result: KataResult, texts: Texts) -> str:
    """Those of the check that is shown, then those of others."""
    shown, total = result.first_failure, len(result.wrong)
    here = result.explaining(shown) if shown else ()
    away = tuple(cause for cause in result.causes if cause not in here)
    parts = (("causes", here), ("causes-elsewhere", away))
    return " ".join(texts.word(key, causes=cause_text(causes, texts, total)) for key, causes in parts if causes)


def _failures(result: KataResult) -> Iterator[Shown]:
    """The failed tests in order, the check that is shown before all others."""
    tests: dict[str, list[CheckResult]] = {}
    shown = result.first_failure
    for check in sorted(result.failures, key=lambda check: check is not shown):
        tests.setdefault(check.name.split("[")[0], []).append(check)
    drawn = 0
    for first, *others in tests.values():
        found = heats(first) if drawn < MAX_DRAWN else ()
        drawn += bool(found)
        yield Shown(first, found, tuple(check.title.partition(" [")[2].removesuffix("]") for check in others))


def _lines(text: str) -> str:
    """Several lines of a learner's words, each of them cleaned; a very long text cut."""
    kept = "\n".join(clean(line) for line in text[:MAX_TEXT].splitlines())
    return kept + (" ..." if len(text) > MAX_TEXT else "")


@cache
def environment() -> Environment:
    """The templates: all that they put in is escaped, and a name that is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["why_broken"] = why_broken
    environment.filters["clean"] = clean
    environment.filters["lines"] = _lines
    return environment
