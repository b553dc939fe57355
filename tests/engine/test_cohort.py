"""Cohorts: what is taken from a submission, the journal, lost workers, a killed run."""

import csv
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext

import pytest

from grading.catalog import ROOT, Catalog
from grading.classroom import workers
from grading.classroom.journal import Journal, Mismatch
from grading.classroom.similarity import groups, shape
from grading.classroom.submissions import FILE, found, take
from grading.stubs import stub
from tests.engine.katas import ATTENTION, CACHED, GROUPS, HEADS, MASKS, ONE_KV_HEAD

SUBMISSIONS = ROOT / "tests" / "submissions"
SDPA = (ROOT / "solutions" / f"{ATTENTION}.py").read_bytes()


# ------------------------------------------------------------------------------------------- what is taken


def archive(path, **contents):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in contents.items():
            file.writestr(name, data)
    return path


def test_a_zip_gives_plain_files_only(tmp_path):
    names = [
        f"repo/problems/{ATTENTION}.py",
        f"../../problems/{HEADS}.py",
        f"/problems/{GROUPS}.py",
        f"solutions/{ONE_KV_HEAD}.py",
        f".git/{ONE_KV_HEAD}.py",
    ]
    path = archive(tmp_path / "a.zip", **dict.fromkeys(names, b"x = 1\n"))
    link = zipfile.ZipInfo(f"problems/{MASKS}.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(link, "/etc/passwd")
        file.writestr(f"problems/{CACHED}.py", b" " * (50 * FILE), zipfile.ZIP_DEFLATED)
    submission = take(path)
    assert submission.files == {ATTENTION: b"x = 1\n"}
    assert submission.refused == {
        MASKS: "it is not a regular file",
        CACHED: "the file has more than 256 KiB",
    }
    assert not list(tmp_path.glob("**/*.py"))


def test_a_size_that_lies_does_not_help(tmp_path):
    path = archive(tmp_path / "a.zip", **{f"problems/{ATTENTION}.py": b" " * (2 * FILE)})
    real, lie = (2 * FILE).to_bytes(4, "little"), (10).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(real, lie))
    assert ATTENTION not in take(path).files or len(take(path).files[ATTENTION]) <= FILE


def test_two_of_a_name_are_refused_and_problems_comes_first(tmp_path):
    two = archive(tmp_path / "two.zip", **{f"a/problems/{ATTENTION}.py": b"1", f"b/problems/{ATTENTION}.py": b"2"})
    assert "2 files of this name" in take(two).refused[ATTENTION]
    one = archive(
        tmp_path / "one.zip", **{f"{ATTENTION}.py": b"1", f"r/problems/{ATTENTION}.py": b"2", f"{HEADS}.py": b"3"}
    )
    assert take(one).files == {ATTENTION: b"2", HEADS: b"3"}


def test_a_folder_gives_no_link_pipe_or_deep_file(tmp_path):
    problems = tmp_path / "ada" / "problems"
    problems.mkdir(parents=True)
    (problems / f"{ATTENTION}.py").symlink_to(ROOT / "solutions" / f"{ATTENTION}.py")
    os.mkfifo(problems / f"{HEADS}.py")
    (tmp_path / "ada" / "linked").symlink_to(ROOT / "problems")
    deep = tmp_path / "ada" / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    (deep / f"{GROUPS}.py").write_text("x")
    submission = take(tmp_path / "ada")
    assert submission.files == {}
    assert set(submission.refused) == {ATTENTION, HEADS}
    (tmp_path / "eve").symlink_to(tmp_path / "ada")
    assert take(tmp_path / "eve").fault == "it is a link"


def test_a_bundle_gives_its_commits_files(tmp_path):
    repository = tmp_path / "work"
    (repository / "problems").mkdir(parents=True)
    (repository / "problems" / f"{ATTENTION}.py").write_bytes(SDPA)
    (repository / "problems" / f"{ONE_KV_HEAD}.py").symlink_to(f"{ATTENTION}.py")
    script = (
        "git init -q . && git add . && git -c user.name=a -c user.email=a@example.org commit -qm x "
        "&& git bundle create -q ../lea.bundle HEAD"
    )
    subprocess.run(script, shell=True, cwd=repository, check=True)
    submission = take(tmp_path / "lea.bundle")
    assert submission.files == {ATTENTION: SDPA}
    assert submission.refused == {ONE_KV_HEAD: "it is not a regular file"}
    assert submission.digest == take(tmp_path / "lea.bundle").digest


