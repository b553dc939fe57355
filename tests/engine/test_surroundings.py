"""Whatever surrounds the grader, it never answers with a traceback: terminals, disks, links, Ctrl-C."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from grading.catalog import ROOT
from tests.engine.katas import ATTENTION, HEADS, MASKS, ONE_KV_HEAD, numbered
from tests.engine.processes import interruptible
from tests.engine.terminals import copied


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    copy = copied(tmp_path_factory.mktemp("surroundings"))
    shutil.copy(ROOT / "solutions" / f"{MASKS}.py", copy / "problems")
    return copy


def run(copy, *arguments, before=(), **environment):
    return subprocess.run(
        [*before, sys.executable, "grader.py", *arguments],
        cwd=copy,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )


def text_of(done):
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert "Traceback" not in text, text
    assert "Exception ignored" not in text, text
    return text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("verb", [("list",), ("hint", ATTENTION), ("check", MASKS), ("compare", ATTENTION, "--reveal")])
def test_an_output_without_chinese_letters_gets_english(copy, encoding, verb):
    done = run(copy, *verb, KATA_LANG="zh", PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert text_of(done).isascii()


def test_letters_that_the_output_lacks_are_written_as_numbers(copy):
    source = "def scaled_dot_product_attention(query, key, value, mask=None):\n    print('形状')\n    return value\n"
    (copy / "problems" / f"{ATTENTION}.py").write_text(source, encoding="utf-8")
    assert r"\u5f62\u72b6" in text_of(run(copy, ATTENTION, PYTHONIOENCODING="ascii"))


@pytest.fixture
def read_only(copy):
    """What a command has to begin with, for the copy to be read-only for it."""
    if os.geteuid():
        folders = [copy, *(path for path in copy.rglob("*") if path.is_dir())]
        modes = {folder: folder.stat().st_mode for folder in folders}
        for folder in folders:
            folder.chmod(0o555)
        yield ()
        for folder, mode in modes.items():
            folder.chmod(mode)
        return
    here = shlex.quote(str(copy))
    mount = f"mount --bind {here} {here} && mount -o remount,ro,bind {here} && cd {here}"
    inside = ("unshare", "-m", "sh", "-c")
    if subprocess.run([*inside, mount], capture_output=True).returncode:
        pytest.skip("root may write anywhere, and this system mounts nothing read-only")
    yield (*inside, f'{mount} && exec "$0" "$@"')


READ_ONLY = {
    ("hint", ONE_KV_HEAD): (0, "Multi-query attention, hint 1 of"),
    ("compare", HEADS, "--reveal"): (0, "class MultiHeadAttention"),
    ("check", MASKS): (0, f"ok {numbered(MASKS)}"),
    ("reset", MASKS): (3, "grader: "),
    ("interview", "start", ONE_KV_HEAD): (3, "grader: "),
    ("drill", ONE_KV_HEAD): (3, "grader: "),
    ("status",): (0, "Round 1"),
}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX")
@pytest.mark.parametrize("verb", READ_ONLY, ids=lambda verb: verb[0])
def test_a_read_only_checkout(copy, read_only, verb):
    shutil.rmtree(copy / ".kata", ignore_errors=True)
    status, words = READ_ONLY[verb]
    done = run(copy, *verb, before=read_only)
    text = text_of(done)
    assert (done.returncode, words in text) == (status, True), text
    if status == 3:
        assert "fault of the grader" not in text
        assert len(done.stderr.decode().strip().splitlines()) <= 2
    assert not (copy / ".kata").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("verb", [("list",), ("check", MASKS), ("hint", ATTENTION)], ids=lambda verb: verb[0])
def test_a_full_disk_behind_the_output(copy, verb):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "grader.py", *verb], cwd=copy, stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert (done.returncode, done.stderr) == (3, b"grader: No space left on device\n")


def test_a_full_disk_under_the_progress(tmp_path, capsys, monkeypatch):
    from grading.practice.progress.progress import Progress

    def full(*_):
        raise OSError(28, "No space left on device")

    progress = Progress(tmp_path)
    progress.set_hints(ATTENTION, 1)
    monkeypatch.setattr(os, "replace", full)
    progress.set_hints(ATTENTION, 2)
    assert "the progress could not be written: [Errno 28]" in capsys.readouterr().err
    assert progress.hints(ATTENTION) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.json", "progress.lock"]


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "soon", "1e9"])
def test_an_interview_without_time_is_refused_in_words(copy, minutes):
    done = run(copy, "interview", ATTENTION, "--minutes", minutes)
    assert done.returncode == 2
    assert "is no time: more than 0 and at most 1440 minutes" in text_of(done)


@pytest.mark.skipif(os.name != "posix", reason="links")
@pytest.mark.parametrize("kind", ["environment", "interpreter"])
def test_a_linked_environment(copy, kind):
    """.venv may be a link to an environment elsewhere, or a folder with nothing but a link to a Python in it."""
    venv = copy / ".venv"
    if kind == "environment":
        venv.symlink_to(sys.prefix)
    else:
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").symlink_to(sys.executable)
    try:
        done = run(copy, "list")
        text = text_of(done)
        assert ATTENTION in text if done.returncode == 0 else "not installed for this Python" in text
        if kind == "environment":
            assert "ok" in text_of(run(copy, "check", MASKS))
    finally:
        venv.unlink() if venv.is_symlink() else shutil.rmtree(venv)


@pytest.mark.skipif(os.name != "posix", reason="process groups")
@pytest.mark.parametrize("tenths", range(0, 24, 2))
def test_ctrl_c_at_any_moment(copy, tenths):
    process = subprocess.Popen(
        [sys.executable, "grader.py", MASKS],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=interruptible,
    )
    time.sleep(0.06 + tenths / 10)
    try:
        os.killpg(process.pid, signal.SIGINT)
    except ProcessLookupError:
        pass  # it has ended already
    out, err = process.communicate(timeout=60)
    assert b"Traceback" not in out + err
    assert b"Exception" not in err
    assert process.returncode in (0, 130, -signal.SIGINT)
