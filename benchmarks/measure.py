"""Measuring side by side: every round runs each case once, so that a busy moment falls on all of them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

RESULTS = Path(__file__).resolve().parent / "results"
Figures = dict[Any, dict[str, float]]
Layer = TypeVar("Layer", bound=nn.Module)


@dataclass(frozen=True)
class Bench:
    """What a command was asked for: where tensors are, and how long a comparison may take."""

    device: torch.device
    rounds: int
    seconds: float

    @classmethod
    def asked(cls, description: str | None) -> Bench:
        """By the command line."""
        parser = options(description)
        devices = ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)
        parser.add_argument("--device", choices=devices, default=devices[0], help="cuda where there is one")
        arguments = parser.parse_args()
        return cls(torch.device(arguments.device), arguments.rounds, arguments.seconds)

    @property
    def dtype(self) -> torch.dtype:
        """What models are served in on a GPU; a CPU is slow in it, or computes it in float32."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def randn(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device, dtype=self.dtype)

    def layer(self, layer: Layer) -> Layer:
        return layer.to(self.device, self.dtype).eval()

    def same(self, left: Tensor, right: Tensor) -> None:
        """Two ways to compute the same: what is measured has to be right."""
        close = 1e-4 if self.dtype == torch.float32 else 3e-2
        torch.testing.assert_close(left, right, rtol=close, atol=close)

    def interleaved(self, cases: Mapping[Any, Callable[[], Any]]) -> Figures:
        clock = _events if self.device.type == "cuda" else _clock
        return interleaved(cases, self.rounds, self.seconds, clock=clock)

    def save(self, name: str, figures: dict[str, Any]) -> None:
        """Figures of a GPU stand beside those of a CPU, and do not replace them."""
        save(f"{name}-cuda" if self.device.type == "cuda" else name, figures, self)


def options(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=7, help="at most so many rounds of each case")
    parser.add_argument("--seconds", type=float, default=20.0, help="a comparison begins no round after that")
    return parser


def _clock(case: Callable[[], Any]) -> float:
    began = time.perf_counter()
    case()
    return (time.perf_counter() - began) * 1000


def _events(case: Callable[[], Any]) -> float:
    """By the GPU's own clock, from an idle GPU on: the launching of kernels counts, as it does for a decode step."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    case()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def interleaved(
    cases: Mapping[Any, Callable[[], Any]],
    rounds: int = 7,
    seconds: float = 20.0,
    between: Callable[[], None] | None = None,
    clock: Callable[[Callable[[], Any]], float] = _clock,
) -> Figures:
    """Milliseconds of each case: median and minimum over the rounds, at least three of them and no more than asked for.

    Args:
        seconds: no further round begins after that.
        between: what is done before each call, and not measured.
        clock: a case to the milliseconds that it takes.
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
            taken[name].append(clock(case))
    return {name: summary(each) for name, each in taken.items()}


def summary(milliseconds: list[float]) -> dict[str, float]:
    middle, least = statistics.median(milliseconds), min(milliseconds)
    return {"median": round(middle, 3), "min": round(least, 3), "rounds": len(milliseconds)}


def slope(x: list[float], y: list[float]) -> float:
    """The exponent b of y = a x^b that fits best."""
    logs = torch.tensor([x, y], dtype=torch.float64).log()
    across, up = logs - logs.mean(dim=1, keepdim=True)
    return round(float((across * up).sum() / (across * across).sum()), 2)


def save(name: str, figures: dict[str, Any], bench: Bench | None = None) -> None:
    """Write the JSON that report.py reads; without a bench, of something that computes on the CPU."""
    RESULTS.mkdir(exist_ok=True)
    found = machine(bench)
    text = json.dumps({"machine": found, **figures}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"benchmarks/results/{name}.json ({found['device']})")


def machine(bench: Bench | None) -> dict[str, Any]:
    """What the figures were measured on: no names of hosts or folders."""
    gpu = bench is not None and bench.device.type == "cuda"
    found = {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name(bench.device) if gpu else f"CPU, {_processor()}",
        **({"dtype": str(bench.dtype).removeprefix("torch.")} if bench else {}),
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
