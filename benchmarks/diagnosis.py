"""How often the right causes are named: for every wrong submission of the tests, and for generated combinations.

    python benchmarks/diagnosis.py [--combinations N] [--seed N]
    python benchmarks/diagnosis.py --folder FOLDER

A generated answer is a program with one, two or three mistakes in it, drawn at random; half of them in a robust style
(NaN cleared, hidden weights cleared). It answers the very calls that the grader makes of a right one, and is diagnosed
by what it answered. A submission of the tests says in a line `# cause:` what it must get. With --folder other
files are measured that say it in the same way, in a folder for each kata, and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grading.authoring.submissions import FOLDER, stated
from grading.candidate.limits import Limits
from grading.catalog import Catalog, Kata
from grading.diagnosis.causes import causes
from grading.diagnosis.knowledge import knowledge
from grading.diagnosis.mistake import Combination, Kind, compatible, is_style, mixed, name, of_program, proves
from grading.diagnosis.program import Program
from grading.diagnosis.raised import Raised
from grading.diagnosis.replay import Check
from grading.diagnosis.run import Run, equal
from grading.examination.examination import Examination
from grading.examination.examiner import Examiner, run
from grading.records import Event, KataResult

DRAWS = 2000  # a kata with few mistakes has few combinations, or none of a size
RESULTS = ROOT / "benchmarks" / "results" / "diagnosis.json"


def transcripts(examiner: Examiner, stems: Sequence[str], seed: int) -> dict[str, dict[str, list[Event]]]:
    """What the graders ask of the references, by kata and check."""
    examination = Examination(examiner.host, ROOT / "solutions", seed, Limits())
    try:
        run(stems, examination)
    finally:
        examination.close()
    return examination.transcripts


class Made:
    """Answers of programs with mistakes in them to the calls of a kata's checks."""

    def __init__(self, kata: Kata, symbol: str, program: type[Program], events: dict[str, list[Event]]) -> None:
        self.kata, self.symbol, self.program = kata, symbol, program
        checks = {check: Check(check, each, kata.signatures) for check, each in events.items()}
        self.checks = {n: c for n, c in checks.items() if c.usable and c.symbol == symbol and c.explained_by(program)}
        for check in self.checks.values():
            check.compare_with(program)

    def answered(self, combination: Combination) -> tuple[list[Check], list[Check]]:
        """The checks that an answer with these mistakes fails, and those that it passes."""
        failed, passed = [], []
        for check in self.checks.values():
            made, wrong = self._answer(check, mixed(self.program, combination))
            (failed if wrong else passed).append(made)
        return failed, passed

    def _answer(self, check: Check, program: type[Program]) -> tuple[Check, bool]:
        made = Check(check.name, check.events, self.kata.signatures)
        right = Run(self.program)
        wanted = [right.step(step.request) for step in made.steps]  # all of them first: both draw from one generator
        answers, wrong = Run(program), False
        for i, step in enumerate(made.steps):
            given = answers.step(step.request)
            step.reply = _reply(step.request, given)
            wrong = wrong or not equal(given, wanted[i])
            if wrong and step.request["do"] != "make":  # a call is under way by then
                made.steps = made.steps[: i + 1]
                break
        return made, wrong


def _reply(request: dict[str, Any], given: Any) -> dict[str, Any]:
    if isinstance(given, Raised):
        return {"error": {"type": given.type, "message": given.message}}
    if "cotangent" in request:
        return dict(given)
    if request.get("echo"):
        return {"value": given["value"], "echo": given["echo"]}
    return {"value": given}


def combinations(
    kinds: Sequence[Kind], styles: Sequence[Kind], size: int, chance: random.Random
) -> Iterator[Combination]:
    """So many mistakes that fit together, drawn again and again; every other one with a style."""
    for _ in range(DRAWS):
        robust = chance.random() < 0.5
        chosen: Combination = ()
        while len(chosen) < size and (fitting := [kind for kind in kinds if compatible(chosen, kind)]):
            chosen = (*chosen, chance.choice(fitting))
        if len(chosen) < size:
            continue
        style = chance.choice(styles) if robust and styles else None
        yield (*chosen, style) if style and compatible(chosen, style) else chosen


def generated(made: Made, kinds: Sequence[Kind], size: int, count: int, chance: random.Random) -> Counter[str]:
    """How `count` combinations of a size, or as many as there are, are named: main (the first cause is one of them),
    all, none, untrue."""
    plain = [kind for kind in kinds if not is_style(kind) and not proves(kind)]
    styles = [kind for kind in kinds if is_style(kind) and kind.sound]
    found: Counter[str] = Counter()
    for combination in combinations(plain, styles, size, chance):
        failed, passed = made.answered(combination)
        if len(failed) < size:
            continue
        wanted = {name(kind) for kind in combination if not is_style(kind)}
        found += judged([cause.name for cause in causes({made.symbol: made.program}, kinds, failed, passed)], wanted)
        if found["answers"] == count:
            break
    return found


def judged(names: Sequence[str], wanted: set[str]) -> Counter[str]:
    """One answer, as it was named and should be."""
    return Counter(
        answers=1,
        main=bool(names) and names[0] in wanted,
        all=bool(wanted) and wanted <= set(names),
        none=not names,
        untrue=bool(set(names) - wanted),
    )


def submissions(examiner: Examiner, folder: Path, seed: int) -> Counter[str]:
    """Wrong submissions, in a folder for each kata."""
    found: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.py")):
        result: KataResult = examiner.grade([path.parent.name], path, seed).katas[0]
        found += judged([cause.name for cause in result.causes], stated(path))
    return found


def measured(examiner: Examiner, seed: int, count: int) -> dict[str, Counter[str]]:
    """The rows of the table: the submissions of the tests, then what is generated."""
    chance, catalog = random.Random(seed), Catalog()
    known = {kata.stem: found for kata in catalog.katas if (found := knowledge(kata))}
    asked = transcripts(examiner, list(known), seed)
    rows = {"submissions of the tests": submissions(examiner, FOLDER / "wrong", seed)}
    for size in (1, 2, 3):
        total: Counter[str] = Counter()
        for stem, module in known.items():
            symbol, program = next(iter(module.PROGRAMS.items()))
            made = Made(catalog[stem], symbol, program, asked[stem])
            total += generated(made, of_program(program, module.MISTAKES), size, count, chance)
        rows[f"generated, {size} mistake{'s' if size > 1 else ''}"] = total
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--combinations", type=int, default=40, help="of each size, for each kata")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="other wrong submissions")
    arguments = parser.parse_args()
    examiner = Examiner()
    if arguments.folder:
        rows = {arguments.folder.name: submissions(examiner, arguments.folder, arguments.seed)}
    else:
        rows = measured(examiner, arguments.seed, arguments.combinations)
        RESULTS.write_text(json.dumps({"seed": arguments.seed, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    examiner.close()
    print(f"{'':28}{'answers':>9}{'main':>9}{'all':>9}{'none':>9}{'untrue':>9}")
    for label, row in rows.items():
        print(f"{label:28}" + "".join(f"{row[key]:9}" for key in ("answers", "main", "all", "none", "untrue")))


if __name__ == "__main__":
    main()
