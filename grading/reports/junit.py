"""JUnit XML, as GitLab, Jenkins and most graders' front ends read it: a suite a kata, a case a check."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from grading.records import CheckResult, KataResult, Report
from grading.reports.terminal import clean


def junit(report: Report) -> str:
    """The document. What was not started is skipped; what does not load is one error."""
    root = Element("testsuites", name="attention katas", time=f"{report.seconds:.3f}")
    for result in report.katas:
        _suite(root, result)
    totals = {
        key: sum(int(suite.get(key, "0")) for suite in root) for key in ("tests", "failures", "errors", "skipped")
    }
    for key, value in totals.items():
        root.set(key, str(value))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, result: KataResult) -> None:
    suite = SubElement(root, "testsuite", name=result.kata)
    if result.outcome == "not started":
        SubElement(_case(suite, result, result.title), "skipped", message="not started")
    elif result.outcome == "broken":
        name, kind = ("the kata is sound", "fault") if result.fault else ("the file loads", "load")
        _add(_case(suite, result, name), "error", result.message, result.where, kind)
    else:
        for check in result.checks:
            _check(suite, result, check)
        if len(result.checks) != result.expected:
            text = f"{len(result.checks)} of {result.expected} checks ran"
            _add(_case(suite, result, "all checks ran"), "error", text, text)
    counts = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
    for key, path in {**counts, "skipped": "testcase/skipped"}.items():
        suite.set(key, str(len(suite.findall(path))))


def _check(suite: Element, result: KataResult, check: CheckResult) -> None:
    case = _case(suite, result, check.title)
    if check.outcome == "failed":
        parts = {"call": check.call, "wanted": check.wanted, "got": check.got, "where": check.where}
        lines = [check.message, *(f"{label}: {text}" for label, text in parts.items() if text)]
        _add(case, "failure", check.message, "\n".join(lines), check.kind or "differs")
    if check.printed:
        SubElement(case, "system-out").text = _text(check.printed)


def _case(suite: Element, result: KataResult, name: str) -> Element:
    file = f"problems/{result.kata}.py"
    return SubElement(suite, "testcase", classname=result.kata, name=clean(name), file=file, time="0")


def _add(case: Element, tag: str, message: str, text: str, kind: str = "load") -> None:
    SubElement(case, tag, message=clean(message), type=kind).text = _text(text)


def _text(text: str) -> str:
    """Lines without what XML cannot hold."""
    return "\n".join(clean(line) for line in text.splitlines())