@pytest.mark.parametrize("name", ["a.zip", "a.bundle"])
def test_what_cannot_be_read_says_so(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
    assert take(tmp_path / name).fault
    assert found(tmp_path) == [tmp_path / name]


# ------------------------------------------------------------------------------------------------- likeness


def test_names_comments_and_layout_make_no_difference():
    other = SDPA.decode().replace("scores", "s").replace("weights", "w").replace("    # ", "    #  not ")
    other = other.replace('"""', '"""Other words. ', 1)
    assert shape(SDPA) == shape(other.encode())
    assert shape(SDPA) != shape(SDPA.replace(b"math.sqrt", b"math.exp"))
    assert shape(b"def f(:") == shape(b"\xff") == shape(b"x = 1") == ""
    assert groups([(ATTENTION, "s", "a"), (ATTENTION, "s", "b"), (HEADS, "s", "c"), (HEADS, "", "d")]) == {
        (ATTENTION, "s"): ["a", "b"]
    }


# -------------------------------------------------------------------------------------------------- journal


def test_half_a_line_is_cut_off_and_the_rest_kept(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, "g", None, 7) as journal:
        journal.add("a", {"n": 1})
        journal.add("b", {"n": 2})
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with Journal(path, "g", None, 7) as journal:
            for key, value in (("a", 1), ("b", 2)):
                if key not in journal:
                    journal.add(key, {"n": value})
            assert [journal[key]["n"] for key in ("a", "b")] == [1, 2]
            assert journal.seed == 7
        assert path.read_bytes() == whole


def test_a_journal_of_another_run_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, "g", None, 7), pytest.raises(Mismatch, match="in use"):
        Journal(path, "g", None, 8)
    for grader, seed in (("other", None), ("g", 8)):
        with pytest.raises(Mismatch):
            Journal(path, grader, seed, 9)


# ------------------------------------------------------------------------------------------------- workers


class Fragile(Executor):
    """Runs at once; a file called "killer" breaks it, as a dying worker breaks a process pool."""

    def __init__(self, log):
        self.log, self.broken = log, False

    def submit(self, function, kata, data, seed):
        future = Future()
        if self.broken or data == b"killer":
            self.broken = True
            future.set_exception(BrokenProcessPool())
        elif data == b"error":
            future.set_exception(ValueError("no"))
        else:
            self.log.append(data)
            future.set_result({"result": data.decode()})
        return future


def test_one_file_that_kills_workers_costs_no_other_its_grade():
    log = []

    @contextmanager
    def pool():
        yield Fragile(log)

    names = ["a", "b", "killer", "c", "error", "d"]
    tasks = iter([workers.Task(name, ATTENTION, name.encode()) for name in names])
    got = dict(workers.grades(pool, tasks, 1, 4))
    assert set(got) == set(names)
    assert got["killer"] == {"fault": "the worker that graded it died"}
    assert got["error"] == {"fault": "ValueError: no"}
    assert [got[name] for name in "abcd"] == [{"result": name} for name in "abcd"]


def test_no_more_than_a_window_is_read_ahead():
    read = []

    def tasks():
        for number in range(50):
            read.append(number)
            yield workers.Task(str(number), ATTENTION, b"x")

    for done, _ in enumerate(workers.grades(lambda: nullcontext(Fragile([])), tasks(), 1, 4), start=1):
        assert len(read) <= done + 4


