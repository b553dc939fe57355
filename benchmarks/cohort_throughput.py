"""A cohort of 300 against plain pytest, one submission after the other: verdicts, throughput per core, memory.

    python benchmarks/cohort_throughput.py [--count 300] [--jobs 2] [--plain 20] [--distinct]

Each submission is the stubs with one file of tests/submissions in the place of one; or it has, for each kata, an answer
that no other has. Plain pytest grades a sample of the same folders with the same graders, each in a new process, as one
would without this grader's `cohort`.
CPU seconds are what the work costs, whatever else the machine does; wall-clock times are there for comparison.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grading.catalog import Catalog
from grading.stubs import stub

SUBMISSIONS = ROOT / "tests" / "submissions"


def header(path: Path, name: str, default: str = "") -> str:
    found = re.search(rf"^# {name}: *(.+)$", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1].strip() if found else default


def expected(path: Path) -> tuple[str, set[str]]:
    """The kata of a file of tests/submissions, and the outcomes that are right for it."""
    kind = path.relative_to(SUBMISSIONS).parts[0]
    if kind == "hostile":
        return header(path, "kata"), set(header(path, "verdict").split("|"))
    return path.parent.name, {"passed" if kind == "right" else "failed"}


Truth = dict[str, dict[str, set[str]]]  # by submission and kata, the outcomes that are right


def make(folder: Path, count: int, distinct: bool) -> Truth:
    """The submissions, and what each must get."""
    chance = random.Random(20261123)
    if distinct:
        return {name: answered(folder / name / "problems", chance) for name in (f"{n:03}" for n in range(count))}
    truth: Truth = {}
    for number, path in enumerate(chance.sample(sorted(SUBMISSIONS.rglob("*.py")), count)):
        kata, outcomes = expected(path)
        problems = folder / f"{number:03}-{path.stem}" / "problems"
        problems.mkdir(parents=True)
        for each in Catalog().katas:
            (problems / f"{each.stem}.py").write_text(stub(each), encoding="utf-8")
        shutil.copy(path, problems / f"{kata}.py")
        truth[problems.parent.name] = {kata: outcomes}
    return truth


def answered(problems: Path, chance: random.Random) -> dict[str, set[str]]:
    """A submission with an answer of its own to each kata, of which two in three are right."""
    problems.mkdir(parents=True)
    truth = {}
    for each in Catalog().katas:
        kind = "right" if chance.random() < 2 / 3 else "wrong"
        path = chance.choice(sorted((SUBMISSIONS / kind / each.stem).glob("*.py")))
        own = f"{path.read_text(encoding='utf-8')}\nSUBMISSION = {problems.parent.name!r}\n"
        (problems / path.with_stem(each.stem).name).write_text(own, encoding="utf-8")
        truth[each.stem] = expected(path)[1]
    return truth


def timed(command: list[str]) -> tuple[float, float, list[float]]:
    """Wall-clock seconds, CPU seconds of the process and of all that it waited for, MiB held as time went on."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    memory: list[float] = []
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=words, stderr=words)
        while process.poll() is None:
            memory.append(held(process.pid))
            time.sleep(0.2)
        if process.returncode not in (0, 1):
            words.seek(0)
            sys.exit(f"{command}: {process.returncode}\n{words.read()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu, memory


def held(pid: int) -> float:
    """MiB of a process and of its children, the workers; candidates are further down and bounded by their limits."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    total = 0
    for each in (str(pid), *children):
        try:
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except OSError:
            continue  # it has ended since
    return total * resource.getpagesize() / 2**20


def compare(folder: Path, names: list[str], wall: float, cpu: float) -> None:
    """Plain pytest on these, against the cohort's seconds of a core and CPU seconds a submission."""
    graders = [str(kata.tests) for kata in Catalog().katas]
    plain = [
        timed([sys.executable, "-m", "pytest", "-q", *graders, "--candidate", str(folder / name / "problems")])[:2]
        for name in names
    ]
    one, cost = (sum(column) / len(plain) for column in zip(*plain, strict=True))
    print(f"plain pytest {len(plain)} of them, one by one: {one:.2f} s and {cost:.2f} CPU s a submission")
    print(f"per core     {one / wall:.1f} times the throughput; {cost / cpu:.1f} times by CPU time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--plain", type=int, default=20)
    parser.add_argument("--distinct", action="store_true", help="no two submissions have an answer in common")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary) / "cohort", Path(temporary) / "out"
        truth = make(folder, arguments.count, arguments.distinct)
        command = [sys.executable, "grader.py", "cohort", str(folder), "--out", str(out)]
        wall, cpu, memory = timed([*command, "--jobs", str(arguments.jobs)])
        with (out / "results.csv").open(encoding="utf-8") as file:
            got = {row["submission"]: row for row in csv.DictReader(file)}
        wrong = [
            (name, got[name][kata])
            for name, katas in truth.items()
            for kata, outcomes in katas.items()
            if re.sub(r" \d+/\d+$", "", got[name][kata]) not in outcomes
        ]
        asked = sum(map(len, truth.values()))
        each = wall * arguments.jobs / len(truth)
        print(f"cohort       {len(truth)} submissions, {arguments.jobs} processes: {wall:.1f} s, {cpu:.1f} CPU s")
        print(f"             {each:.2f} s of a core and {cpu / len(truth):.2f} CPU s a submission")
        third = len(memory) // 3
        most = [max(part) for part in (memory[:third], memory[third:-third], memory[-third:])]
        print(f"memory       at most {' '.join(f'{each:.0f}' for each in most)} MiB in the three thirds of it")
        print(f"verdicts     {asked - len(wrong)} of {asked} right {wrong or ''}")
        compare(folder, random.Random(1).sample(sorted(truth), arguments.plain), each, cpu / len(truth))


if __name__ == "__main__":
    main()
