"""A learner's repository in CI: which grader is chosen, and the workflow's own shell, run on local clones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from grading.catalog import ROOT, Catalog
from grading.classroom import readme_badge
from grading.cli import main
from grading.stubs import stub
from tests.engine.katas import ATTENTION, GROUPS, HEADS, SAME_TRACK

WRONG = ROOT / "tests" / "submissions" / "wrong"
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "grade.yml").read_text())
STEPS = {step["name"]: step["run"] for step in WORKFLOW["jobs"]["grade"]["steps"] if "run" in step}
PARTS = (
    *("grader.py", "grading", "katas", "problems", "solutions", "tests"),
    *("pyproject.toml", "requirements.txt", ".github"),
)


def git(folder, *arguments, who="publisher"):
    name = ("-c", f"user.name={who}", "-c", f"user.email={who}@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, who="publisher", **files):
    """Write files, whose names have __ for a slash and no .py, and commit them."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "work", who=who)
    return git(folder, "rev-parse", "HEAD")


def machine(folder, answer=None):
    """A runner's environment, in which GitHub's command line gives that answer, or none."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    program = "exit 1" if answer is None else f"cat <<'END'\n{json.dumps(answer)}\nEND"
    (tools / "gh").write_text(f"#!/bin/sh\n{program}\n")
    (tools / "gh").chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "CI_", "GRADER_"))}
    return {**kept, "PATH": path, "GITHUB_REPOSITORY": "learner/katas", "GITHUB_REPOSITORY_OWNER": "learner"}


# ------------------------------------------------------------------------------------------- the grader that is chosen

CI = 'verbs.add_parser("ci")\n'


@pytest.fixture
def upstream(tmp_path):
    """A small repository of a publisher's: a commit without a grader, one with, one that mends it."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder, notes="")
    commit(folder, grader="", grading__ci=CI, tests__test_x="1", problems__x="")
    commit(folder, tests__test_x="2")
    return folder


def clone(source, target, *options):
    subprocess.run(["git", "clone", "--quiet", *options, str(source), str(target)], check=True)
    return target


def choose(tmp_path, learner, answer=None, **environment):
    """The sentence, and the chosen grader's tests/test_x.py."""
    grader = tmp_path / "grader"
    shutil.rmtree(grader, ignore_errors=True)
    command = [sys.executable, str(ROOT / ".github" / "choose_grader.py"), str(learner), str(grader)]
    environment = machine(tmp_path, answer) | environment
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return grader.with_name("grader.md").read_text(), (grader / "tests" / "test_x.py").read_text()


def test_the_newest_that_somebody_else_wrote(tmp_path, upstream):
    learner = clone(upstream, tmp_path / "learner")
    commit(learner, who="learner", problems__x="mine")
    sentence, tests = choose(tmp_path, learner)
    assert "the newest that is not by" in sentence
    assert git(upstream, "rev-parse", "HEAD")[:10] in sentence
    assert tests == "2"


def test_edited_graders_are_not_taken(tmp_path, upstream):
    learner = clone(upstream, tmp_path / "learner")
    commit(learner, who="learner", tests__test_x="edited", katas__x="edited")
    commit(learner, who="learner", problems__x="mine")
    assert choose(tmp_path, learner)[1] == "2"


def test_nor_those_that_the_owner_edited_on_the_website(tmp_path, upstream):
    learner = clone(upstream, tmp_path / "learner")
    git(learner, "config", "user.useConfigOnly", "false")
    (learner / "tests" / "test_x.py").write_text("edited")
    author = "A Name <1234+Learner@users.noreply.github.com>"
    git(learner, "commit", "--quiet", "--all", "--author", author, "-m", "edit", who="web")
    commit(learner, who="me", problems__x="mine")
    assert choose(tmp_path, learner)[1] == "2"


def test_what_a_fork_took_over_later_counts(tmp_path, upstream):
    learner = clone(upstream, tmp_path / "learner")
    commit(learner, who="learner", problems__x="mine", tests__test_y="edited")
    commit(upstream, tests__test_x="3")
    git(learner, "fetch", "--quiet", "origin", who="learner")
    git(learner, "merge", "--quiet", "--no-edit", "origin/main", who="learner")
    assert choose(tmp_path, learner)[1] == "3"
    assert not (tmp_path / "grader" / "tests" / "test_y.py").exists()


