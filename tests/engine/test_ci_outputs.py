"""What a CI server shows, as functions of a report; and the workflow's own shell, run on two local clones."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
import yaml

from grading.catalog import ROOT, Catalog
from grading.records import CheckResult, KataResult, Report
from grading.reports import annotations, badge, junit, markdown, score
from grading.stubs import stub

WRONG = ROOT / "tests" / "submissions" / "wrong"
EXPECTED = 63
EVIL = "x]]></failure>\n::error file=a::b\r::add-mask::c</pre><script>|%0A\x00\x1b[2J\ud800 ##[error]"


def kata(stem, outcome="passed", checks=None, **more):
    each = Catalog()[stem]
    if checks is None:
        checks = [CheckResult(f"test_{i}", "a rule", "passed") for i in range(EXPECTED)]
    passed = sum(check.outcome == "passed" for check in checks)
    return KataResult(stem, each.title, f"problems/{stem}.py", outcome, passed, EXPECTED, (), tuple(checks), **more)


@pytest.fixture(scope="module")
def hostile():
    """A report in which every word that may come from a learner is a bad one."""
    evil = CheckResult("test_0", "a rule", "failed", EVIL, EVIL, EVIL, "problems/gqa.py:3", EVIL, EVIL, "differs")
    broken = kata("mqa", "broken", (), message=EVIL, where="problems/mqa.py:7", printed=EVIL)
    good = [kata(stem) for stem in ("sdpa", "causal_mask")]
    return Report(
        7, ("process",), 1.0, (*good, kata("mha", "not started", ()), kata("gqa", "failed", [evil] * 20), broken)
    )


@pytest.fixture(scope="module")
def reports(examiner, hostile, tmp_path_factory):
    stubs, mixed = (tmp_path_factory.mktemp(name) for name in ("stubs", "mixed"))
    for each in Catalog().katas:
        (stubs / f"{each.stem}.py").write_text(stub(each))
    shutil.copy(WRONG / "gqa" / "kv-heads-tiled.py", mixed / "gqa.py")
    shutil.copy(ROOT / "solutions" / "sdpa.py", mixed / "sdpa.py")
    (mixed / "mqa.py").write_text("def f(:\n")
    folders = {"right": ROOT / "solutions", "stubs": stubs, "mixed": mixed}
    graded = {name: examiner.grade(Catalog().stems, folder, asked=False) for name, folder in folders.items()}
    return {**graded, "hostile": hostile}


NAMES = ["right", "stubs", "mixed", "hostile"]


@pytest.mark.parametrize("name", NAMES)
def test_junit_is_valid_and_counts_right(reports, name):
    text = junit.junit(reports[name])
    xmlschema.XMLSchema(ROOT / "tests" / "engine" / "junit.xsd").validate(text)
    root = ElementTree.fromstring(text)
    assert int(root.get("tests")) == len(root.findall(".//testcase"))
    failing = int(root.get("failures")) + int(root.get("errors"))
    assert bool(failing) == any(result.outcome in ("failed", "broken") for result in reports[name].katas)


@pytest.mark.parametrize("name", NAMES)
def test_annotations_are_few_and_each_is_one_command(reports, name):
    lines = annotations.commands(reports[name])
    assert len(lines) <= 10
    for line in lines:
        assert line.startswith("::error file=problems/")
        assert not set(line) & set("\r\n\x00\x1b")
        assert line.count("::") - line.partition("title=")[2].partition("::")[2].count("::") == 2
    assert bool(lines) == (name in ("mixed", "hostile"))


def test_every_failing_kata_is_annotated_before_any_a_second_time(hostile):
    lines = annotations.commands(hostile)
    assert "problems/gqa.py,line=3," in lines[0]
    assert "problems/mqa.py,line=7," in lines[1]
    assert annotations.error("a:b,c.py", 1, "t", "50%\nx") == "::error file=a%3Ab%2Cc.py,line=1,title=t::50%25%0Ax"


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_holds_board_and_score_and_no_markup_of_a_learner(reports, name):
    text = markdown.markdown(reports[name], ["a note"])
    assert text.count("| problems/") + text.count("(`problems/") == len(reports[name].katas)
    assert "points" in text.splitlines()[0]
    assert "> a note" in text
    assert "<script>" not in text
    assert text.count("</pre>") == text.count("<pre>")
    assert not set(text) & set("\x00\x1b\r\ud800")


def test_the_summary_names_cause_and_first_difference(reports):
    text = markdown.markdown(reports["mixed"])
    for words in ("### gqa: ", "wanted  0 0", "cause   exactly what you get when", "SyntaxError", "more checks"):
        assert words in text


def test_the_score_is_full_only_for_a_pass(reports):
    full = score.score(reports["right"])
    assert full["points"] == full["max"] == sum(each.points for each in Catalog().katas)
    assert score.score(reports["stubs"])["points"] == 0
    for each in score.score(reports["mixed"])["katas"]:
        worth = sum(check["points"] for check in each["checks"])
        assert each["points"] == pytest.approx(worth, abs=0.01)
    more = kata("sdpa", "failed", [CheckResult(f"t{i}", "a rule", "passed") for i in range(99)])
    assert score.points(more) < Catalog()["sdpa"].points


@pytest.mark.parametrize(("name", "color"), [("right", "brightgreen"), ("stubs", "lightgrey"), ("mixed", "red")])
def test_the_badge(reports, name, color):
    data = badge.endpoint(reports[name])
    assert data["color"] == color
    assert ElementTree.fromstring(badge.svg(reports[name])).get("aria-label") == f"katas: {data['message']}"
    passed = [replace(result, outcome="not started") for result in reports["right"].katas[1:]]
    some = replace(reports["right"], katas=(reports["right"].katas[0], *passed))
    assert badge.endpoint(some) == {"schemaVersion": 1, "label": "katas", "message": "1/6", "color": "yellow"}


# --------------------------------------------------------------------------------------- the workflow, rehearsed

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "grade.yml").read_text())
STEPS = {step["name"]: step["run"] for step in WORKFLOW["jobs"]["grade"]["steps"] if "run" in step}
PARTS = (
    "grader.py",
    "grading",
    "katas",
    "problems",
    "solutions",
    "tests",
    "pyproject.toml",
    "requirements.txt",
    ".github",
)


def git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The repository as it would be published: one commit with all files."""
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
        self.learner = folder / "learner"
        subprocess.run(["git", "clone", "--quiet", str(published), str(self.learner)], check=True)

    def push(self, **sources: str) -> None:
        """A commit with these files of problems/; with no text, one is deleted."""
        for stem, text in sources.items():
            path = self.learner / "problems" / f"{stem}.py"
            path.write_text(text) if text else path.unlink()
        git(self.learner, "add", "--all")
        git(self.learner, "commit", "--quiet", "--allow-empty", "-m", "work")

    def run(self, before="HEAD^", strict=""):
        """The steps in order, as a runner does them, but for the installation; (exit status, output, summary)."""
        for name in ("grader", "result"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        summary = self.folder / "summary.md"
        summary.write_text("")
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(summary),
            "BEFORE": before,
            "STRICT": strict,
        }
        status, words = 0, ""
        for name in ("The grader, from the first commit", "Grade", "Show the result"):
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
    job.push()
    status, words, summary = job.run()
    assert (status, commands(words)) == (0, []), words
    assert summary.startswith("## 0 of 6 katas pass")
    job.push(sdpa=solution("sdpa"))
    status, words, summary = job.run()
    assert (status, commands(words)) == (0, []), words
    assert summary.startswith("## 1 of 6 katas pass, 10 of 100 points")
    assert "did not count" not in summary
    assert json.loads((job.folder / "result" / "badge.json").read_text())["message"] == "1/6"
    assert job.run(strict="--strict")[0] in (1, 3), "all six are required; 3 where there is no sandbox"


