"""What each fence stops, by itself and beside the others: the hostile files, graded with one layer off in turn.

    python benchmarks/fences.py                  # all of it: results/fences.json, of which docs/security.md has a table
    python benchmarks/fences.py seccomp rules    # every file without these in turn, printed and not kept

What gets through either passes, or does harm: it ends or hangs the grade, fills memory, leaves processes or files. The
files run in copies of the repository, below limits of the benchmark's own, in processes that are watched and killed
(watched.py). One that would hurt more than these can hold says so in its header (# harm: ...), and is not run where no
layer is left that holds it. What is stopped with fewer layers is not run again with more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.watched import LAYERS, OF_A_CANDIDATE
from grading.authoring.submissions import files

COPIED = ("grader.py", "grading", "katas", "problems", "solutions", "tests", "benchmarks", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "right", "wrong", "engine", "notebooks", "results", ".*")
OVER_THE_FRAME = ("limits", "landlock", "seccomp", "audit", "rules", "forbidden")  # a candidate's process and its wire

Found = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", nargs="*", help="take off these alone, in turn")
    parser.add_argument("--processes", type=int, default=1, help="so many experiments at a time")
    arguments = parser.parse_args()
    with ThreadPoolExecutor(arguments.processes) as pool:

        def each(experiments: dict[str, tuple[Iterable[str], Iterable[str]]]) -> dict[str, Found]:
            return dict(zip(experiments, pool.map(lambda one: without(*one), experiments.values()), strict=True))

        if arguments.layers:
            each({layer: ({layer}, _names()) for layer in arguments.layers})
        else:
            from benchmarks.measure import save

            save("fences", measured(each))


def _names() -> list[str]:
    return [path.stem for path in files("hostile")]


def measured(each: Callable[[dict[str, Any]], dict[str, Found]]) -> Found:
    """All experiments: with everything, over the frame and with nothing at all; then one layer more, and one less."""
    names = _names()
    ends = each({"everything": ((), names), "frame": (OVER_THE_FRAME, names), "nothing": (LAYERS, names)})
    absent = set(ends["everything"]["absent"])
    hits = set(ends["frame"]["through"])
    doubtful = hits | set(ends["frame"]["not_run"])
    more = doubtful | set(ends["nothing"]["through"]) | set(ends["nothing"]["not_run"])
    over, layers = set(OVER_THE_FRAME), [layer for layer in LAYERS if layer not in absent]
    alone = each({layer: (over - {layer}, hits) for layer in layers if layer in over})
    less = each({layer: ({layer}, doubtful if layer in over else more) for layer in layers})
    return {
        "files": dict(Counter(name.partition("_")[0] for name in names)),
        "absent": sorted(absent),
        **{name: _kept(found) for name, found in ends.items()},
        "alone": {layer: sorted(set(found["ran"]) - set(found["through"])) for layer, found in alone.items()},
        "without": {layer: _kept(found) for layer, found in less.items()},
    }


def _kept(found: Found) -> Found:
    return {"ran": len(found["ran"]), "through": found["through"], "not_run": found["not_run"]}


def without(off: Iterable[str], names: Iterable[str]) -> Found:
    """Those hostile files without those layers, in a copy of the repository, whose folder is also the only one for
    temporary files."""
    off = set(off) | (OF_A_CANDIDATE if "process" in off else set())
    with tempfile.TemporaryDirectory(prefix="fences-") as folder:
        copy, scratch, result = Path(folder) / "katas", Path(folder) / "tmp", Path(folder) / "result.json"
        copy.mkdir()
        scratch.mkdir()
        for name in COPIED:
            source = ROOT / name
            shutil.copytree(source, copy / name, ignore=LEFT_OUT) if source.is_dir() else shutil.copy(source, copy)
        environment = {"PATH": os.environ["PATH"], "PWD": str(copy), "HOME": folder, "TMPDIR": str(scratch)}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        program = [sys.executable, str(copy / "benchmarks" / "watched.py"), str(result), ",".join(sorted(off))]
        given = "\n".join(sorted(names)).encode()
        subprocess.run(program, cwd=copy, env=environment, input=given, start_new_session=True, check=True)
        found = dict(json.loads(result.read_text(encoding="utf-8")))
    shown = "".join(f"\n    {name}: {how}" for name, how in found["through"].items())
    missing = ", ".join(sorted(off)) or "nothing"
    print(f"without {missing}: {len(found['ran'])} files, {len(found['through'])} get through{shown}", flush=True)
    return found


if __name__ == "__main__":
    main()
