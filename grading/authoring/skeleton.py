"""The verb `new`: the files of a kata that works at once, each with a line on what is to be written in it."""

from __future__ import annotations

import argparse
import json
import keyword
import re
import sys
from collections.abc import Collection
from pathlib import Path
from string import Template

from grading.catalog import ROOT, TRACKS, read_kata, read_toml
from grading.console import PASS, USAGE, Verbs, kata_named
from grading.stubs import stub

TEMPLATES = Path(__file__).with_name("skeleton.toml")
LONGEST_KEY = 20  # of a question, before its ending


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    new = verbs.add_parser("new", help="for authors: write the skeleton of a kata")
    new.add_argument("name", metavar="KATA", help="its name everywhere: of its folder, its files, on the command line")
    new.add_argument("--title", default="", help="what it is called; made from the name where none is given")
    new.add_argument("--minutes", type=int, default=15, help="how long it takes (default: 15)")
    new.add_argument("--track", choices=TRACKS, default=TRACKS[-1], help="default: %(default)s")
    new.add_argument(
        "--after", action="append", default=[], type=kata_named, metavar="KATA", help="what comes before it"
    )
    new.set_defaults(run=lambda arguments: _new(arguments, verbs.choices))


def _new(arguments: argparse.Namespace, verbs: Collection[str]) -> int:
    name, title = arguments.name, arguments.title or arguments.name.replace("_", " ").capitalize()
    files = skeleton(name, title, arguments.minutes, arguments.track, [kata.stem for kata in arguments.after])
    if refusal := _refusal(name, title, verbs) or _in_the_way(name, files):
        print(f"grader: {refusal}", file=sys.stderr)
        return USAGE
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    problem = ROOT / "problems" / f"{name}.py"
    problem.write_text(stub(read_kata(ROOT / "katas" / name / "kata.toml")), encoding="utf-8", newline="\n")
    for path in (*files, problem):
        print(path.relative_to(ROOT).as_posix())
    print(f"\n{name} is a kata now, of one trivial function. What is to be written: python grader.py author {name}")
    return PASS


def skeleton(name: str, title: str, minutes: int, track: str, after: list[str]) -> dict[Path, str]:
    """Path -> text of each file but the stub, which is made from the solution."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    slug = re.sub(r"(?<!^)(?=[A-Z])", "-", camel).lower()  # as grading.diagnosis.mistake.name makes it of the class
    values = {"kata": name, "title": title, "minutes": minutes, "track": track, "after": json.dumps(after)}
    values |= {"camel": camel, "slug": slug, "key": f"{slug[:LONGEST_KEY].rstrip('-')}-why"}
    texts = read_toml(TEMPLATES)
    return {ROOT / Template(path).substitute(values): Template(text).substitute(values) for path, text in texts.items()}


def _refusal(name: str, title: str, verbs: Collection[str]) -> str:
    """Why a kata cannot be called so, or nothing."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return f"{name!r} is no name for a kata: it has to be a Python identifier in lower case, as rotate_half is"
    if name in verbs:
        return f"{name!r} is a verb of this command line: choose another name for the kata"
    if not re.fullmatch(r'[^"\\\n\r]+', title):
        return f"{title!r} is no title: it stands in one line, without quotes and backslashes"
    return ""


def _in_the_way(name: str, files: Collection[Path]) -> str:
    """What would be overwritten, or nothing."""
    for path in (ROOT / "katas" / name, *files, ROOT / "problems" / f"{name}.py"):
        if path.exists():
            return f"{path.relative_to(ROOT).as_posix()} is there already, and nothing is overwritten"
    return ""