def test_a_shallow_clone_gets_its_history(tmp_path, upstream):
    mine = clone(upstream, tmp_path / "mine")
    commit(mine, who="learner", problems__x="mine", tests__test_x="edited")
    learner = clone(f"file://{mine}", tmp_path / "learner", "--depth", "1")
    assert choose(tmp_path, learner)[1] == "2"


def test_without_its_history_it_is_self_assessment(tmp_path, upstream):
    learner = clone(f"file://{upstream}", tmp_path / "learner", "--depth", "1")
    git(learner, "remote", "remove", "origin")
    sentence, tests = choose(tmp_path, learner)
    assert "self-assessment" in sentence
    assert tests == "2"


def test_a_copy_of_a_template_is_graded_as_it_came(tmp_path, upstream):
    learner = tmp_path / "learner"
    shutil.copytree(upstream, learner, ignore=shutil.ignore_patterns(".git"))
    git(learner, "init", "--quiet", who="learner")
    first = commit(learner, who="learner")
    commit(learner, who="learner", tests__test_x="edited", problems__x="mine")
    sentence, tests = choose(tmp_path, learner)
    assert f"the first grader in this repository's history, of commit {first[:10]}" in sentence
    assert tests == "2"


@pytest.mark.parametrize("relation", ["parent", "template_repository"])
def test_a_fork_that_is_behind_is_graded_by_what_it_comes_from(tmp_path, upstream, relation):
    learner = clone(upstream, tmp_path / "learner")
    commit(learner, who="learner", problems__x="mine", tests__test_x="edited")
    commit(upstream, tests__test_x="3")
    answer = {relation: {"full_name": "publisher/katas", "clone_url": str(upstream)}}
    assert choose(tmp_path, learner, answer) == (
        "\n> Graded with the grader of publisher/katas, as it is today.\n",
        "3",
    )
    for tag in ("v0.9.0", "v0.10.0", "v0.10.0-rc1", "draft"):
        git(upstream, "tag", tag, "HEAD" if tag == "v0.10.0" else "HEAD^")
    commit(upstream, tests__test_x="4")
    sentence, tests = choose(tmp_path, learner, answer)
    assert "publisher/katas, version v0.10.0" in sentence
    assert tests == "3"


def test_an_origin_that_cannot_be_had_is_no_fault(tmp_path, upstream):
    learner = clone(upstream, tmp_path / "learner")
    commit(learner, who="learner", problems__x="mine")
    bare = tmp_path / "bare"
    bare.mkdir()
    git(bare, "init", "--quiet")
    commit(bare, notes="no grader")
    for url in (tmp_path / "gone", bare):
        answer = {"parent": {"full_name": "a/b", "clone_url": str(url)}, "template_repository": None}
        assert "the newest that is not by" in choose(tmp_path, learner, answer)[0]
    assert "the newest that is not by" in choose(tmp_path, learner, {"parent": None})[0]


def test_a_program_of_the_workflows_is_enough_on_a_machine_without_githubs(tmp_path, upstream):
    learner = clone(upstream, tmp_path / "learner")
    commit(learner, who="learner", problems__x="mine")
    tools = tmp_path / "only"
    tools.mkdir()
    (tools / "git").symlink_to(shutil.which("git"))
    assert choose(tmp_path, learner, PATH=str(tools))[1] == "2"


# ---------------------------------------------------------------------------------------------- the workflow, rehearsed


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The repository as it would be published."""
    folder = tmp_path_factory.mktemp("published") / "katas"
    skipped = shutil.ignore_patterns("__pycache__", "submissions", "engine", "notebooks")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=skipped)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / part, folder / part)
    for each in Catalog().katas:
        (folder / "problems" / f"{each.stem}.py").write_text(stub(each))
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Initial commit")
    return folder


class Job:
    """A learner's repository in a runner's folder, and the workflow's steps on it."""

    def __init__(self, folder: Path, published: Path) -> None:
        self.folder = folder
        self.learner = clone(published, folder / "learner")

    def push(self, sources: dict[str, str]) -> None:
        """A commit with these files of problems/; with no text, one is deleted."""
        for stem, text in sources.items():
            path = self.learner / "problems" / f"{stem}.py"
            path.write_text(text) if text else path.unlink()
        git(self.learner, "add", "--all")
        git(self.learner, "commit", "--quiet", "--allow-empty", "-m", "work", who="learner")

    def run(self, before="HEAD^", strict=""):
        """The steps in order, as a runner does them, but for the installation; (exit status, output, summary)."""
        for name in ("grader", "result"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        summary = self.folder / "summary.md"
        summary.write_text("")
        environment = {
            **machine(self.folder),
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(summary),
            "BEFORE": before,
            "STRICT": strict,
        }
        status, words = 0, ""
        for name in ("The grader that is found", "Grade", "Show the result"):
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]]
            done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
            words += done.stdout + done.stderr
            status = status or done.returncode
        return status, words, summary.read_text()


