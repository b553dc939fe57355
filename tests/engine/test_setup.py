"""Set-up: the lists of packages, the Makefile on a machine of make-believe, the package, the editors' files."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from itertools import pairwise

import pytest

from grading.catalog import ROOT, Catalog
from grading.records import CheckResult, KataResult, Report
from grading.reports import terminal
from tests.engine.katas import ATTENTION

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTS = ("requirements.txt", "requirements-notebooks.txt", "requirements-dev.txt")


def pins(name):
    """The packages of a list and their versions."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and line[0] not in "#-"]
    return dict(line.lower().split("==") for line in lines)


def numbers(version):
    return [int(part) for part in version.split(".")]


def test_a_grade_needs_seven_packages_each_pinned_within_what_the_project_allows():
    bounds = dict(line.split(">=") for line in PROJECT["project"]["dependencies"])
    assert set(pins("requirements.txt")) == set(bounds)
    assert len(bounds) == 7
    for name, version in pins("requirements.txt").items():
        assert numbers(version) >= numbers(bounds[name]), name


def test_no_package_is_pinned_twice_and_each_list_holds_the_one_before():
    names = [name for each in LISTS for name in pins(each)]
    assert len(names) == len(set(names))
    for smaller, larger in pairwise(LISTS):
        assert f"-r {smaller}" in (ROOT / larger).read_text().splitlines()


# ------------------------------------------------------------------------------------------------------ the Makefile

PYTHON = """#!/bin/sh
echo "python $*" >> "$LOG"
case "$*" in
  *"-m venv"*)
    mkdir -p .venv/bin && cp "$0" .venv/bin/python
    cp "$(dirname "$0")/uv" .venv/bin ;;
  *grader.py*) exit "${GRADE:-0}" ;;
esac
"""
UV = '#!/bin/sh\necho "uv $*" >> "$LOG"\nexit "${UV_STATUS:-0}"\n'


@pytest.fixture
def make(tmp_path):
    """make(target, GRADE=..., UV=...): make in a clone in which every program only says that it was called."""
    for name in ("Makefile", *LISTS):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {"python3": PYTHON, "uv": UV}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    log = tmp_path / "log"

    def run(*targets, **environment):
        log.write_text("")
        settings = {"PATH": f"{tools}:/usr/bin:/bin", "LOG": str(log), **environment}
        done = subprocess.run(["make", *targets], cwd=tmp_path, env=settings, capture_output=True, text=True)
        return done, log.read_text()

    return run


def test_the_first_make_sets_up_and_says_the_size_before(make):
    done, log = make()
    assert done.returncode == 0, done.stderr
    assert re.match(r"Setting up \.venv: \d+ packages, \d+ MB to download", done.stdout)
    assert "uv pip install --python .venv/bin/python --torch-backend cpu -r requirements.txt" in log
    assert "pip install --disable-pip-version-check -r requirements.txt" not in log
    assert log.rstrip().endswith("python grader.py")
    assert make()[1] == "python grader.py\n", "the second one only grades"


def test_where_uv_fails_pip_takes_over_in_one_line(make):
    done, log = make(UV_STATUS="2")
    assert done.returncode == 0
    assert "python -m pip install --disable-pip-version-check -r requirements.txt" in log
    assert [line for line in done.stdout.splitlines() if "GB to download" in line]


@pytest.mark.parametrize(("status", "code"), [("0", 0), ("1", 0), ("2", 2), ("3", 2)])
def test_a_wrong_answer_is_no_error_of_make(make, status, code):
    done, _ = make(GRADE=status)
    assert done.returncode == code
    assert ("Error" in done.stderr) == bool(code)


def test_make_test_and_make_notebooks_set_up_what_they_need_as_first_commands(make):
    done, log = make("test")
    assert done.returncode == 0, done.stderr
    order = [log.index(f"-r {name}") for name in LISTS]
    assert order == sorted(order)
    assert order[-1] < log.index("-m pytest -q --candidate=solutions ")
    done, log = make("notebooks")
    assert log == "python -m jupyterlab notebooks/start_here.ipynb\n"
    assert (ROOT / "notebooks" / "start_here.ipynb").is_file()


