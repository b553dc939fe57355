"""Whether the graders notice when one small thing in a right answer is done otherwise.

    python benchmarks/mutation.py                         # all mutants of the solutions
    python benchmarks/mutation.py --right 4 --sample 120  # and 120 each of four right submissions a core kata
    python benchmarks/mutation.py gqa --processes 2

Each mutant (mutants.py) is graded up to the first check that fails. One that fails none is either equivalent under the
contract, and stands with the reason in equivalent_mutants/<kata>.toml, or a hole in the grader, and is printed. The
figures go to results/mutation.json, where those of katas that were not named stay, and docs/mutation.md is made of
both.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.mutants import Mutant, mutants
from grading.candidate.limits import Limits
from grading.catalog import TRACKS, Catalog
from grading.examination.examination import Examination
from grading.examination.examiner import Examiner, run
from grading.records import CheckResult

RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
EQUIVALENT = ROOT / "benchmarks" / "equivalent_mutants"
PAGE = ROOT / "docs" / "mutation.md"
RIGHT = ROOT / "tests" / "submissions" / "right"
LIMITS = Limits(call_seconds=3.0, kata_seconds=20.0)

Counted = dict[str, int]  # how many mutants, and how many of them were killed: failed a check


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: whether it fails a check."""

    file: str
    kind: str
    natural: bool
    change: str
    killed: bool


def first_failure(examiner: Examiner, stem: str, file: Path, seed: int) -> CheckResult | None:
    """The check that fails first, after which no further one is run; a file that does not load fails its first."""
    examination = Examination(examiner.host, file, seed, LIMITS, until_wrong=True)
    try:
        run([stem], examination)
    finally:
        examination.close()
        examiner.host.settle()
    if stem in examination.unloaded:
        return CheckResult("load", "the file loads", "failed", message=str(examination.unloaded[stem]))
    if examination.faults:
        raise RuntimeError(examination.faults[stem].trace)
    return next((check for check in examination.checks[stem] if check.outcome == "failed"), None)


def judged(job: tuple[str, Path, Sequence[Mutant]], seed: int) -> list[Verdict]:
    """The mutants of one file."""
    stem, file, chosen = job
    examiner, name, found = _examiner(), str(file.relative_to(ROOT)), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{stem}.py"
        for mutant in chosen:
            path.write_text(mutant.text, encoding="utf-8")
            failed = first_failure(examiner, stem, path, seed)
            found.append(Verdict(name, mutant.kind, mutant.natural, mutant.change, failed is not None))
    return found


@cache
def _examiner() -> Examiner:
    """One in each process: it stays warm."""
    return Examiner(limits=LIMITS)


def jobs(
    stems: Sequence[str], right: int, sample: int, seed: int, size: int
) -> Iterator[tuple[str, Path, list[Mutant]]]:
    """Files with their mutants, in lots of at most `size`: all of the solutions', a sample of the submissions'."""
    for stem in stems:
        chosen = _chosen(stem, right, seed) if Catalog()[stem].track == TRACKS[0] else []
        for file in (Catalog()[stem].solution, *chosen):
            made = mutants(file.read_text(encoding="utf-8"))
            if sample and file in chosen:
                made = random.Random(f"{seed} {file.name}").sample(made, min(sample, len(made)))
            for start in range(0, len(made), size):
                yield stem, file, made[start : start + size]


def _chosen(stem: str, right: int, seed: int) -> list[Path]:
    """So many right submissions of a kata: those of the last figures, as far as they are there, and chance's choice."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    there = sorted((RIGHT / stem).glob("*.py"))
    known = [file for file in there if str(file.relative_to(ROOT)) in found.get(stem, {}).get("files", {})]
    others = [file for file in there if file not in known]
    random.Random(f"{seed} {stem}").shuffle(others)
    return sorted([*known, *others][:right])


# ------------------------------------------------------------------------------------------------ what survives


def figures(verdicts: Sequence[Verdict], seed: int) -> dict[str, Any]:
    """What was found in the files of one kata, without any judgement: how many mutants there are and how many fail, and
    all those that fail nothing."""
    by_file: dict[str, list[Verdict]] = {}
    for each in verdicts:
        by_file.setdefault(each.file, []).append(each)
    return {"seed": seed, "files": {file: _of_file(there) for file, there in by_file.items()}}


def _of_file(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    kinds = dict.fromkeys(each.kind for each in verdicts)
    return {
        "natural": _counted([each for each in verdicts if each.natural]),
        "kinds": {kind: _counted([each for each in verdicts if each.kind == kind]) for kind in kinds},
        "survivors": [
            {"kind": each.kind, "natural": each.natural, "change": each.change} for each in verdicts if not each.killed
        ],
    }


def _counted(verdicts: Sequence[Verdict]) -> Counted:
    return {"mutants": len(verdicts), "killed": sum(each.killed for each in verdicts)}


def files(found: dict[str, Any]) -> dict[str, Any]:
    """What was found in each file, of all katas."""
    return {file: there for kata in found.values() for file, there in kata["files"].items()}


def total(counts: Iterable[Counted]) -> Counted:
    """The sum of counts."""
    every = list(counts)
    return {"mutants": sum(each["mutants"] for each in every), "killed": sum(each["killed"] for each in every)}


def equivalents() -> dict[tuple[str, str], str]:
    """The reason for which a mutant is no other program under the contract, by file and change."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(EQUIVALENT.glob("*.toml"))]
    entries = [each for text in texts for each in tomllib.loads(text)["equivalent"]]
    return {(each["file"], change): each["reason"] for each in entries for change in each["changes"]}


