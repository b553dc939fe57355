"""Which grader grades a learner's repository in CI: one that its owner has not edited, as far as one can be had.

    python3 .github/choose_grader.py LEARNER GRADER

LEARNER is a clone of the repository that is graded. The grader goes to the new folder GRADER, and to GRADER.md goes a
sentence on whose it is, for the summary. The first of these that is there and knows the verb `ci` is taken:

1. the repository that this one is a fork of or was made from, at its newest version tag, or else its default branch,
2. the newest commit of this history that changed a grader's file and is not by the repository's owner,
3. the first commit of this history with a grader,
4. the commit that is graded, which then is self-assessment.

The first needs GitHub's command line and a token that may read the repository: the workflow's own can. The authors of
commits are what git was told. Whoever wants to deceive this can, as can whoever edits the workflow.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PARTS = ("grading", "tests", "katas", "solutions", "grader.py")
VERSION = re.compile(r"v?\d+(\.\d+)*")
SECONDS = 300


class Author(NamedTuple):
    """Who wrote a commit, as git was told."""

    name: str
    email: str


def main(learner: Path, grader: Path) -> None:
    """Put the grader there, and the sentence beside it."""
    sentence = original(grader) or own(learner, grader)
    grader.with_name(f"{grader.name}.md").write_text(f"\n> {sentence}\n", encoding="utf-8")
    print(sentence)


# ------------------------------------------------------------------------------------ somebody else's repository


def original(grader: Path) -> str:
    """Clone what this repository comes from; the sentence, or nothing where that cannot be had."""
    source = _source()
    if not source:
        return ""
    name, url = source
    for tag in (_newest_tag(url), ""):
        branch = ["--branch", tag] if tag else []
        _discard(grader)
        cloned = _git(None, "clone", "--quiet", "--depth", "1", *branch, url, str(grader))
        if cloned is not None and _knows_ci(grader, "HEAD"):
            return f"Graded with the grader of {name}, {f'version {tag}' if tag else 'as it is today'}."
    _discard(grader)
    return ""


def _source() -> tuple[str, str] | None:
    """Name and address of the repository that this one is a fork of, or was made from as a template."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    answer = _output(["gh", "api", f"repos/{repository}"]) if repository else None
    if not answer:
        return None
    described = json.loads(answer)
    source = described.get("parent") or described.get("template_repository")
    return (source["full_name"], source["clone_url"]) if source else None


def _newest_tag(url: str) -> str:
    """The tag of the newest version, or nothing."""
    listed = _git(None, "ls-remote", "--tags", "--refs", "--sort=-version:refname", url) or ""
    tags = [line.rpartition("refs/tags/")[2] for line in listed.splitlines()]
    return next((tag for tag in tags if VERSION.fullmatch(tag)), "")


# ------------------------------------------------------------------------------------- this repository's history


def own(learner: Path, grader: Path) -> str:
    """Take a commit of this history; the sentence."""
    commit, sentence = _commit(learner)
    _git(None, "clone", "--quiet", "--no-checkout", str(learner), str(grader))
    if _git(grader, "checkout", "--quiet", "--detach", commit) is None:
        sys.exit(f"choose_grader: commit {commit} cannot be checked out")
    return sentence


def _commit(learner: Path) -> tuple[str, str]:
    changes = [(commit, author) for commit, author in _changes(learner) if _knows_ci(learner, commit)]
    for commit, author in changes:
        if not _is_owner(learner, author):
            whose = "the newest that is not by this repository's owner"
            return commit, f"Graded with the grader of commit {commit[:10]}, {whose}."
    if changes:
        commit, _ = changes[-1]
        return commit, f"Graded with the first grader in this repository's history, of commit {commit[:10]}."
    return "HEAD", "Graded with this repository's own grader, for no other could be had: this is self-assessment."


def _whole(learner: Path) -> bool:
    """Whether all of the history is there, or can be fetched: in a part of it nobody can tell what came first."""
    if _git(learner, "rev-parse", "--is-shallow-repository") == "true":
        _git(learner, "fetch", "--quiet", "--unshallow")
    return _git(learner, "rev-parse", "--is-shallow-repository") == "false"


def _changes(learner: Path) -> list[tuple[str, Author]]:
    """The commits that changed a grader's file, newest first; none where a part of the history is missing."""
    if not _whole(learner):
        return []
    log = _git(learner, "log", "--format=%H%x1f%an%x1f%ae", "HEAD", "--", *PARTS) or ""
    lines = (line.split("\x1f") for line in log.splitlines())
    return [(commit, Author(name.casefold(), email.casefold())) for commit, name, email in lines]


def _is_owner(learner: Path, author: Author) -> bool:
    """Whether that is who wrote the commit that is graded, or goes by the name of the repository's owner."""
    log = _git(learner, "log", "-1", "--format=%an%x1f%ae") or ""
    name, email = log.casefold().split("\x1f")
    login = (os.environ.get("GITHUB_REPOSITORY_OWNER") or os.environ.get("CI_PROJECT_ROOT_NAMESPACE", "")).casefold()
    account = author.email.partition("@")[0].rpartition("+")[2] if "noreply" in author.email else author.name
    return author.email == email or author.name == name or (bool(login) and login in (author.name, account))


# --------------------------------------------------------------------------------------------------- programs


def _knows_ci(repository: Path, commit: str) -> bool:
    found = _git(repository, "grep", "--quiet", "--fixed-strings", 'add_parser("ci"', commit, "--", "grading")
    return found is not None


def _discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _git(repository: Path | None, *arguments: str) -> str | None:
    return _output(["git", *(["-C", str(repository)] if repository else []), *arguments])


def _output(command: list[str]) -> str | None:
    """What it prints; None where it is not installed, fails or takes too long."""
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