def test_what_was_solved_and_is_gone_is_red_once(job):
    job.push(sdpa=solution("sdpa"), mha=solution("mha"))
    job.push(sdpa=stub(Catalog()["sdpa"]), mha="")
    status, words, summary = job.run()
    assert status == 1
    assert "sdpa passed before this change" in summary
    assert "mha passed before this change" in summary
    assert [line.partition(",")[0] for line in commands(words)] == [
        "::error file=problems/sdpa.py",
        "::error file=problems/mha.py",
    ]
    assert job.run(before="0" * 40)[0] == 0, "a new branch has no earlier commit"
    assert job.run(before="1" * 40)[0] == 0, "nor has one that was pushed over"


def test_a_wrong_one_is_red_whatever_was_done_to_the_grader(job):
    """Tampering with everything that a grade goes through changes no verdict, and is reported."""
    wrong = (WRONG / "gqa" / "kv-heads-tiled.py").read_text()
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
    (job.learner / "katas" / "gqa" / "kata.toml").write_text("")
    (job.learner / "problems" / "conftest.py").write_text(everywhere)
    (job.learner / "problems" / "sitecustomize.py").write_text(everywhere)
    shutil.rmtree(job.learner / "solutions")
    (job.learner / ".github" / "workflows" / "grade.yml").write_text("on: push\n")
    job.push(gqa=wrong)
    status, words, summary = job.run()
    assert status == 1
    assert "exactly what you get when kv heads are tiled" in summary
    for name in ("grader.py", "conftest.py", ".github/workflows/grade.yml"):
        assert name in summary.partition("did not count")[2]
    live = commands(words)
    assert 0 < len(live) <= 10
    assert all(line.startswith("::error file=problems/gqa.py,line=") for line in live)


def test_hostile_words_are_no_commands(job):
    printing = 'print("::add-mask::a\\n ::stop-commands::b\\n##[error]c")\n'
    job.push(
        sdpa=printing + solution("sdpa").replace("/ math", "* math"), mha=printing + "raise ValueError('::error::x')\n"
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


def test_every_step_is_a_program_that_bash_reads():
    for script in STEPS.values():
        subprocess.run(["bash", "-n", "-c", script], check=True)


def test_the_container_files_name_what_is_there():
    """No engine runs here: what the Dockerfile copies exists, and the dev container's target is one of its stages."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    for line in (each for each in lines if each.startswith("COPY ")):
        assert all((ROOT / source).exists() for source in line.split()[1:-1]), line
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert any(line.endswith(f" AS {container['build']['target']}") for line in lines)
    assert "@sha256:" in next(line for line in lines if line.startswith("FROM "))
