"""The verb `drill`: code with a mistake in it, to be found and mended; the same grader judges."""

from __future__ import annotations

import argparse
import ast
import random
import sys
import time
from dataclasses import replace

from grading.catalog import ROOT, Catalog, Kata
from grading.console import PASS, USAGE, Verbs, grade, kata_named, show, verdict, width
from grading.practice.interview.workspace import CARD, Work, Workspace
from grading.practice.progress.state import DRILL
from grading.practice.progress.times import length
from grading.texts import Texts, word

WRONG = ROOT / "tests" / "submissions" / "wrong"


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    drill = verbs.add_parser("drill", help="find and mend a mistake", epilog="`drill check` grades what you mended.")
    drill.add_argument("what", nargs="?", metavar="[KATA|check]", default="")
    drill.add_argument("--seed", type=int, help="choose the same mistake again")
    drill.set_defaults(run=_drill)


def _drill(arguments: argparse.Namespace) -> int:
    workspace, chance = Workspace("drill"), random.Random(arguments.seed)
    if arguments.what == "check":
        return _check(workspace)
    try:
        kata = kata_named(arguments.what) if arguments.what else chance.choice(Catalog().sound)
    except argparse.ArgumentTypeError as error:
        print(f"grader: {error}", file=sys.stderr)
        return USAGE
    work = broken(kata, chance)
    if not work:
        print(f"grader: no wrong submissions of {kata.stem} in tests/submissions", file=sys.stderr)
        return USAGE
    if before := workspace.under_way():
        workspace.end(before.entry(DRILL, time.time()))
        print(word("drill-dropped", title=Texts().title(before.kata)))
    workspace.begin(work)
    print(word("drill-start", title=Texts().title(kata), file=workspace.file(kata.stem).relative_to(ROOT)))
    print(word("drill-check"))
    return PASS


def broken(kata: Kata, chance: random.Random) -> Work | None:
    """A wrong submission that is drawn, to be mended from now on; None where the kata has none."""
    files = sorted((WRONG / kata.stem).glob("*.py"))
    if not files:
        return None
    chosen = chance.choice(files)
    source = chosen.read_text(encoding="utf-8")
    mistake = " ".join((ast.get_docstring(ast.parse(source)) or chosen.stem).split())
    return Work(kata.stem, time.time(), given=_given(kata, source), mistake=mistake, source=chosen.stem)


def _given(kata: Kata, source: str) -> str:
    """The submission without its docstring and comments: they name the mistake."""
    return f'"""Debug drill, kata {kata.number}: {kata.title}. Something is wrong here."""\n\n{bare(source)}'


def bare(source: str) -> str:
    """The code without the module's docstring and all comments, line for line otherwise."""
    import io
    import tokenize

    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() or "\0"
    first = ast.parse(source).body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines[: first.end_lineno] = ["\0"] * (first.end_lineno or 0)
    return "\n".join(line for line in lines if line != "\0").strip() + "\n"


def _check(workspace: Workspace) -> int:
    work = workspace.under_way()
    if not work:
        print("grader: no drill is under way: python grader.py drill KATA", file=sys.stderr)
        return USAGE
    report = grade([work.stem], workspace.folder)
    work.ran(report, time.time())
    workspace.note(work)
    result = report.katas[0]
    if result.outcome != "passed":
        from grading.reports import terminal

        blind = replace(report, katas=(replace(result, causes=()),))  # to find the cause is the exercise
        show(terminal.board(blind, width()).append("\n").append(terminal.failure(blind.katas[0], width())))
        return verdict(report, named=True)
    print(card(work, workspace.file(work.stem).read_text(encoding="utf-8", errors="replace")))
    workspace.end(work.entry(DRILL, time.time()))
    return PASS


def card(work: Work, mended: str) -> str:
    """What the drill came to."""
    from grading.reports.columns import labelled

    texts = Texts()
    rows = [
        ("mistake", texts.drill(work.stem, work.source, work.mistake)),
        ("time", length(work.green - work.began)),
        ("runs", str(work.runs)),
        ("lines", str(changed(work.given, mended))),
    ]
    head = word("drill-card", title=texts.title(work.kata))
    return f"{head}\n" + labelled(((word(f"card-{key}"), text) for key, text in rows), CARD, width())


def changed(before: str, after: str) -> int:
    """How many lines were changed, added or taken out; a changed line counts once."""
    import difflib

    blocks = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for what, i1, i2, j1, j2 in blocks if what != "equal")
