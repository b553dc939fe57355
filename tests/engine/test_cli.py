"""The command line as a learner meets it: in processes of their own."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from grading import cli
from grading.catalog import ROOT, Catalog
from tests.engine.katas import ATTENTION, COUNT, GROUPS, HEADS, numbered
from tests.engine.terminals import copied, grader

SOLUTION = (ROOT / "solutions" / f"{ATTENTION}.py").read_text()


@pytest.fixture
def problems(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def test_a_fresh_start_exits_0(problems):
    done = grader(ROOT, "--problems", problems)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not started") == COUNT


def test_a_kata_asked_for_by_name_has_to_pass(problems):
    assert grader(ROOT, "check", ATTENTION, "--problems", problems).returncode == 1
    (problems / f"{ATTENTION}.py").write_text(SOLUTION)
    done = grader(ROOT, ATTENTION, "--problems", problems)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" ok {numbered(ATTENTION)}" in done.stdout
    assert grader(ROOT, "--problems", problems).returncode == 0


def test_a_wrong_answer_is_explained_and_the_others_named(problems):
    (problems / f"{ATTENTION}.py").write_text(SOLUTION.replace("math.sqrt(query.size(-1))", "query.size(-1)"))
    done = grader(ROOT, "--problems", problems)
    assert done.returncode == 1
    failure = done.stdout[done.stdout.index(f"  x {numbered(ATTENTION)}   without a mask") :]
    for label in (
        "call    ",
        "wanted  ",
        "got     ",
        "cause   exactly what you get when",
        "(explains ",
        "next    python",
    ):
        assert label in failure
    assert failure.index("cause") < failure.index("next    python")
    assert len(failure.splitlines()) <= 12 + 4


@pytest.mark.parametrize("verb", [*cli.HERE, *cli.VERBS])
def test_each_verb_is_found_where_the_command_line_looks_for_it(verb, capsys):
    for words in ([verb, "--help"], ["--help"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
        assert stopped.value.code == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: grader.py {verb} " if len(words) == 2 else "usage: grader.py ")
    assert re.search(rf"\n    {verb}\b", shown)


def test_a_verb_that_is_nearly_one_is_asked_about(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["questons"])
    assert stopped.value.code == 2
    assert "no verb 'questons': did you mean questions?" in capsys.readouterr().err


def test_a_verb_does_not_wait_for_the_others():
    code = "import sys; from grading.cli import main; main(['list']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    names = done.stdout.splitlines()[-1]
    assert "grading.texts" in names
    for other in ("grading.classroom", "grading.practice.plan", "grading.practice.watch", "grading.authoring"):
        assert other not in names


def test_json_is_the_report_and_nothing_else(problems):
    (problems / f"{ATTENTION}.py").write_text(SOLUTION.replace("-2, -1", "-1, -2").replace("/ math", "* math"))
    done = grader(ROOT, "--json", "--problems", problems, "--seed", 7)
    report = json.loads(done.stdout)
    assert next(iter(report)) == "schema"
    assert report["seed"] == 7
    assert report["fences"][0] == "process"
    first = report["katas"][0]
    assert (first["kata"], first["outcome"]) == (ATTENTION, "failed")
    assert first["passed"] == sum(check["outcome"] == "passed" for check in first["checks"])
    assert {"name", "sentence", "notebook"} <= set(first["causes"][0])
    assert done.returncode == 1


def test_a_seed_repeats_a_run(problems):
    (problems / f"{ATTENTION}.py").write_text(SOLUTION.replace("/ math", "* math"))
    runs = [json.loads(grader(ROOT, ATTENTION, "--json", "--problems", problems, "--seed", 3).stdout) for _ in range(2)]
    got = [[check["got"] for check in run["katas"][0]["checks"]] for run in runs]
    assert got[0] == got[1]


def test_no_colours_where_there_is_no_terminal(problems):
    (problems / f"{ATTENTION}.py").write_text("def f(:\n")
    assert "\x1b" not in grader(ROOT, "--problems", problems).stdout


def test_usage_errors_exit_2(problems):
    for arguments in (
        ["check", "nope"],
        ["hint"],
        ["hint", "nope"],
        ["--problems", problems / "no"],
        ["reset"],
        ["--x"],
    ):
        done = grader(ROOT, *arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr


def test_a_kata_may_be_named_by_its_file(problems):
    (problems / f"{ATTENTION}.py").write_text(SOLUTION)
    assert grader(ROOT, f"problems/{ATTENTION}.py", "--problems", problems).returncode == 0


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["check", "--help"]])
def test_what_needs_no_torch_does_not_import_it(arguments):
    code = (
        "import sys; sys.argv[1:] = sys.argv[1:]; from grading.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules, 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False False"


@pytest.fixture
def copy(tmp_path):
    return copied(tmp_path)


def test_hints_go_one_level_further_at_each_call(copy):
    outs = [grader(copy, "hint", HEADS).stdout for _ in range(4)]
    for level, out in zip((1, 2, 3, 3), outs, strict=True):
        assert f"hint {level} of 3" in out
    assert outs[2] == outs[3]
    (copy / ".kata" / "progress.json").write_text("{")
    assert "hint 1 of 3" in grader(copy, "hint", HEADS).stdout
    assert (copy / ".kata" / "progress.damaged").exists()


def test_reset_keeps_what_was_there(copy):
    path = copy / "problems" / f"{GROUPS}.py"
    path.write_text("mine = 1\n")
    done = grader(copy, "reset", GROUPS)
    assert done.returncode == 0
    assert "raise NotImplementedError" in path.read_text()
    (kept,) = (copy / ".kata" / "backups").iterdir()
    assert kept.read_text() == "mine = 1\n"
    assert str(kept.relative_to(copy)) in done.stdout
    assert "is the stub already" in grader(copy, "reset", GROUPS).stdout


def test_reset_keeps_no_copy_of_an_untouched_stub(copy):
    path = copy / "problems" / f"{GROUPS}.py"
    stub = path.read_text()
    path.write_text(stub.replace("about", "around").replace("#   1. ", "#   1. first "))
    assert "yours is kept" not in grader(copy, "reset", GROUPS).stdout
    assert path.read_text() == stub
    path.write_text(stub.replace("# TODO:", "# the heads first\n        # TODO:"))
    assert "yours is kept" in grader(copy, "reset", GROUPS).stdout


def test_one_file_is_graded_whatever_it_is_called(tmp_path):
    (tmp_path / "of Ada.txt").write_text(SOLUTION)
    done = grader(ROOT, "check", ATTENTION, "--file", tmp_path / "of Ada.txt")
    assert (done.returncode, f" ok {numbered(ATTENTION)}" in done.stdout) == (0, True)
    for wrong in (["check"], ["check", ATTENTION, HEADS], ["check", ATTENTION, "--problems", tmp_path]):
        assert grader(ROOT, *wrong, "--file", tmp_path / "of Ada.txt").returncode == 2
    assert "no file 'gone.py'" in grader(ROOT, "check", ATTENTION, "--file", "gone.py").stderr


def test_an_unknown_verb_is_answered_with_the_nearest():
    done = grader(ROOT, "chek", ATTENTION)
    assert (done.returncode, "no verb 'chek': did you mean check?" in done.stderr) == (2, True)
    assert f"no kata 'spda': did you mean {ATTENTION}" in grader(ROOT, "spda").stderr


def test_compare_waits_until_yours_passes(copy):
    refused = grader(copy, "compare", ATTENTION)
    assert refused.returncode == 1
    assert "def scaled_dot" not in refused.stdout
    assert "def scaled_dot" in grader(copy, "compare", ATTENTION, "--reveal").stdout
    shutil.copy(copy / "solutions" / f"{ATTENTION}.py", copy / "problems" / f"{ATTENTION}.py")
    assert "reference" in grader(copy, "compare", ATTENTION).stdout


def test_a_fault_of_the_engine_is_no_verdict(copy):
    (copy / "solutions" / f"{ATTENTION}.py").unlink()
    done = grader(copy, ATTENTION)
    assert done.returncode == 3
    assert "a fault of the grader, not of your code" in done.stderr


def test_without_its_packages_it_says_what_is_missing_in_one_line(copy):
    bare = subprocess.run(
        [sys.executable, "-S", "grader.py"],
        cwd=copy,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert bare.returncode == 2
    assert bare.stderr.startswith("grader: torch, ")
    assert "make" in bare.stderr
    assert len(bare.stderr.splitlines()) == 1


def test_all_checks_that_are_collected_run(examiner, checks):
    report = examiner.grade(Catalog().stems, ROOT / "solutions")
    for result in report.katas:
        assert (len(result.checks), result.outcome) == (checks[result.kata], "passed"), result.kata


def test_a_missing_check_is_a_failure(examiner):
    from grading.examination.examiner import _outcome

    checks = examiner.grade([ATTENTION], ROOT / "solutions").katas[0].checks
    assert _outcome(checks, len(checks)) == "passed"
    assert _outcome(checks[1:], len(checks)) == "failed"
    assert _outcome((), len(checks)) == "failed"
    assert _outcome((), 0) == "failed"
    assert _outcome(checks, len(checks) + 1) == "failed"


def test_a_grade_never_imports_what_takes_long():
    code = (
        "import sys, pathlib; from grading.examination.examiner import Examiner; e = Examiner()\n"
        "print(e.grade(sys.argv[1:], pathlib.Path('solutions')).katas[0].outcome); e.close()\n"
        "print(sorted({'sympy', 'torch._dynamo', 'torch.distributed.tensor', 'nbval'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *Catalog().stems], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["passed", "[]"], done.stderr


def test_a_check_that_cannot_be_read_is_a_fault_of_the_grader(copy):
    shutil.copy(copy / "solutions" / f"{ATTENTION}.py", copy / "problems")
    (copy / "tests" / "test_sdpa.py").write_text("def broken(:\n")
    done = grader(copy, ATTENTION)
    assert done.returncode == 3
    assert "a fault of the grader, not of your code" in done.stderr
