"""Measuring side by side: every round runs each case once, so that a busy moment falls on all of them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).resolve().parent / "results"
Figures = dict[Any, dict[str, float]]


def device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> dict[str, Any]:
    """What the figures were measured on: no names of hosts or folders."""
    found = {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {_processor()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return found | ({"load": round(os.getloadavg()[0], 1)} if hasattr(os, "getloadavg") else {})


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def interleaved(
    cases: Mapping[Any, Callable[[], Any]],
    rounds: int = 7,
    seconds: float = 20.0,
    between: Callable[[], None] | None = None,
) -> Figures:
    """Milliseconds of each case: median and minimum over the rounds, at least three of them and no more than asked for.

    Args:
        seconds: no further round begins after that.
        between: what is done before each call, and not measured.
    """
    for case in cases.values():
        case()  # first use of code and memory is not what is measured
    taken: dict[Any, list[float]] = {name: [] for name in cases}
    began = time.monotonic()
    for done in range(rounds):
        if done >= 3 and time.monotonic() - began > seconds:
            break
        for name, case in cases.items():
            if between:
                between()
            taken[name].append(_milliseconds(case))
    return {name: summary(each) for name, each in taken.items()}


def summary(milliseconds: list[float]) -> dict[str, float]:
    middle, least = statistics.median(milliseconds), min(milliseconds)
    return {"median": round(middle, 3), "min": round(least, 3), "rounds": len(milliseconds)}


def _milliseconds(case: Callable[[], Any]) -> float:
    _wait()
    began = time.perf_counter()
    case()
    _wait()
    return (time.perf_counter() - began) * 1000


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def slope(x: list[float], y: list[float]) -> float:
    """The exponent b of y = a x^b that fits best."""
    logs = torch.tensor([x, y], dtype=torch.float64).log()
    across, up = logs - logs.mean(dim=1, keepdim=True)
    return round(float((across * up).sum() / (across * across).sum()), 2)


def save(name: str, figures: dict[str, Any]) -> None:
    """Write the JSON that report.py reads."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), **figures}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"benchmarks/results/{name}.json ({machine()['device']})")


def options(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=7, help="at most so many rounds of each case")
    parser.add_argument("--seconds", type=float, default=20.0, help="a comparison begins no round after that")
    return parser
