"""Whether a long session of `watch` grows: saves of every kind, hangs among them, and what the program holds meanwhile.

python benchmarks/watching.py              # 500 saves: results/watching.json
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measure import save
from tests.engine.sessions import at_rest, begun, saves
from tests.engine.terminals import copied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=500)
    parser.add_argument("--every", type=int, default=50, help="saves between two looks")
    arguments = parser.parse_args()
    looks, began = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder))
        terminal = begun(root)
        try:
            for done in range(0, arguments.saves, arguments.every):
                saves(terminal, root, range(done, min(done + arguments.every, arguments.saves)))
                looks.append({"saves": done + arguments.every, **asdict(at_rest(terminal))})
                print(looks[-1], flush=True)
        finally:
            terminal.close()
    save("watching", {"seconds": round(time.monotonic() - began), "looks": looks})


if __name__ == "__main__":
    main()