def holes(found: dict[str, Any]) -> list[str]:
    """The mutants that fail no check and have no reason for it."""
    reasons = equivalents()
    return [
        f"{file}: {each['kind']}{' (natural)' * each['natural']}: {each['change']}"
        for file, there in files(found).items()
        for each in there["survivors"]
        if (file, each["change"]) not in reasons
    ]


# ---------------------------------------------------------------------------------------------------- the page

HEAD = """# Do the graders notice?

A mutant is a right answer in which one small thing is done otherwise: an operator, a comparison, an axis, a name taken
for another, a statement left out, a constant, a dtype, a flag. `python benchmarks/mutation.py` grades each of them up
to the first check that fails. *Natural* are those that people write, such as another axis or a layer taken for its
neighbour; the others are a machine's.

Generated from `benchmarks/results/mutation.json` and `benchmarks/equivalent_mutants/` by
`python benchmarks/mutation.py --page`.
"""


def page(found: dict[str, Any]) -> str:
    """docs/mutation.md."""
    there = files(found)
    kinds: dict[str, list[Counted]] = {}
    for kind, counted in (pair for each in there.values() for pair in each["kinds"].items()):
        kinds.setdefault(kind, []).append(counted)
    every, left = total(each for counts in kinds.values() for each in counts), len(holes(found))
    lines = [
        HEAD,
        f"{every['mutants']} mutants, {every['killed']} fail a check, {every['mutants'] - every['killed'] - left} are"
        f" equivalent under the contract, {left} are holes.\n",
        "| what was done | mutants | fail a check | survive |\n|---|---|---|---|",
        _row("all", every),
        _row("natural ones", total(each["natural"] for each in there.values())),
        *(_row(kind, total(counts)) for kind, counts in kinds.items()),
        "\n| file | mutants | fail a check | survive |\n|---|---|---|---|",
        *(_row(f"`{file}`", total(each["kinds"].values())) for file, each in there.items()),
        "\n## Why the survivors are right\n",
        *_reasons(there),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, counted: Counted) -> str:
    return f"| {name} | {counted['mutants']} | {counted['killed']} | {counted['mutants'] - counted['killed']} |"


def _reasons(there: dict[str, Any]) -> Iterator[str]:
    """Each reason, and how many survivors it is the reason of, with an example."""
    known, groups = equivalents(), {}
    for file, change in ((file, each["change"]) for file, found in there.items() for each in found["survivors"]):
        groups.setdefault(known.get((file, change), "A hole."), []).append(change)
    for reason, changes in sorted(groups.items(), key=lambda group: -len(group[1])):
        yield f"- {reason} ({len(changes)})\n\n  ```text\n  {changes[0]}\n  ```\n"


def main() -> int:
    """Grade, write the figures and the page, and print the holes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("katas", nargs="*", default=Catalog().stems)
    parser.add_argument("--right", type=int, default=0, help="right submissions of each kata of the core track")
    parser.add_argument("--sample", type=int, default=0, help="mutants of each of them (0: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="grade nothing, and write the page of the last figures")
    arguments = parser.parse_args()
    if not arguments.page:
        work = list(jobs(arguments.katas, arguments.right, arguments.sample, arguments.seed, size=40))
        verdicts: dict[str, list[Verdict]] = {}
        with ProcessPoolExecutor(arguments.processes) as pool:
            for (stem, *_), lot in zip(work, pool.map(partial(judged, seed=arguments.seed), work), strict=True):
                verdicts.setdefault(stem, []).extend(lot)
        known = json.loads(RESULTS.read_text(encoding="utf-8"))
        known |= {stem: figures(lots, arguments.seed) for stem, lots in verdicts.items()}
        ordered = {stem: known[stem] for stem in Catalog().stems if stem in known}
        RESULTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(found), encoding="utf-8")
    left = holes(found)
    graded = total(counted for each in files(found).values() for counted in each["kinds"].values())
    print("\n".join([*left, f"{graded['mutants']} mutants, {len(left)} holes"]))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