# ------------------------------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few submissions of each kind, and the outcome that each must get."""
    root = tmp_path_factory.mktemp("cohorts") / "cohort"
    chosen = {
        "ada": (ATTENTION, f"right/{ATTENTION}/einsum_float32.py"),
        "ben": (GROUPS, f"wrong/{GROUPS}/kv-heads-tiled.py"),
        "eve": (ATTENTION, "hostile/tamper_exit_hard.py"),
        "kim": (ONE_KV_HEAD, f"right/{ONE_KV_HEAD}/unsqueeze_broadcast.py"),
        "lea": (GROUPS, f"right/{GROUPS}/einsum_groups.py"),
    }
    for name, (kata, path) in chosen.items():
        problems = root / name / "problems"
        problems.mkdir(parents=True)
        for each in Catalog().katas[:3]:
            (problems / f"{each.stem}.py").write_text(stub(each))
        shutil.copy(SUBMISSIONS / path, problems / f"{kata}.py")
    archive(root / "zoe.zip", **{f"x/problems/{GROUPS}.py": (SUBMISSIONS / chosen["lea"][1]).read_bytes()})
    (root / "bad.zip").write_text("no")
    return root


def command(folder, out, *more):
    options = ["--out", str(out), "--seed", "5", *more]
    return [sys.executable, str(ROOT / "grader.py"), "cohort", str(folder), *options]


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(command(folder, out, "--jobs", "2"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return out


def table(out):
    with (out / "results.csv").open() as file:
        return {row["submission"]: row for row in csv.DictReader(file)}


def test_every_verdict_is_right(undisturbed):
    rows = table(undisturbed)
    assert list(rows) == ["ada", "bad.zip", "ben", "eve", "kim", "lea", "zoe.zip"]
    assert (
        rows["ada"][ATTENTION] == rows["kim"][ONE_KV_HEAD] == rows["lea"][GROUPS] == rows["zoe.zip"][GROUPS] == "passed"
    )
    assert rows["ben"][GROUPS].startswith("failed ")
    assert rows["ben"]["causes"] == f"{GROUPS}: kv-heads-tiled"
    assert rows["eve"][ATTENTION] != "passed"
    assert rows["ada"][HEADS] == rows["zoe.zip"][ATTENTION] == "not started"
    assert "not a zip" in rows["bad.zip"]["note"]
    assert rows["lea"]["alike"] == f"{GROUPS}: zoe.zip"
    lines = [json.loads(line) for line in (undisturbed / "results.jsonl").read_text().splitlines()]
    assert [line["submission"] for line in lines] == list(rows)
    assert "kv-heads-tiled" in (undisturbed / "overview.html").read_text()


def test_killed_at_any_moment_it_goes_on(folder, undisturbed, tmp_path):
    journal = tmp_path / "journal.jsonl"
    for lines in (1, 3, 6):
        process = subprocess.Popen(command(folder, tmp_path, "--jobs", "2"), stderr=subprocess.DEVNULL)
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < lines):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command(folder, tmp_path, "--jobs", "1"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results.csv").read_bytes() == (undisturbed / "results.csv").read_bytes()
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)), "nothing is graded twice"


def test_usage(tmp_path):
    done = subprocess.run(command(tmp_path, tmp_path / "out"), capture_output=True, text=True)
    assert done.returncode == 2
    assert "no folder, zip or git bundle" in done.stderr


def test_a_cluster_that_loses_a_worker_loses_no_grade(folder, undisturbed, tmp_path):
    pytest.importorskip("distributed", reason="Dask is an optional extra: pip install distributed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    address = f"tcp://127.0.0.1:{20000 + os.getpid() % 20000}"
    quiet = {"env": environment, "cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", address]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    started = [subprocess.Popen(each, **quiet) for each in (dask, [*worker, "--no-nanny"], [*worker, "--no-nanny"])]
    try:
        out = tmp_path / "out"
        grading = subprocess.Popen(
            command(folder, out, "--scheduler", address),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        journal = out / "journal.jsonl"
        while grading.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
            time.sleep(0.02)
        started[1].kill()
        words, _ = grading.communicate(timeout=120)
        assert grading.returncode == 0, words.decode()
        assert (out / "results.csv").read_bytes() == (undisturbed / "results.csv").read_bytes()
    finally:
        for process in started:
            process.kill()
            process.wait()
