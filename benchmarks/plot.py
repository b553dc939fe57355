"""One picture of the results: decoding, the cache, prefill."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def plot(results: dict[str, Any], path: Path) -> None:
    """Write it where all three results are there and matplotlib is."""
    if not {"decode", "cache", "prefill"} <= results.keys():
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    _decode(axes[0], results["decode"])
    rows = results["cache"]["decoding"]["rows"]
    for name in ("uncached", "cached"):
        axes[1].plot([row["tokens"] for row in rows], [row["ms"][name]["median"] for row in rows], "o-", label=name)
    axes[1].set(title="Decoding T tokens", xlabel="T", ylabel="ms")
    rows = results["prefill"]["rows"]
    for name in rows[0]["peak_bytes"]:
        axes[2].plot(
            [row["tokens"] for row in rows], [row["peak_bytes"][name] / 2**20 for row in rows], "o-", label=name
        )
    axes[2].set(title="Prefill, most memory held", xlabel="L", ylabel="MiB")
    for axis in axes:
        axis.set(xscale="log", yscale="log")
        sizes = sorted({int(size) for line in axis.lines for size in line.get_xdata()})
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.xaxis.minorticks_off()
        axis.legend(fontsize="small")
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _decode(axis: Any, data: dict[str, Any]) -> None:
    steps = [step for step in data["steps"] if step["batch"] == 1]
    for name in ("repeat_interleave", "F.sdpa(enable_gqa)", "fold", "floor"):
        times = [step["ms"][f"{name}, K=8"]["median"] for step in steps]
        axis.plot([step["tokens"] for step in steps], times, "o-", label=name)
    axis.set(title="One decode step, 32 heads over 8", xlabel="tokens cached", ylabel="ms")