@pytest.fixture
def job(tmp_path, published):
    return Job(tmp_path, published)


def solution(stem):
    return (ROOT / "solutions" / f"{stem}.py").read_text()


def commands(words):
    """The lines that a runner takes for commands, and does: none between stop-commands and its token."""
    live, token = [], None
    for line in (each.strip() for each in words.splitlines()):
        if token:
            token = None if line == f"::{token}::" else token
        elif line.startswith("::stop-commands::"):
            token = line.rpartition("::")[2]
        elif line.startswith("::") or "##[" in line:
            live.append(line)
    return live


def test_untouched_and_right_are_green(job):
    job.push({})
    status, words, summary = job.run()
    assert (status, commands(words)) == (0, []), words
    assert summary.startswith(f"## 0 of {SAME_TRACK} katas pass")
    job.push({ATTENTION: solution(ATTENTION)})
    status, words, summary = job.run()
    assert (status, commands(words)) == (0, []), words
    assert summary.startswith(f"## 1 of {SAME_TRACK} katas pass, ")
    assert "did not count" not in summary
    assert "is not by this repository's owner" in summary
    assert json.loads((job.folder / "result" / "badge.json").read_text())["message"] == f"1/{SAME_TRACK}"
    assert job.run(strict="--strict")[0] in (1, 3), "all are required; 3 where there is no sandbox"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone: there is no history to start from")
def test_the_first_push_on_this_very_history(tmp_path):
    job = Job(tmp_path, ROOT)
    job.push({kata.stem: stub(kata) for kata in Catalog().katas})
    assert job.run()[0] == 0
    job.push({ATTENTION: solution(ATTENTION)})
    assert job.run()[0] == 0
    job.push({ATTENTION: solution(ATTENTION).replace("/ math", "* math")})
    status, _, summary = job.run()
    assert status == 1
    assert "Graded with" in summary


def test_what_was_solved_and_is_gone_is_red_once(job):
    job.push({ATTENTION: solution(ATTENTION), HEADS: solution(HEADS)})
    job.push({ATTENTION: stub(Catalog()[ATTENTION]), HEADS: ""})
    status, words, summary = job.run()
    assert status == 1
    assert f"{ATTENTION} passed before this change" in summary
    assert f"{HEADS} passed before this change" in summary
    assert [line.partition(",")[0] for line in commands(words)] == [
        f"::error file=problems/{ATTENTION}.py",
        f"::error file=problems/{HEADS}.py",
    ]
    assert job.run(before="0" * 40)[0] == 0, "a new branch has no earlier commit"
    assert job.run(before="1" * 40)[0] == 0, "nor has one that was pushed over"


def test_a_wrong_one_is_red_whatever_was_done_to_the_grader(job):
    """Tampering with everything that a grade goes through changes no verdict, and is reported."""
    wrong = (WRONG / GROUPS / "kv-heads-tiled.py").read_text()
    everywhere = "import sys\nsys.exit(0)\n"
    for name in (
        "grader.py",
        "tests/conftest.py",
        "tests/test_gqa.py",
        "conftest.py",
        "grading/__init__.py",
        "torch.py",
    ):
        (job.learner / name).write_text(everywhere)
    (job.learner / "katas" / GROUPS / "kata.toml").write_text("")
    (job.learner / "problems" / "conftest.py").write_text(everywhere)
    (job.learner / "problems" / "sitecustomize.py").write_text(everywhere)
    shutil.rmtree(job.learner / "solutions")
    (job.learner / ".github" / "workflows" / "grade.yml").write_text("on: push\n")
    job.push({GROUPS: wrong})
    status, words, summary = job.run()
    assert status == 1
    assert "exactly what you get when kv heads are tiled" in summary
    for name in ("grader.py", "conftest.py", ".github/workflows/grade.yml"):
        assert name in summary.partition("did not count")[2]
    live = commands(words)
    assert 0 < len(live) <= 10
    assert all(line.startswith(f"::error file=problems/{GROUPS}.py,line=") for line in live)


