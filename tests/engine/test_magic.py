"""Grading in a notebook: in a real kernel, and from plain Python. All in a copy, for a graded cell is remembered."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from grading.catalog import ROOT, Catalog
from grading.practice.notebook import magic, warm_examiner
from grading.practice.progress.progress import Progress
from grading.stubs import stub
from tests.engine.katas import ATTENTION, CACHED, HEADS, MASKS, numbered
from tests.engine.terminals import copied

RIGHT = (ROOT / "solutions" / f"{ATTENTION}.py").read_text(encoding="utf-8")
WRONG = RIGHT.replace("math.sqrt(query.size(-1))", "query.size(-1)")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("magic"))


@pytest.fixture(scope="module")
def process(copy):
    """The module's own, for all tests, with the engine of the copy."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(warm_examiner, "ROOT", copy)
        patched.setattr(magic, "ROOT", copy)
        yield magic.EXAMINER
        magic.EXAMINER.close()


class Shell:
    """What the magic asks of a shell."""

    def __init__(self, **names):
        self.user_ns, self.ran, self.next_input = names, [], ""

    def run_cell(self, cell, store_history):
        self.ran.append(cell)

    def set_next_input(self, text):
        self.next_input = text


def gone(pid):
    """Whether that process has ended, with a little patience."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_text_is_graded_and_the_process_stays(process):
    wrong = magic.check(ATTENTION, WRONG, seed=7)
    assert not wrong.passed
    assert wrong.report["katas"][0]["file"] == "cell"
    assert wrong.report["katas"][0]["causes"][0]["name"] == "scale-head-dim"
    assert "<table" in wrong._repr_html_()
    assert "cause   exactly what you get when" in repr(wrong)
    first = process.start().pid
    assert magic.check(ATTENTION, RIGHT).passed
    assert process.start().pid == first


def test_lines_are_those_of_the_cell_and_what_is_no_text_is_said(process, capsys):
    kata = magic.Magic(Shell()).kata
    result = kata(ATTENTION, "x = 1\ndef f(:\n")
    assert result.report["katas"][0]["where"] == "cell:3"
    assert magic.check(ATTENTION, "x = '\udc80'").report["katas"][0]["outcome"] == "broken"
    for line, words in (
        ("", f"KATA is one of {ATTENTION}, {MASKS}"),
        ("nonsense", f"no kata 'nonsense': choose from {ATTENTION}"),
    ):
        assert kata(line, "") is None
        assert words in capsys.readouterr().out
    with pytest.raises(ValueError, match=f"no kata 'sdpaa': did you mean {ATTENTION}"):
        magic.check("sdpaa")


def test_a_lost_process_is_replaced_and_an_interrupt_leaves_no_answer_behind(process, monkeypatch):
    first = process.start()
    os.kill(first.pid, signal.SIGKILL)
    assert magic.check(ATTENTION, RIGHT).passed
    with monkeypatch.context() as patched:
        patched.setattr(warm_examiner.json, "loads", lambda line: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            magic.check(ATTENTION, RIGHT)
    assert not magic.check(ATTENTION, WRONG).passed


INTERRUPTED = f"""
import signal
from grading.practice.notebook import magic

