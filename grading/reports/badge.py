"""A badge with the number of katas that pass: an SVG file of its own, and what shields.io asks an endpoint for."""

from __future__ import annotations

from typing import Any

from grading.catalog import Catalog
from grading.records import KataResult, Report
from grading.reports.score import started

LABEL = "katas"
CHARACTER, PADDING = 7, 10  # pixels, for Verdana at 11 pixels
HEX = {"brightgreen": "#4c1", "yellow": "#dfb317", "lightgrey": "#9f9f9f", "red": "#e05d44"}


def endpoint(report: Report) -> dict[str, Any]:
    """JSON for https://shields.io/badges/endpoint-badge."""
    return {"schemaVersion": 1, "label": LABEL, "message": _message(report), "color": _color(report)}


def svg(report: Report) -> str:
    """The same as a picture that needs no server."""
    message, color = _message(report), HEX[_color(report)]
    left, right = (len(text) * CHARACTER + PADDING for text in (LABEL, message))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{LABEL}: {message}">'
        f"<title>{LABEL}: {message}</title>"
        f'<rect width="{left}" height="20" fill="#555"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{color}"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2}" y="14">{LABEL}</text>'
        f'<text x="{left + right / 2}" y="14">{message}</text></g></svg>\n'
    )


def _counted(report: Report) -> list[KataResult]:
    """The katas of the tracks that a learner works on."""
    return [result for result in report.katas if Catalog()[result.kata].track in started(report)]


def _message(report: Report) -> str:
    return f"{sum(result.outcome == 'passed' for result in _counted(report))}/{len(_counted(report))}"


def _color(report: Report) -> str:
    outcomes = {result.outcome for result in _counted(report)}
    if outcomes & {"failed", "broken"}:
        return "red"
    if outcomes == {"passed"}:
        return "brightgreen"
    return "yellow" if "passed" in outcomes else "lightgrey"