def test_hostile_words_are_no_commands(job):
    printing = 'print("::add-mask::a\\n ::stop-commands::b\\n##[error]c")\n'
    job.push(
        {
            ATTENTION: printing + solution(ATTENTION).replace("/ math", "* math"),
            HEADS: printing + "raise ValueError('::error::x')\n",
        }
    )
    status, words, summary = job.run()
    assert status == 1
    assert all(line.startswith("::error file=problems/") for line in commands(words)), words
    assert "::add-mask" not in [line.strip() for line in summary.splitlines()]


def test_a_linked_folder_is_refused(job):
    shutil.rmtree(job.learner / "problems")
    (job.learner / "problems").symlink_to(ROOT / "solutions")
    git(job.learner, "add", "--all")
    git(job.learner, "commit", "--quiet", "-m", "link")
    status, words, _ = job.run()
    assert status == 1
    assert "problems/ is a link" in words


def test_gitlabs_job_does_the_same(job):
    steps = yaml.safe_load((ROOT / "docs" / "gitlab-ci.yml").read_text())["grade"]
    chosen = next(line for line in steps["before_script"] if "choose_grader.py" in line)
    program = "\n".join([chosen, *steps["script"]]).replace("/tmp/grader", str(job.folder / "grader"))
    runner = {name: value for name, value in machine(job.folder).items() if not name.startswith("GITHUB_")}
    for text, wanted in (
        (solution(ATTENTION), 0),
        (solution(ATTENTION).replace("/ math", "* math"), 1),
        (stub(Catalog()[ATTENTION]), 0),
    ):
        before = git(job.learner, "rev-parse", "HEAD")
        job.push({ATTENTION: text})
        shutil.rmtree(job.folder / "grader", ignore_errors=True)
        environment = {**runner, "CI_PROJECT_ROOT_NAMESPACE": "learner", "CI_COMMIT_BEFORE_SHA": before}
        command = ["bash", "-eo", "pipefail", "-c", program]
        done = subprocess.run(command, cwd=job.learner, env=environment, capture_output=True, text=True)
        assert done.returncode == wanted, done.stdout + done.stderr
        assert "is not by this repository's owner" in (job.folder / "grader.md").read_text()
        assert (job.learner / "result" / "junit.xml").is_file()


def test_every_step_is_a_program_that_bash_reads():
    for script in STEPS.values():
        subprocess.run(["bash", "-n", "-c", script], check=True)


# ------------------------------------------------------------------------------------------------------- the badge

REMOTES = {
    "https://github.com/me/katas.git": "https://github.com/me/katas/actions/workflows/grade.yml/badge.svg",
    "git@github.com:me/katas.git": "https://github.com/me/katas/actions/workflows/grade.yml/badge.svg",
    "ssh://git@git.example.org:2222/a/b/katas": "https://git.example.org/a/b/katas/actions/workflows/grade.yml/badge.svg",
}


@pytest.fixture
def fork(tmp_path, monkeypatch):
    """A repository with a README, in which the verb `badge` works."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "README.md").write_text("# Mine\n\nText.\n")
    monkeypatch.setattr(readme_badge, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("remote", REMOTES)
def test_one_command_writes_the_badge_once(fork, remote):
    git(fork, "remote", "add", "origin", remote)
    assert main(["badge"]) == 0
    text = (fork / "README.md").read_text()
    assert text.startswith(f"# Mine\n\n[![katas]({REMOTES[remote]})](")
    assert text.endswith("\n\nText.\n")
    assert main(["badge"]) == 0
    assert (fork / "README.md").read_text() == text


def test_on_gitlab_it_is_the_pipelines(fork):
    git(fork, "remote", "add", "origin", "git@gitlab.example.org:me/katas.git")
    (fork / ".gitlab-ci.yml").write_text("")
    assert main(["badge"]) == 0
    assert "(https://gitlab.example.org/me/katas/badges/main/pipeline.svg)" in (fork / "README.md").read_text()


def test_without_a_remote_it_says_what_to_do(fork, capsys):
    assert main(["badge"]) == 2
    assert "git remote add origin" in capsys.readouterr().err
    assert (fork / "README.md").read_text() == "# Mine\n\nText.\n"
