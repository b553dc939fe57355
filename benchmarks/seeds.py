"""Whether right submissions pass whatever the random inputs: each of them, with so many seeds.

python benchmarks/seeds.py [KATA ...] [--seeds 20] [--first 1] [--processes 1]
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grading.catalog import Catalog
from grading.examination.examiner import Examiner

RIGHT = ROOT / "tests" / "submissions" / "right"


@cache
def _examiner() -> Examiner:
    """One in each process: it stays warm."""
    return Examiner()


def failures(job: tuple[str, Path], seeds: range) -> list[str]:
    """What goes wrong with one file, a line a seed."""
    stem, path = job
    found = []
    for seed in seeds:
        result = _examiner().grade([stem], path, seed).katas[0]
        if result.outcome != "passed":
            failed = result.first_failure
            what = f"{failed.name}: {failed.message}" if failed else result.message
            found.append(f"{path.relative_to(ROOT)} --seed {seed}: {what}")
    return found


def main() -> int:
    """Print the failures, and how many grades there were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("katas", nargs="*", default=Catalog().stems)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    files = [(stem, path) for stem in arguments.katas for path in sorted((RIGHT / stem).glob("*.py"))]
    with ProcessPoolExecutor(arguments.processes) as pool:
        found = [line for lines in pool.map(partial(failures, seeds=seeds), files) for line in lines]
    print("\n".join([*found, f"{len(files)} files x {len(seeds)} seeds: {len(found)} failures"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