# ------------------------------------------------------------------------------------------------------- the package


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that `pip install .` fills, from a copy of what it reads, and the wheel."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "installed"))
    for name in ("grading", "katas"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(built, check=True, capture_output=True)
    wheel = next(wheels.iterdir())
    unpacked = [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(unpacked, check=True, capture_output=True)
    return target, wheel


def test_the_package_holds_every_file_of_the_engine_and_of_the_katas(installed):
    names = set(zipfile.ZipFile(installed[1]).namelist())
    for part in ("grading", "katas"):
        files = [path for path in (ROOT / part).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert {path.relative_to(ROOT).as_posix() for path in files} <= names


def katas(target, folder, *arguments):
    """The command `katas`, called in a folder."""
    command = [sys.executable, str(target / "bin" / "katas"), *arguments]
    environment = {"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_command_katas_is_the_clones_grader(installed):
    done = katas(installed[0], ROOT / "problems", "list")
    assert done.returncode == 0, done.stderr
    assert Catalog().katas[0].title in done.stdout


def test_outside_of_a_clone_it_says_that_the_exercises_are_elsewhere(installed, tmp_path):
    done = katas(installed[0], tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("katas: no exercises here.")
    assert len(done.stderr.splitlines()) == 1


# ------------------------------------------------------------------------------------------------------- the editors


def commented(name):
    """A JSON file with lines of comments."""
    lines = (ROOT / name).read_text().splitlines()
    return json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))


def test_vs_code_marks_the_line_of_a_wrong_answer():
    task = commented(".vscode/tasks.json")["tasks"][0]
    pattern = task["problemMatcher"]["pattern"]
    failed = CheckResult(
        "test_0", "the scores are divided by sqrt(E)", "failed", "m", "1", "2", f"problems/{ATTENTION}.py:3"
    )
    kata = Catalog()[ATTENTION]
    result = KataResult(kata.stem, kata.title, f"problems/{ATTENTION}.py", "failed", 0, 1, (), (failed,))
    shown = terminal.report(Report(7, (), 1.0, (result,)), 100).plain
    found = re.search(pattern["regexp"], shown, re.MULTILINE)
    assert found, shown
    assert found[pattern["message"]] == failed.title
    assert (found[pattern["file"]], found[pattern["line"]]) == (f"problems/{ATTENTION}.py", "3")


def test_the_tasks_and_the_debugger_call_verbs_and_options_that_there_are():
    tasks = [each["args"] for each in commented(".vscode/tasks.json")["tasks"]]
    debug = commented(".vscode/launch.json")["configurations"][0]["args"]
    for words in (*tasks, ["grader.py", *debug]):
        command = [sys.executable, *(word.replace("${fileBasenameNoExtension}", ATTENTION) for word in words)]
        done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_test_explorer_of_vs_code_finds_the_graders_and_nothing_else():
    settings = commented(".vscode/settings.json")
    assert settings["python.testing.pytestEnabled"]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *settings["python.testing.pytestArgs"]]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    files = {line.partition("::")[0] for line in found.splitlines() if "::" in line}
    assert files == {f"tests/test_{kata.stem}.py" for kata in Catalog().katas}, found
    assert commented(".vscode/extensions.json")["recommendations"]


def test_the_container_files_name_what_is_there():
    """No engine runs here: what the Dockerfile copies exists, and the dev container's target is one of its stages."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    for line in (each for each in lines if each.startswith("COPY ")):
        assert all((ROOT / source).exists() for source in line.split()[1:-1]), line
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert any(line.endswith(f" AS {container['build']['target']}") for line in lines)
    marks = re.findall(r"(?m)^\$\(VENV\)/(\w+):", (ROOT / "Makefile").read_text())
    made = container["postCreateCommand"].partition("touch ")[2].split()
    assert made == [f".venv/{mark}" for mark in marks], "make would install again what the image holds"
    assert "@sha256:" in next(line for line in lines if line.startswith("FROM "))
