"""The verb `badge`: the README of a learner's repository shows whether its last push passed."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from grading.catalog import ROOT
from grading.console import PASS, USAGE, Verbs

MARK = "[![katas]("
# https://host/path, ssh://git@host:22/path and git@host:path
REMOTE = re.compile(r"(?:\w+://)?(?:[^@/]+@)?(?P<host>[^:/]+)(?::\d+)?[:/](?P<path>.+?)(?:\.git)?/?")


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    verbs.add_parser("badge", help="show in README.md whether CI passes").set_defaults(run=_badge)


def _badge(arguments: argparse.Namespace) -> int:
    remote = REMOTE.fullmatch(_git("remote", "get-url", "origin"))
    if not remote:
        print("grader: where is this repository? git remote add origin ADDRESS says it", file=sys.stderr)
        return USAGE
    badge = _line(f"https://{remote['host']}/{remote['path']}")
    readme = ROOT / "README.md"
    lines = [line for line in readme.read_text(encoding="utf-8").split("\n") if not line.startswith(MARK)]
    title = next((number for number, line in enumerate(lines) if line.startswith("# ")), -1)
    after = lines[title + 1 :]
    while after and not after[0]:
        after.pop(0)
    text = "\n".join([*lines[: title + 1], "", badge, "", *after])
    readme.write_text(text, encoding="utf-8", newline="\n")
    print(f"README.md shows it now: {badge}")
    return PASS


def _line(address: str) -> str:
    """The badge as Markdown: GitLab's where its pipeline is in use, else that of GitHub's workflow."""
    if (ROOT / ".gitlab-ci.yml").exists():
        branch = _git("symbolic-ref", "--short", "HEAD") or "main"
        return f"{MARK}{address}/badges/{branch}/pipeline.svg)]({address}/-/pipelines)"
    workflow = f"{address}/actions/workflows/grade.yml"
    return f"{MARK}{workflow}/badge.svg)]({workflow})"


def _git(*arguments: str) -> str:
    """What git prints; nothing where it fails or is not installed."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
