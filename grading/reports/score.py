"""score.json: points and their maximum, by track, kata and check. A kata's weight is its `points` in kata.toml."""

from __future__ import annotations

from typing import Any

from grading.catalog import Catalog
from grading.records import KataResult, Report

SCHEMA = 2


def score(report: Report) -> dict[str, Any]:
    """Points by track, by kata and by check; each check of a kata is worth the same part of its points."""
    katas = [_kata(result) for result in report.katas]
    tracks = [_track(track, [kata for kata in katas if kata["track"] == track]) for track in Catalog().tracks]
    return {
        "schema": SCHEMA,
        "seed": report.seed,
        "tracks": [track for track in tracks if track["max"]],
        "katas": katas,
    }


def started(report: Report) -> list[str]:
    """The tracks that a learner works on: the first, and those of which anything is started."""
    begun = {Catalog()[result.kata].track for result in report.katas if result.outcome != "not started"}
    return [track for i, track in enumerate(Catalog().tracks) if not i or track in begun]


def _track(track: str, katas: list[dict[str, Any]]) -> dict[str, Any]:
    points, most = (round(sum(kata[key] for kata in katas if kata["track"] == track), 2) for key in ("points", "max"))
    return {"track": track, "points": points, "max": most}


def points(result: KataResult) -> float:
    """A kata's points: all of them only go with the outcome, for a check too many or too few is no pass."""
    most, each = _worth(result)
    return round(most if result.outcome == "passed" else min(each * result.passed, most - each), 2)


def _worth(result: KataResult) -> tuple[float, float]:
    """What the kata is worth, and each of its checks; a file that was never graded has none."""
    most = Catalog()[result.kata].points
    return most, most / max(result.expected, 1)


def _kata(result: KataResult) -> dict[str, Any]:
    most, each = _worth(result)
    checks = [
        {"check": check.name, "points": round(each if check.outcome == "passed" else 0.0, 4), "max": round(each, 4)}
        for check in result.checks
    ]
    return {
        "kata": result.kata,
        "track": Catalog()[result.kata].track,
        "outcome": result.outcome,
        "points": points(result),
        "max": most,
        "checks": checks,
    }
