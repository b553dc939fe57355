"""--debug KATA: a debugger stops once, in the first check that fails."""

from __future__ import annotations

from pathlib import Path

from grading.candidate.in_process import CALLS, DebugHost
from grading.catalog import Kata
from grading.console import say_faults, show, width
from grading.examination.examiner import Examiner
from grading.records import CheckResult, KataResult, Report
from grading.reports import terminal
from grading.texts import Texts, word


def debug(kata: Kata, problems: Path, seed: int | None, only: str) -> Report:
    """Grade in this process, then run the first check that fails again, with a debugger in it."""
    examiner = Examiner(debug=True)
    host = examiner.host
    assert isinstance(host, DebugHost)
    try:
        report = examiner.grade([kata.stem], problems, seed, only=only)
        result = report.katas[0] if report.katas else None
        if result and result.checks:
            _stop(examiner, host, result, problems, report.seed)
        say_faults(report)
        return report
    finally:
        examiner.close()


def _stop(examiner: Examiner, host: DebugHost, result: KataResult, problems: Path, seed: int) -> None:
    check = result.first_failure or result.checks[-1]
    _say(result, check)
    # a check of a layer makes it and calls it; only where it is never called, the making is what fails
    for host.armed in (CALLS, ("make",)):
        examiner.grade([result.kata], problems, seed, only=check.name)
        if host.stopped:
            return
    print(word("debug-nowhere"))


def _say(result: KataResult, check: CheckResult) -> None:
    failed = check.outcome == "failed"
    title = next(each.title for each in Texts().result(result).checks if each.name == check.name)
    print(word("debug-stop" if failed else "debug-passed", title=title))
    if failed:
        show(terminal.rows(check, width()))
    print(word("debug-keys"), flush=True)
