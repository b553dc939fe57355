"""A kata is added by files of its own: with those that `new` writes, and no other line changed, all works for it.

It is done in a copy of the repository, where one process runs most of the command lines: PyTorch is imported once.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.engine.terminals import Terminal, copied

WROTE = """katas/toy/kata.toml solutions/toy.py tests/test_toy.py katas/toy/diagnosis.py katas/toy/questions.toml
katas/toy/zh.toml tests/submissions/right/toy/added_to_itself.py tests/submissions/wrong/toy/toy-squared.py
notebooks/src/toy.py problems/toy.py""".split()
SQUARED = WROTE[7]
RUNNER = """
import contextlib, io, json, os, runpy, sys
from grading.cli import main
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    arguments, language = json.loads(line)
    os.environ["KATA_LANG"], said = language, io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            if arguments[0].endswith(".py"):
                runpy.run_path(arguments[0], run_name="__main__")
            status = 0 if arguments[0].endswith(".py") else main(arguments)
        except SystemExit as ended:
            status = ended.code
    print(json.dumps([status, said.getvalue()]), file=answers, flush=True)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The copy, with a kata of that name in it, and nothing else that was not there before."""
    root = copied(tmp_path_factory.mktemp("toy"), everything=True)
    before = contents(root)
    done = run(root, "grader.py", "new", "toy", "--title", "Twice", "--minutes", "5")
    assert done.stdout.split("\n\n")[0].split() == WROTE
    after = contents(root)
    assert before.items() <= after.items(), "files that are not the kata's own were changed"
    assert after.keys() - before.keys() == set(WROTE)
    return root


@pytest.fixture(scope="module")
def grader(root):
    """grader(*arguments, status=0, language="en"): what the command line, or a script, says in the copy."""
    command = [sys.executable, "-c", RUNNER]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(*arguments, status=0, language="en"):
            process.stdin.write(json.dumps([[str(each) for each in arguments], language]) + "\n")
            process.stdin.flush()
            found, said = json.loads(process.stdout.readline())
            assert found == status, said
            return said

        yield ask
        process.stdin.close()


@pytest.fixture(scope="module", autouse=True)
def suite(root):
    """While other tests run: its notebook is built, and the tests of the copy that have it are run."""
    files = [f"tests/engine/test_{name}.py" for name in ("texts", "questions", "author", "diagnosis", "submissions")]
    test = [sys.executable, "-m", "pytest", "-q", "-k", "toy", "tests/test_toy.py", "tests/notebooks", *files]
    command = shlex.join([sys.executable, "notebooks/build.py", "toy"]) + " && " + shlex.join(test)
    with subprocess.Popen(command, shell=True, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        yield process


def run(root, *command, status=0):
    """A program in the copy, to its end."""
    command = [sys.executable, *command]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def contents(root):
    paths = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def solve(root, place="problems"):
    shutil.copy(root / "solutions" / "toy.py", root / place / "toy.py")


# ----------------------------------------------------------------------------------------------- the verbs


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_is_listed_hinted_and_put_back(root, grader, language):
    assert re.search(r"\d toy +5 \S+ +Twice\n", grader("list", language=language))
    assert "Twice" in grader("hint", "toy", language=language)
    assert "toy" in grader("reset", "toy", language=language)
    (root / "problems" / "toy.py").write_text("def twice(x):\n    return 3 * x\n")
    assert ".kata/backups/toy" in grader("reset", "toy", language=language)
    assert "Twice, about 5 minutes." in (root / "problems" / "toy.py").read_text()


def test_it_is_graded_and_a_mistake_is_named(root, grader):
    assert "not started" in grader("toy", status=1)
    shown = grader("check", "toy", "--file", root / SQUARED, status=1)
    assert "the output is twice the input" in shown
    assert "the input is squared instead of doubled" in " ".join(shown.split())
    assert "python grader.py read toy#By-hand" in shown
    solve(root)
    (result,) = json.loads(grader("check", "toy", "--json", "--html", root / "page.html"))["katas"]
    assert (result["outcome"], result["passed"], result["fault"]) == ("passed", result["expected"], "")
    assert "Twice" in (root / "page.html").read_text()


def test_it_is_compared_and_remembered(root, grader):
    solve(root)
    grader("toy")
    assert "- yours\n+ reference" in grader("compare", "toy")
    assert re.search(r"\d toy +\d+ ", grader("status"))
    assert "toy" in grader("due")


def test_there_is_a_drill_and_an_interview(root, grader):
    grader("drill", "toy")
    assert "squared" not in (root / ".kata" / "drill" / "toy.py").read_text()
    solve(root, ".kata/drill")
    assert "The input is squared instead of doubled" in grader("drill", "check")
    assert "to double a tensor" in grader("questions", "toy", "--list")
    grader("interview", "start", "toy")
    solve(root, ".kata/interview")
    assert "pass" in grader("interview", "run")
    card = grader("interview", "finish", language="zh")
    assert "Twice" in card
    assert "加倍" in card, "its question is asked"


def test_cohorts_and_servers_have_it_too(root, grader):
    solve(root)
    (root / "cohort" / "ada" / "problems").mkdir(parents=True)
    solve(root, "cohort/ada/problems")
    grader("cohort", root / "cohort", "--out", root / "grades", "--jobs", 1)
    head, row = (root / "grades" / "results.csv").read_text().splitlines()
    assert dict(zip(head.split(","), row.split(","), strict=True))["toy"] == "passed"
    grader("ci", root, "--out", root / "result")
    score = json.loads((root / "result" / "score.json").read_text())
    assert score["tracks"][-1]["track"] == "further"
    assert score["tracks"][-1]["points"] == 10


def test_it_is_watched(root):
    solve(root)
    watching = Terminal(root, "watch", "toy")
    watching.until("toy", "q quit")
    watching.press("q")
    assert watching.finish() == 0
    watching.close()


# ------------------------------------------------------------------------------- documents, notebook, tests


def test_tables_and_documents_are_built(root, grader):
    for name in ("README.md", "README.zh-CN.md"):
        text = (root / name).read_text()
        assert "[Twice]" not in text
        tables = re.sub(r"(?s)<!-- generated: (?!katas)\w+ -->.*?<!-- end -->\n", "", text)  # screens take a minute
        (root / name).write_text(tables)
    grader("docs/screens.py", "README.md", "README.zh-CN.md")
    grader("docs/build_mistakes.py")
    row = r"\| \d+ \| \[Twice\]\(problems/toy.py\) \| `twice` \| 5 \| 7 \| \[toy.ipynb\]"
    for name in ("README.md", "README.zh-CN.md"):
        assert re.search(row, (root / name).read_text())
    assert "| `toy-squared` |" in (root / "docs" / "mistakes.md").read_text()


def test_its_notebook_is_built_and_what_the_tests_say_of_it_is_what_is_missing(suite):
    """Of the tests that have the new kata, those fail that say what is still to be written."""
    said, _ = suite.communicate(timeout=300)
    assert re.match(r"toy: \d+ KB, written\n", said), said
    assert set(re.findall(r"^FAILED \S+::(\w+)", said, re.MULTILINE)) == {
        "test_nothing_is_missing_in_a_kata",
        "test_length",
        "test_a_reader_does_something",
        "test_all_questions_are_there",
        "test_times_are_honest",
    }, said


def test_the_author_is_told_what_is_to_be_written(grader):
    lines = grader("author", "toy", status=1).splitlines()
    for path in WROTE[:-1]:
        assert [line for line in lines if re.match(rf"{re.escape(path)}:\d+: TODO: ", line)], path
    assert lines[-1] == f"{len(lines) - 1} to do"


def change(root, name, old, new):
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


def test_the_author_is_told_what_is_wrong(root):
    right, wrong = root / WROTE[6], root / SQUARED
    text = wrong.read_text()
    change(root, "katas/toy/kata.toml", '    "Twice a number is the number added to itself.",\n', "")
    change(root, "katas/toy/questions.toml", '"kernels"', '"cooking"')
    change(root, "katas/toy/diagnosis.py", "toy#By-hand", "toy#Thrice")
    change(root, "katas/toy/zh.toml", '"the input is not modified"', '"the input is modified"')
    change(root, "solutions/toy.py", "return 2 * x", "return x + 3")
    right.with_name("once.py").write_text(right.read_text().replace("x + x", "x"))
    wrong.with_name("silent.py").write_text(text.replace("# cause: toy-squared", ""))
    wrong.with_name("unheard_of.py").write_text(text.replace("toy-squared", "toy-cubed"))
    wrong.with_name("thrice.py").write_text(text.replace("x * x", "3 * x"))
    wrong.with_name("passing.py").write_text(text.replace("x * x", "2 * x"))
    wrong.with_name("alone.py").write_text(text + "\n".join(f"\n\ndef other_{i}(x):\n    return x" for i in range(9)))
    wrong.unlink()
    said = run(root, "grader.py", "author", "toy", "--submissions", status=1).stdout
    folder = "tests/submissions/wrong/toy"
    for line in (
        "katas/toy/kata.toml: 3 hints are wanted: direction, idea, line of thought",
        "katas/toy/questions.toml: toy-why: there is no topic 'cooking'",
        "katas/toy/diagnosis.py: it links toy#Thrice, and notebooks/src/toy.py has no such section",
        "katas/toy/zh.toml: it lacks hints",
        "katas/toy/zh.toml: it lacks checks: the input is not modified",
        "katas/toy/zh.toml: it lacks drills: thrice",
        "katas/toy/zh.toml: nothing has this text (any more): checks: the input is modified",
        "solutions/toy.py: it does not pass: the output is twice the input",
        "problems/toy.py: this is not the stub that the solution makes: python grader.py reset toy",
        "tests/submissions/right/toy/once.py: it is right and does not pass: the output is twice the input",
        f"{folder}/silent.py: a line `# cause:` has to say",
        f"{folder}/silent.py: toy-squared is named as its cause, which it does not state",
        f"{folder}/unheard_of.py: toy-cubed is no mistake that the diagnosis of this kata knows",
        f"{folder}/thrice.py: toy-squared is not named as its cause; in its place: nothing else",
        f"{folder}/passing.py: it is wrong and passes",
        f"{folder}/alone.py: no right submission is the same but for at most 10 lines",
    ):
        assert f"\n{line}" in f"\n{said}", said
