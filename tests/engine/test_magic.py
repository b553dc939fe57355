"""Grading in a notebook: in a real kernel, and from plain Python."""

import os
import signal
import subprocess
import sys
import time

import pytest

from grading.catalog import ROOT
from grading.practice.notebook import magic
from tests.engine.katas import ATTENTION, MASKS, numbered

RIGHT = (ROOT / "solutions" / f"{ATTENTION}.py").read_text(encoding="utf-8")
WRONG = RIGHT.replace("math.sqrt(query.size(-1))", "query.size(-1)")


@pytest.fixture(scope="module")
def process():
    """The module's own, for all tests."""
    yield magic.PROCESS
    magic.PROCESS.close()


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
    assert "<svg" in wrong._repr_html_()
    assert "cause   exactly what you get when" in repr(wrong)
    first = process.start().pid
    assert magic.check(ATTENTION, RIGHT).passed
    assert process.start().pid == first


def test_lines_are_those_of_the_cell_and_what_is_no_text_is_said(process, capsys):
    result = magic.kata(ATTENTION, "x = 1\ndef f(:\n")
    assert result.report["katas"][0]["where"] == "cell:3"
    assert magic.check(ATTENTION, "x = '\udc80'").report["katas"][0]["outcome"] == "broken"
    for line, words in (
        ("", f"KATA is one of {ATTENTION}, {MASKS}"),
        ("nonsense", f"no kata 'nonsense': choose from {ATTENTION}"),
    ):
        assert magic.kata(line, "") is None
        assert words in capsys.readouterr().out
    with pytest.raises(ValueError, match=f"no kata 'sdpaa': did you mean {ATTENTION}"):
        magic.check("sdpaa")


def test_a_lost_process_is_replaced_and_an_interrupt_leaves_no_answer_behind(process, monkeypatch):
    first = process.start()
    os.kill(first.pid, signal.SIGKILL)
    assert magic.check(ATTENTION, RIGHT).passed
    with monkeypatch.context() as patched:
        patched.setattr(magic.json, "loads", lambda line: (_ for _ in ()).throw(KeyboardInterrupt()))
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


def test_an_interrupt_in_the_middle_of_a_grade_leaves_no_folder(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["interrupted"], done.stderr
    assert not list(tmp_path.iterdir())


def test_in_a_kernel():
    """One kernel for all that only a kernel can show; it ends, and the examiner with it."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(ROOT))

    def run(code):
        outputs = []
        reply = client.execute_interactive(code, output_hook=outputs.append, timeout=60)["content"]
        assert reply["status"] == "ok", reply
        return next((message["content"]["data"] for message in outputs if "data" in message["content"]), {})

    try:
        run("%load_ext grading")
        assert "exactly what you get when" in run(f"%%kata {ATTENTION}\n{WRONG}")["text/html"]
        assert f" ok {numbered(ATTENTION)}" in run(f"%%kata {ATTENTION}\n{RIGHT}")["text/plain"]
        assert "text/html" in run(f"%kata {ATTENTION}")
        assert run("import sys; 'torch' in sys.modules")["text/plain"] == "False"
        pid = int(run("from grading.practice.notebook import magic; magic.PROCESS.start().pid")["text/plain"])
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    assert gone(pid)


def test_importing_the_package_and_the_magic_is_light():
    heavy = "{'torch', 'jinja2', 'pytest'}"
    code = f"import sys, grading, grading.practice.notebook.magic; sys.exit(bool({heavy} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