magic.check("{MASKS}", "x = 1")  # it is warm
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.alarm(1)
try:
    magic.check("{ATTENTION}", "while True: pass")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_in_the_middle_of_a_grade_leaves_no_folder(copy, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["interrupted"], done.stderr
    assert not list(tmp_path.iterdir())


def test_in_a_kernel(copy):
    """One kernel for all that only a kernel can show; it ends, and the examiner with it."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(copy))
    printed = []

    def run(code, *typed):
        outputs, left = [], iter(typed)
        reply = client.execute_interactive(
            code,
            output_hook=outputs.append,
            stdin_hook=lambda message: client.input(next(left)),
            allow_stdin=bool(typed),
            timeout=60,
        )["content"]
        assert reply["status"] == "ok", reply
        printed.append("".join(message["content"].get("text", "") for message in outputs))
        return next((message["content"]["data"] for message in outputs if "data" in message["content"]), {})

    try:
        run("%load_ext grading")
        assert "exactly what you get when" in run(f"%%kata {ATTENTION}\n{WRONG}")["text/html"]
        assert f" ok {numbered(ATTENTION)}" in run(f"%%kata {ATTENTION}\n{RIGHT}")["text/plain"]
        assert "text/html" in run(f"%kata {ATTENTION}")
        assert run("scaled_dot_product_attention.__name__")["text/plain"] == "'scaled_dot_product_attention'"
        assert run("import sys; 'rich' in sys.modules")["text/plain"] == "False"
        run(f"%kata questions {HEADS}", "", "y", "q")
        assert "Red flag: " in printed[-1]
        assert "1 rated: 1 known" in printed[-1]
        run(f"%kata questions {HEADS}")
        assert "--list prints the questions" in printed[-1], "there is no keyboard"
        pid = int(run("from grading.practice.notebook import magic; magic.EXAMINER.start().pid")["text/plain"])
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    assert gone(pid)


def test_a_cell_counts_as_a_file_does_and_is_marked(process, copy):
    progress, kata = Progress(copy / ".kata"), magic.Magic(Shell()).kata
    kata(HEADS, stub(Catalog()[HEADS]))
    assert progress.kata(HEADS).attempts == 0, "a stub that is run on the way through a notebook begins nothing"
    right = Catalog()[HEADS].reference
    for _ in range(2):
        kata(HEADS, right.replace("math.sqrt", "float"))
    record = progress.kata(HEADS)
    assert (record.attempts, record.elsewhere) == (1, {"cell": 1}), "the same text counts once"
    kata(HEADS, right)
    record, (review,) = progress.kata(HEADS), progress.reviews(HEADS)
    assert (record.attempts, record.elsewhere, record.passes) == (2, {"cell": 2}, 1)
    assert (review.runs, review.kind) == (2, "cell")
    assert record.digest == "", "nothing is said of the file"
    kata(HEADS)
    assert progress.kata(HEADS).attempts == 2, "which is a stub"
    kata(f"reset {HEADS}")
    kata(HEADS, right)
    assert len(progress.reviews(HEADS)) == 2, "from a fresh stub, though the file was one all the time"


def test_a_cell_that_passes_runs_in_the_notebook_and_another_does_not(process):
    shell = Shell()
    kata = magic.Magic(shell).kata
    kata(ATTENTION, WRONG)
    kata(ATTENTION, stub(Catalog()[ATTENTION]))
    assert shell.ran == []
    kata(ATTENTION, RIGHT)
    assert shell.ran == [RIGHT]


def test_a_name_of_another_cell_is_said_in_one_line(process, capsys):
    without = re.sub("import math\n", "", RIGHT)
    magic.Magic(Shell()).kata(ATTENTION, without)
    assert capsys.readouterr().out == ""
    magic.Magic(Shell(math=None)).kata(ATTENTION, without)
    assert capsys.readouterr().out.startswith("math comes from another cell. A graded cell stands alone")


def test_the_verbs_of_a_learner_and_what_a_verdict_says_of_them(process, copy, capsys, monkeypatch):
    monkeypatch.setenv("KATA_COMMAND", "%kata")
    process.close()
    shell = Shell()
    kata = magic.Magic(shell).kata
    assert f"next    %kata hint {ATTENTION}" in repr(kata(ATTENTION, WRONG))
    assert f"%kata compare {ATTENTION}" in repr(kata(ATTENTION, RIGHT + "# mine\n"))
    assert "in this cell" in repr(kata(ATTENTION, stub(Catalog()[ATTENTION])))
    capsys.readouterr()
    kata(f"hint {ATTENTION}")
    assert "hint 1 of" in capsys.readouterr().out
    kata(f"compare {ATTENTION}")
    assert f"{ATTENTION} does not pass yet" in capsys.readouterr().out, "the cell that was graded last"
    kata(ATTENTION, RIGHT.replace("math", "m").replace("import m", "import math as m"))
    kata(f"compare {ATTENTION}")
    assert "- import math as m" in capsys.readouterr().out
    kata(f"reset {ATTENTION}")
    assert ATTENTION in capsys.readouterr().out
    assert shell.next_input == f"%%kata {ATTENTION}\n{stub(Catalog()[ATTENTION])}"
    kata("hint nonsense")
    assert "no kata 'nonsense'" in capsys.readouterr().out


def notebook(*cells):
    """A notebook with the set-up cell that all have, and these."""
    from nbformat.v4 import new_code_cell, new_notebook

    start = json.loads((ROOT / "notebooks" / "start_here.ipynb").read_text(encoding="utf-8"))
    setup = "".join(start["cells"][1]["source"])
    return new_notebook(cells=[new_code_cell(each) for each in (setup, "%load_ext grading", *cells)])


def test_a_notebook_in_its_folder_grades_a_cell_and_status_knows_it(copy):
    from nbclient import NotebookClient

    found = notebook(f"%%kata {CACHED}\n{Catalog()[CACHED].reference}")
    folder = copy / "notebooks"
    NotebookClient(found, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    assert f" ok {numbered(CACHED)}" in found.cells[-1].outputs[-1]["data"]["text/plain"]
    status = subprocess.run([sys.executable, "grader.py", "status"], cwd=copy, capture_output=True, text=True).stdout
    assert re.search(rf"{numbered(CACHED)} +1  \d{{4}}-", status), status
    assert re.search(rf"in a notebook: .*{CACHED} \(1\)", " ".join(status.split())), status


def test_importing_the_package_and_the_magic_is_light():
    heavy = "{'torch', 'jinja2', 'pytest'}"
    code = f"import sys, grading, grading.practice.notebook.magic; sys.exit(bool({heavy} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
