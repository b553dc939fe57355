"""What is no solution at all gets a clear verdict, within its time, and leaves the other katas alone."""

import os
import time

import pytest

from grading.catalog import ROOT, Catalog
from grading.reports import terminal
from grading.stubs import stub
from tests.engine.katas import ATTENTION, CACHED, GROUPS, HEADS, MASKS, ONE_KV_HEAD

HEAD = "import torch\nfrom torch import nn\n\n"
SDPA = "def scaled_dot_product_attention(query, key, value, mask=None):\n"

# name: (source, outcome, words that the message has to contain)
BROKEN = {
    "empty": ("", "the file is empty"),
    "blank": ("\n   \n", "the file is empty"),
    "syntax error": (HEAD + SDPA + "    return (query\n", "was never closed"),
    "indentation": (HEAD + SDPA + "return query\n", "expected an indented block"),
    "missing symbol": (HEAD + "def attention(query, key, value):\n    return value\n", "defines no scaled_dot"),
    "number in place of a function": (
        HEAD + "scaled_dot_product_attention = 3\n",
        "scaled_dot_product_attention is int, and has to be a function: write `def",
    ),
    "missing package": ("import einops\n" + HEAD + SDPA + "    return value\n", "einops"),
    "error at import": (HEAD + "x = torch.zeros(3) @ torch.zeros(4)\n", "RuntimeError"),
    "exit at import": (HEAD + "raise SystemExit(0)\n", "SystemExit"),
    "null bytes": ("x = 1\0\n", "null bytes"),
    "deep nesting": ("x = " + "(" * 5000 + ")" * 5000 + "\n", "too many nested parentheses"),
}
FAILED = {
    "None": ("    return None\n", "scaled_dot_product_attention returned None"),
    "tuple": ("    return value, value, value\n", "is not a torch.Tensor"),
    "weights too": ("    return value, value\n", "came back as (output, weights): return the output alone"),
    "list": ("    return value.tolist()\n", "is not a torch.Tensor"),
    "numpy": ("    return value.numpy()\n", "is not a torch.Tensor"),
    "number": ("    return 1.0\n", "is not a torch.Tensor"),
    "zeros": ("    return torch.zeros(*query.shape[:-1], value.size(-1), dtype=query.dtype)\n", "other numbers"),
    "nan": (
        "    return torch.full((*query.shape[:-1], value.size(-1)), float('nan'), dtype=query.dtype)\n",
        "NaN or infinity inside",
    ),
    "exit": ("    raise SystemExit(0)\n", "SystemExit"),
    "os._exit": ("    torch._os = __builtins__\n    return value\n", ""),
    "recursion": ("    return scaled_dot_product_attention(query, key, value, mask)\n", "RecursionError"),
    "interrupt": ("    raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "an error of its own": ("    raise ValueError('x' * 10**6)\n", "ValueError"),
    "memory": ("    return torch.zeros(10**11)\n", "RuntimeError"),
    "sparse": ("    return torch.zeros(2, 5, 6).to_sparse()\n", "is not a torch.Tensor"),
    "meta": ("    return torch.zeros(2, 3, 5, 6, device='meta')\n", "is not a torch.Tensor"),
    "terabytes": ("    return torch.zeros(1).expand(10**13)\n", "is not a torch.Tensor"),
    "deep list": ("    x = []\n    for _ in range(10**5):\n        x = [x]\n    return x\n", "is not a torch.Tensor"),
    "itself": ("    x = []\n    x.append(x)\n    return x\n", "is not a torch.Tensor"),
    "printing": ("    print('x' * 10**6)\n    return value\n", "wrong shape"),
}


def write(folder, source, stem=ATTENTION):
    path = folder / f"{stem}.py"
    path.write_bytes(source.encode())
    return path


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_does_not_load_is_broken(examine, tmp_path, name):
    source, words = BROKEN[name]
    result = examine(ATTENTION, write(tmp_path, source))
    assert result.outcome == "broken"
    assert words in result.message


def test_a_syntax_error_shows_its_line(examine, tmp_path):
    result = examine(ATTENTION, write(tmp_path, HEAD + SDPA + "    return (query\n"))
    assert result.message.endswith("the line: return (query")
    assert result.where.endswith(f"{ATTENTION}.py:5")


@pytest.mark.parametrize("name", FAILED)
def test_an_answer_that_is_none_fails(examine, tmp_path, name):
    body, words = FAILED[name]
    result = examine(ATTENTION, write(tmp_path, HEAD + SDPA + body))
    if name == "os._exit":
        assert result.outcome == "broken"  # refused by the rules
        return
    assert result.outcome == "failed"
    assert words in result.first_failure.message


@pytest.mark.parametrize(
    ("stem", "source", "words"),
    [
        (
            HEADS,
            HEAD + "def MultiHeadAttention(d_model, num_heads):\n    return nn.Linear(1, 1)\n",
            "MultiHeadAttention is a function, and has to be a class built on nn.Module: write `class Multi",
        ),
        (HEADS, HEAD + "class MultiHeadAttention:\n    pass\n", "is a class that is built on nothing, and has to be"),
        (
            HEADS,
            HEAD + "class MultiHeadAttention(dict):\n    pass\n",
            "is a class built on dict, and has to be a class",
        ),
        (HEADS, HEAD + "MultiHeadAttention = nn.Linear(2, 2)\n", "is a layer that is made already (torch.nn.modules"),
    ],
)
def test_a_class_has_to_be_one(examine, tmp_path, stem, source, words):
    result = examine(stem, write(tmp_path, source, stem))
    assert result.outcome == "broken"
    assert words in result.message
    assert result.where.endswith(f"{HEADS}.py:4")


LAYER = "class MultiHeadAttention(nn.Module):\n    def __init__(self, {}):\n        super().__init__()\n{}"
MISFITS = {
    "another __init__": (
        LAYER.format("dim, heads", ""),
        "MultiHeadAttention.__init__ takes (dim, heads), and has to take (d_model, num_heads, dropout, bias)",
        5,
    ),
    "a lazy layer": (
        LAYER.format("d_model, num_heads, dropout=0.0, bias=True", "        self.q_proj = nn.LazyLinear(d_model)\n"),
        "q_proj.weight has no size before the first call (nn.LazyLinear): use nn.Linear with both sizes",
        7,
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_another_form_than_asked_for_says_which(examine, tmp_path, name):
    source, message, line = MISFITS[name]
    failed = examine(HEADS, write(tmp_path, HEAD + source, HEADS)).first_failure
    assert (failed.message, failed.kind) == (message, "misfit")
    assert failed.where.endswith(f"{HEADS}.py:{line}")


def test_another_signature_of_forward_says_which(examine, tmp_path):
    text = (ROOT / f"solutions/{HEADS}.py").read_text(encoding="utf-8")
    source = text.replace(
        "value: Tensor, mask: Tensor | None = None) -> Tensor:", "value: Tensor) -> Tensor:\n        mask = None"
    )
    failed = [check for check in examine(HEADS, write(tmp_path, source, HEADS)).checks if check.outcome == "failed"]
    message = "MultiHeadAttention.forward takes (query, key, value), and has to take (query, key, value, mask)"
    assert message in [check.message for check in failed]


def test_a_wrong_signature_names_what_was_called(examine, tmp_path):
    source = HEAD + "def scaled_dot_product_attention(query, key):\n    return query\n"
    failed = examine(ATTENTION, write(tmp_path, source)).first_failure
    assert failed.message == "scaled_dot_product_attention takes (query, key), and has to take (query, key, value)"
    assert failed.where.endswith(f"{ATTENTION}.py:4")
    assert "scaled_dot_product_attention(query" in failed.call


def test_an_error_shows_the_learners_line_and_its_tensors(examine, tmp_path):
    source = HEAD + SDPA + "    scores = query @ key\n    return scores @ value\n"
    failed = examine(ATTENTION, write(tmp_path, source)).first_failure
    assert failed.where.endswith(f"{ATTENTION}.py:5")
    assert failed.got.startswith("scores = query @ key    with query (2, 3, 5, 4), key (2, 3, 7, 4)")


def test_what_is_printed_is_kept(examine, tmp_path):
    source = HEAD + SDPA + "    print('shapes', query.shape)\n    return value\n"
    assert "shapes torch.Size([2, 3, 5, 4])" in examine(ATTENTION, write(tmp_path, source)).checks[0].printed


def test_what_was_printed_before_a_loop_is_kept(examine_briefly, tmp_path):
    source = HEAD + SDPA + "    print('so far')\n    while True: pass\n"
    assert "so far" in examine_briefly(ATTENTION, write(tmp_path, source)).first_failure.printed


def test_an_endless_loop_points_at_itself_and_says_it_once(examine_briefly, tmp_path):
    source = HEAD + SDPA + "    step = 0\n    while step < 3:\n        query = query + 1\n    return query\n"
    failed = examine_briefly(ATTENTION, write(tmp_path, source)).first_failure
    assert failed.where.endswith(f"{ATTENTION}.py:6")
    assert failed.message == "stopped after 2 s, in this loop"


def test_of_several_loops_the_one_is_named_that_does_not_end(examine_briefly, tmp_path):
    """The innermost that has not ended; what is called in it may be the learner's own, and a `for` without end."""
    helper = "def more(rows):\n    rows.append(1)\n\n"
    loops = (
        "    while False:\n        pass\n    rows = [1]\n    for row in rows:\n        more(rows)\n    return query\n"
    )
    source = HEAD + helper + SDPA + loops
    result = examine_briefly(ATTENTION, write(tmp_path, source))
    line = source.splitlines().index("    for row in rows:") + 1
    assert result.first_failure.where.endswith(f"{ATTENTION}.py:{line}")
    shown = terminal.failure(result, 80).plain
    assert shown.count("stopped") == 1
    assert f"{result.expected - 1} more did not run." in shown


def test_a_missing_file(examiner, tmp_path):
    asked = examiner.grade([ATTENTION], tmp_path).katas[0]
    assert (asked.outcome, asked.message) == ("broken", "there is no such file")
    assert examiner.grade([ATTENTION], tmp_path, asked=False).katas[0].outcome == "not started"


def test_a_folder_a_pipe_a_link_and_a_device(examine, tmp_path):
    path = tmp_path / f"{ATTENTION}.py"
    path.mkdir()
    assert examine(ATTENTION, path).outcome == "broken"
    path.rmdir()
    os.mkfifo(path)
    assert "not a regular file" in examine(ATTENTION, path).message
    path.unlink()
    path.symlink_to(ROOT / "solutions" / f"{ATTENTION}.py")
    assert "link" in examine(ATTENTION, path).message
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "link" in examine(ATTENTION, path).message


def test_binary_and_huge_files(examine, tmp_path):
    path = tmp_path / f"{ATTENTION}.py"
    path.write_bytes(bytes(range(256)) * 10)
    assert "not UTF-8" in examine(ATTENTION, path).message
    path.write_bytes(b"x = 1\n" * 100_000)
    assert "more than 256 KiB" in examine(ATTENTION, path).message


@pytest.mark.parametrize("place", ["import", "init", "forward"])
def test_an_endless_loop_is_stopped(examine_briefly, tmp_path, place):
    solution = (ROOT / "solutions" / f"{HEADS}.py").read_text()
    before = {"import": "import math", "init": "        self.num_heads =", "forward": "        query = self"}[place]
    indent = before[: len(before) - len(before.lstrip())]
    source = solution.replace(before, f"{indent}while True: pass\n{before}", 1)
    began = time.monotonic()
    result = examine_briefly(HEADS, write(tmp_path, source, HEADS))
    assert time.monotonic() - began < 2 + 2
    assert result.outcome == ("broken" if place == "import" else "failed")
    messages = [result.message, *(check.message for check in result.checks)]
    assert any("stopped after" in message for message in messages)


def test_the_other_katas_keep_their_verdicts(examiner, tmp_path):
    for stem in (MASKS, GROUPS):
        (tmp_path / f"{stem}.py").write_text((ROOT / "solutions" / f"{stem}.py").read_text())
    write(tmp_path, HEAD + "import ctypes\nctypes.string_at(0)\n")
    write(tmp_path, HEAD + "class MultiHeadAttention(nn.Module):\n    pass\n", HEADS)
    outcomes = {
        result.kata: result.outcome for result in examiner.grade([ATTENTION, MASKS, HEADS, GROUPS], tmp_path).katas
    }
    assert outcomes == {ATTENTION: "broken", MASKS: "passed", HEADS: "failed", GROUPS: "passed"}


@pytest.mark.parametrize("stem", [ATTENTION, MASKS, HEADS, GROUPS, CACHED, ONE_KV_HEAD])
def test_a_stub_is_not_started(examine, tmp_path, stem):
    from grading.catalog import Catalog

    result = examine(stem, write(tmp_path, stub(Catalog()[stem]), stem))
    assert result.outcome == "not started"
    assert {check.kind for check in result.checks} == {"unwritten"}
    assert len(result.checks) == result.expected


def test_half_a_kata_is_failed_and_names_what_is_missing(examine, tmp_path):
    solution = (ROOT / "solutions" / f"{MASKS}.py").read_text()
    source = solution[: solution.index("def additive_mask")] + (
        "def additive_mask(mask, dtype=torch.float32):\n    raise NotImplementedError('additive_mask')\n"
    )
    result = examine(MASKS, write(tmp_path, source, MASKS))
    assert result.outcome == "failed"
    assert result.first_failure.message == "additive_mask is not written yet"
    shown = terminal.failure(result, 80).plain
    assert "additive_mask is not written yet" in shown.splitlines()[0]
    assert f"What is written passes: {result.passed} checks." in shown
    assert "more fail" not in shown


def test_half_a_kata_that_is_wrong_shows_what_is_wrong_first(examine, tmp_path):
    unwritten = f'raise NotImplementedError("{Catalog()[MASKS].symbols[0]}")'
    body = "return torch.ones(query_len, key_len or query_len).bool().tril()"
    wrong = stub(Catalog()[MASKS]).replace(unwritten, body)
    result = examine(MASKS, write(tmp_path, wrong, MASKS))
    assert result.first_failure.kind == "differs"
    shown = terminal.failure(result, 80).plain
    assert f"additive_mask is not written yet ({len(result.unwritten)} checks)" in shown
    assert result.causes
