"""The grader's own speed: cold commands beside `import torch`, and the time from a saved file to its verdict.

--profile shows where the time of a grade of all katas goes; --against REV runs the cold commands of that commit and of
this tree in turn, and saves nothing.
"""

from __future__ import annotations

import cProfile
import functools
import gc
import os
import pstats
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grading.catalog import Catalog
from grading.examination.examiner import Examiner
from grading.practice.watch.stoppable_examiner import StoppableExaminer

STEMS = Catalog().stems
SOLUTIONS = ROOT / "solutions"


def main() -> None:
    unfenced = Examiner(host=_host_without_fences())  # before this process holds more than PyTorch
    fenced = Examiner()
    watching = StoppableExaminer()
    from benchmarks.measure import interleaved, options, save

    parser = options(__doc__)
    parser.add_argument("--profile", action="store_true", help="show where the time of a warm grade goes, and no more")
    parser.add_argument("--against", metavar="REV", help="compare the cold commands with those of a commit")
    arguments = parser.parse_args()
    if arguments.profile:
        profile(fenced)
    elif arguments.against:
        compare(arguments.against, arguments.rounds, arguments.seconds * 12)
    else:
        figures = {
            "cold": interleaved(cold(), arguments.rounds, arguments.seconds * 6),
            "warm": interleaved(warm(watching), arguments.rounds, arguments.seconds, watching.tidy),
            "ways": interleaved(ways(fenced, unfenced), arguments.rounds, arguments.seconds),
            "diagnosis": interleaved(diagnosis(fenced), arguments.rounds, arguments.seconds),
        }
        save(
            "grader",
            {"checks": {result.kata: result.expected for result in fenced.grade(STEMS, SOLUTIONS).katas}, **figures},
        )
    for examiner in (unfenced, fenced, watching):
        examiner.close()


def cold() -> dict[str, Callable[[], Any]]:
    """Whole processes, from their start to their end."""
    grader = ["grader.py", "--problems", "solutions"]
    commands = {
        "import torch": ["-c", "import torch"],
        **{stem: [*grader, stem] for stem in STEMS},
        "all": grader,
        "list": ["grader.py", "list"],
        "--help": ["grader.py", "--help"],
        "hint": ["grader.py", "hint", "sdpa"],
        "plain pytest on the same tests": [
            "-m",
            "pytest",
            "-q",
            "--candidate",
            "solutions",
            *(f"tests/test_{stem}.py" for stem in STEMS),
        ],
    }
    return {name: functools.partial(_run, command) for name, command in commands.items()}


def compare(revision: str, rounds: int, seconds: float) -> None:
    """One grade of each kata and one of all, of a commit and of this tree in turn; a commit may lack a kata."""
    from benchmarks.measure import interleaved

    with tempfile.TemporaryDirectory() as folder:
        then = Path(folder) / "then"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", then, revision], cwd=ROOT, check=True)
        try:
            stems = [stem for stem in STEMS if (then / "solutions" / f"{stem}.py").is_file()]
            commands = {stem: ["grader.py", "--problems", "solutions", stem] for stem in stems}
            commands["these together"] = ["grader.py", "--problems", "solutions", *stems]
            commands["import torch"] = ["-c", "import torch"]
            cases = {
                (name, tree): functools.partial(_run, command, tree)
                for name, command in commands.items()
                for tree in (then, ROOT)
            }
            found = interleaved(cases, rounds, seconds)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", then], cwd=ROOT, check=True)
    print(f"{'milliseconds, median (least)':30}{revision:>20}{'this tree':>20}{'ratio':>8}")
    for name in commands:
        before, now = found[name, then], found[name, ROOT]
        cells = "".join(f"{each['median']:12.0f} ({each['min']:.0f})".rjust(20) for each in (before, now))
        print(f"{name:30}{cells}{now['median'] / before['median']:8.2f}")


def _run(command: list[str], tree: Path = ROOT) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS")}
    subprocess.run([sys.executable, *command], cwd=tree, env=environment, capture_output=True, check=True)


def warm(watching: StoppableExaminer) -> dict[str, Callable[[], Any]]:
    """A process that has graded before, from the file to the verdict, as when watching."""
    one = {stem: functools.partial(watching.grade_unless_stopped, [stem], SOLUTIONS) for stem in STEMS}
    return {**one, "all": functools.partial(watching.grade_unless_stopped, STEMS, SOLUTIONS)}


def ways(fenced: Examiner, unfenced: Examiner) -> dict[str, Callable[[], Any]]:
    """All katas: as they are graded; without the kernel's fences and audit hook; checks run in this process."""
    debugging = Examiner(debug=True)
    examiners = {"as it is": fenced, "without the fences": unfenced, "in process": debugging}
    return {name: functools.partial(each.grade, STEMS, SOLUTIONS) for name, each in examiners.items()}


def diagnosis(examiner: Examiner) -> dict[str, Callable[[], Any]]:
    """A wrong answer of each kata, with and without the search for its cause."""
    folder = Path(tempfile.mkdtemp())
    wrong = {stem: sorted((ROOT / "tests" / "submissions" / "wrong" / stem).glob("*.py"))[0] for stem in STEMS}
    for stem, path in wrong.items():
        (folder / f"{stem}.py").write_bytes(path.read_bytes())
    with_causes = functools.partial(examiner.grade, STEMS, folder)
    return {"with": with_causes, "without": functools.partial(_without_causes, with_causes)}


def _without_causes(grade: Callable[[], Any]) -> None:
    import grading.examination.examiner as module

    kept, module._causes = module._causes, lambda *_: ()
    try:
        grade()
    finally:
        module._causes = kept


def _host_without_fences() -> Any:
    """A fork server whose candidates are not confined: for measuring only."""
    import torch

    from grading.candidate import server
    from grading.candidate.hosts import host
    from grading.candidate.limits import Limits

    torch.set_num_threads(1)
    gc.freeze()  # as the examiner does: or its candidates' collections copy all of PyTorch's pages
    kept, server.confine = server.confine, lambda _: ()
    try:
        return host(Limits())
    finally:
        server.confine = kept


def profile(examiner: Examiner) -> None:
    examiner.grade(STEMS, SOLUTIONS)
    with cProfile.Profile() as profiler:
        examiner.grade(STEMS, SOLUTIONS)
    stats = pstats.Stats(profiler)
    stats.strip_dirs().sort_stats("tottime").print_stats(25)
    stats.sort_stats("cumulative").print_stats("examin|plugin|learner|connection|transport|wire|checks|oracle|runner")


if __name__ == "__main__":
    main()
