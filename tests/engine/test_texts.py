"""Texts by key: every translation belongs to something, and what it lacks stays English."""

import ast
import json
import re
import string
import time

import pytest
from rich.cells import cell_len

from grading.candidate import permitted
from grading.catalog import ROOT, Catalog
from grading.diagnosis.knowledge import templates_of
from grading.records import Cause, CheckResult, KataResult, Report, Star
from grading.reports import columns, html, terminal
from grading.texts import FOLDER, Texts, chosen, tables
from tests.engine.katas import ATTENTION, COUNT, GROUPS, HEADS
from tests.engine.terminals import Terminal, copied, grader

ENGLISH = tables("en")
LANGUAGES = sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem != "en")


SAID = {"holds": slice(1, 4), "numbers": slice(2, 4), "close": slice(2, 3), "shaped": slice(2, 3), "typed": slice(2, 3)}
SAID |= {
    "same": slice(2, 3),
    "precise": slice(2, 3),
    "Misfit": slice(0, 1),
    "Unreadable": slice(0, 1),
    "Failure": slice(0, 1),
}


def filled_in(part):
    """A part of an f-string, with X for what differs; _says(what, "has") gives a verb, too."""
    if isinstance(part, ast.Constant):
        return part.value
    says = isinstance(part.value, ast.Call) and getattr(part.value.func, "id", "") == "_says"
    return f"X {part.value.args[1].value}" if says else "X"


def messages():
    """What the graders and the engine say of an answer, with X for what differs from case to case."""
    files = [*(ROOT / "tests").glob("test_*.py"), *(ROOT / "katas").glob("*/layer_*.py")]
    files += [ROOT / "grading" / "examination" / "checks.py", *(ROOT / "grading" / "candidate").glob("*.py")]
    calls = (
        node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    )
    for call in calls:
        for argument in call.args[SAID.get(getattr(call.func, "id", ""), slice(0))]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
            elif isinstance(argument, ast.JoinedStr):
                yield "".join(map(filled_in, argument.values))
    for refused in (permitted.module_refused, permitted.builtin_refused, permitted.path_refused):
        names = [*permitted._MODULE_REASONS, *permitted._BUILTIN_REASONS, "nowhere"]
        yield from filter(None, map(refused, [*names, "torch.compile", "torch.load", "torch.ops", "inspect.stack"]))


def fields(text):
    """The names of the values that are put into a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_of_the_screens_has_known_keys_and_the_same_values(language):
    """`python grader.py author` says it of the texts of katas."""
    own = tables(language)
    assert set(own["words"]) <= set(ENGLISH["words"])
    for key, text in own["words"].items():
        assert fields(text) == fields(ENGLISH["words"][key]), key


def test_the_screens_are_complete_in_chinese():
    own = tables("zh")
    assert set(own["words"]) == set(ENGLISH["words"])
    assert {kata.difficulty for kata in Catalog().katas} <= set(own["words"])


def test_what_the_checks_say_is_said_in_chinese():
    said = {text: Texts("zh").message(text) for text in messages()}
    assert len(said) > 150
    code = re.compile(r"`.*?`|\w+\(.*?\)")
    left = [text for text, own in said.items() if re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", code.sub("", own))]
    assert not left


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("the output with a mask (3, 5, 7) has the wrong shape", "掩码为 (3, 5, 7) 时的输出的形状不对"),
        (
            "0.75 0.5    the larger of two weights, with E = 4, 9 and 16",
            "0.75 0.5    E 为 4、9、16 时两个权重中较大的一个",
        ),
        ("-1.4 at [2, 10] in float16; 3 of 6 numbers differ", "-1.4（位置 [2, 10]，float16）；6 个数中有 3 个不同"),
        (
            "the output agrees to 7 digits: float32 work on float64 inputs (the root of E, the softmax)",
            "输出有 7 位小数相同：float64 的输入用 float32 计算了（E 的平方根、softmax）",
        ),
        ("(3, 5, 7)", "(3, 5, 7)"),
        ("a message that nobody translated", "a message that nobody translated"),
    ],
)
def test_messages_are_put_together_in_the_other_language(english, chinese):
    assert Texts("zh").message(english) == chinese
    assert Texts("en").message(english) == english


def test_what_python_and_the_learner_say_is_left_alone():
    raised = CheckResult("t", "title", "failed", message="ValueError: the output", got="the output", kind="raised")
    result = KataResult(GROUPS, "", "f", "failed", 0, 1, checks=(raised,))
    assert Texts("zh").result(result).checks[0].message == raised.message


@pytest.mark.parametrize(
    ("asked", "language"),
    [("", "en"), ("zh", "zh"), ("zh-CN", "zh"), ("zh_CN.UTF-8", "zh"), ("xx", "en"), ("../zh", "en"), ("C", "en")],
)
def test_the_environment_chooses_and_what_is_unknown_is_english(asked, language, monkeypatch):
    monkeypatch.setenv("KATA_LANG", asked)
    assert Texts().language == language
    assert Texts().word("wanted") == ("期望" if language == "zh" else "wanted")


def test_without_the_variable_it_is_english(monkeypatch):
    monkeypatch.delenv("KATA_LANG", raising=False)
    assert chosen() == "en"


def report():
    cause = Cause("kv-heads-tiled", "kv heads are tiled", f"{GROUPS}.ipynb", explains=("test_0",))
    checks = tuple(
        CheckResult(f"test_{i}", title, "failed", where=f"problems/{GROUPS}.py:31", message="m", wanted="1", got="2")
        for i, title in enumerate(["each query head reads its own kv head [3]", "a title that nobody translated"])
    )
    return Report(7, (), 1.0, (KataResult(GROUPS, "Grouped-query attention", "f", "failed", 1, 3, (cause,), checks),))


def test_a_report_is_translated_when_it_is_shown_and_missing_texts_stay_english(monkeypatch):
    monkeypatch.setenv("KATA_LANG", "zh")
    shown = terminal.report(report(), 80, verbose=True).plain
    for words in (
        "分组查询注意力",
        "每个查询头读取自己的 kv 头 [3]",
        "a title that nobody",
        "完全吻合：kv 头是整体平铺",
    ):
        assert words in shown.replace("\n             ", "")
    assert all(cell_len(line) <= 80 for line in shown.splitlines())
    assert "Grouped-query" in str(report().as_dict())
    assert Texts("zh").report(Texts("zh").report(report())) == Texts("zh").report(report())
    assert Texts("en").report(report()) == report()


TEMPLATES = sorted({template for kata in Catalog().katas for template in templates_of(kata)})


@pytest.mark.parametrize("given", [True, False], ids=["given", "not given"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_the_star_is_said_in_chinese_on_the_board_and_on_the_page(template, given, monkeypatch):
    own = tables("zh")["stars"][template]
    assert fields(own) == fields(template)
    figures = dict.fromkeys(fields(template), 8192)
    star, words = Star(given, 5.1, "english", template, figures), own.format(**figures)
    monkeypatch.setenv("KATA_LANG", "zh")
    shown = Report(7, (), 1.0, (KataResult(GROUPS, "Groups", "f", "passed", 3, 3, star=star),))
    board = terminal.board(shown, 77).plain
    assert all(cell_len(line) <= 77 for line in board.splitlines())
    assert "* 3/3" in board if star.given else words.replace(" ", "") in re.sub(r"\s", "", board)
    page = html.page(shown, Texts("zh"))
    assert words in page
    assert ("* 3/3" in page) is star.given
    assert "english" not in board + page
    assert "right; " in html.page(shown, Texts("en"))


@pytest.mark.parametrize("width", [30, 31])
@pytest.mark.parametrize(
    "text", ["注意力" * 40, "kv 头是整体平铺的 repeat " * 8, "plain words " * 12, "注意，（力）。" * 20]
)
def test_columns_hold_wide_characters(text, width):
    lines = columns.wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert not {line[0] for line in lines} & set("，）。")
    assert not {line[-1] for line in lines} & set("（")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert len(columns.wrap(text, width, lines=2)) == 2
    assert cell_len(columns.fit(text, 20)) == 20
    assert columns.flush("力", 5) == "   力"


@pytest.mark.parametrize("width", [12, 13, 14, 15])
def test_wrapped_lines_begin_at_the_indent(width):
    lines = columns.wrap("    right; a step copies heads", width, "    ")
    assert [len(line) - len(line.lstrip()) for line in lines] == [4] * len(lines)
    assert not [line for line in lines if line.endswith(" ")]


def test_labelled_texts_stand_in_one_column():
    rows = columns.labelled([("用时", "注意力之" * 20), ("runs", "2"), ("错误", "")], 10, 41).splitlines()
    assert [cell_len(row) for row in rows[:1]] == [40]
    assert rows[1].startswith(" " * 10 + "之")
    assert rows[-2] == "runs      2"
    assert rows[-1].rstrip() == "错误"


# ----------------------------------------------------------------------------------- the screens of practice


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("chinese"))


def said(root, *arguments):
    """What the grader of that copy prints in Chinese; there is no English sentence in it."""
    done = grader(root, *arguments, KATA_LANG="zh")
    assert not done.stderr
    return checked(done.stdout)


def checked(text):
    """The text; three English words in a row that are no command would be a sentence."""
    rest = re.sub(r"python grader\.py[ \w]*", "", text)
    assert not re.findall(r"[A-Za-z]{2,}(?:[,;:]? [a-z]{2,}){2,}", rest), text
    return text


def test_status_and_due_are_chinese(copy):
    assert "没有要重做的题目：还没有通过任何一题" in said(copy, "due")
    last = {
        "at": time.time() - 9.5 * 86400,
        "rating": 2,
        "hints": 2,
        "causes": {"kv-heads-tiled": "kv heads are tiled"},
    }
    record = {"attempts": 12, "passes": 1, "first_pass": 1e9, "best_seconds": 725.0, "hints_used": 2}
    record["causes"] = {"kv-heads-tiled": 2, "mask-ignored": 1, "bias-never": 1, "scale-missing": 1}
    record["explains"] = {"kv-heads-tiled": 71}
    ended = {"ended": 1e9, "katas": {GROUPS: record, HEADS: record}}
    data = {"version": 2, "katas": {GROUPS: record}, "reviews": {GROUPS: [last]}, "rounds": [ended]}
    (copy / ".kata").mkdir(exist_ok=True)
    (copy / ".kata" / "progress.json").write_text(json.dumps(data))
    first, _, head, *rows, _, last = said(copy, "status").splitlines()
    assert first == f"第 2 轮：{Texts('zh').passed([Catalog()[GROUPS]])}"
    assert "题中有 1 题通过" in first
    assert rows[3].endswith("12:05      2")
    assert rows[4].startswith("    kv 头是整体平铺的")
    assert (rows[4] + rows[5].strip()).endswith("（指出过 2 次，71 项检查）")
    assert "    另有 1 个错误" in rows
    assert re.fullmatch(rf"第 1 轮（到 2001-09-\d\d 为止）：通过 {GROUPS}、{HEADS}", last)
    assert cell_len(head.partition("提示")[0]) + 4 == cell_len(rows[3])
    shown = said(copy, "due")
    assert shown.startswith(f"{GROUPS}：9 天前，途中犯过的错误：kv 头是整体平铺的")
    assert "用了 2 条提示" in shown
    assert f"都从空白题目重新做起：python grader.py reset {GROUPS}" in shown


def test_reset_and_compare_are_chinese(copy):
    assert said(copy, "reset", HEADS) == f"{HEADS}：已经是空白题目\n"
    path = copy / "problems" / f"{HEADS}.py"
    path.write_text("x = 1\n")
    assert said(copy, "compare", HEADS) == f"{HEADS} 尚未通过。加上 --reveal 可以直接查看参考答案。\n"
    assert f"{HEADS}：已恢复成空白题目；你的代码保存在 .kata/backups/{HEADS}-" in said(copy, "reset", HEADS)


def test_an_interview_is_chinese(copy, checks):
    started = said(copy, "interview", "start", GROUPS, "--minutes", "5")
    assert started.startswith("分组查询注意力（难度：困难），限时 5 分钟")
    file = copy / ".kata" / "interview" / f"{GROUPS}.py"
    source = (copy / "solutions" / f"{GROUPS}.py").read_text()
    file.write_text(source.replace("math.sqrt(E)", "E"))
    count = checks[GROUPS]
    assert re.match(
        rf"剩余 4:\d\d：{count} 项检查中有 \d+ 项通过；第一项未通过的检查：", said(copy, "interview", "run")
    )
    file.write_text(source)
    card = said(copy, "interview", "finish").strip().splitlines()
    assert card[0] == "面试：分组查询注意力"
    rows = [
        ("用时", "0:"),
        ("首次评分", "开始后"),
        ("通过前评分次数", "2"),
        ("通过的检查", f"{count} / {count}"),
        ("犯过的错误", "分数除以了"),
    ]
    for line, (label, text) in zip(card[1:], rows, strict=False):
        assert line.startswith(columns.padded(label, 15) + text)
    assert "追问：" in card
    assert "参考回答：" in card


def test_a_round_is_chinese(copy):
    started = said(copy, "interview", "start", GROUPS, "--round", "onsite", "--minutes", "60")
    assert started.startswith("60 分钟的完整面试，共 ")
    assert "分组查询注意力" in started
    assert "第 2 部分" in said(copy, "interview", "next", "y", "h", "n")
    (copy / ".kata" / "round" / f"{GROUPS}.py").write_text((copy / "solutions" / f"{GROUPS}.py").read_text())
    assert "这一部分通过了" in said(copy, "interview", "next")
    card = said(copy, "interview", "finish")
    for row in ("自评 3 题：会 1 题，一半 1 题，不会 1 题。", "起初遗漏", "没有开始", "大忌："):
        assert row in card
    assert "已放弃" in said(copy, "interview", "start", GROUPS) + said(copy, "interview", "drop")


def test_the_bugs_of_a_round_are_chinese(copy):
    said(copy, "interview", "start", GROUPS, "--round", "onsite", "--minutes", "30")
    said(copy, "interview", "next")
    assert re.search(r"里埋了 \d 个 bug", said(copy, "interview", "next"))
    assert re.search(r"\d 个 bug 中找到了 0 个", said(copy, "interview", "run"))
    card = said(copy, "interview", "next")
    for row in (
        r"这一部分没有通过：\d 个 bug 中找到了 0 个。",
        r"\n找到  +0 / \d",
        r"\n没有找到  +[^ ]",
        r"\n延伸阅读  ",
    ):
        assert re.search(row, card), row
    assert re.search(r"\n    \d 个 bug 中找到了 0 个\n", said(copy, "history"))


def test_the_history_and_the_deck_are_chinese(copy):
    shown = said(copy, "history")
    assert re.search(rf"{GROUPS} +面试", shown)
    assert re.search("合计", said(copy, "questions", "--topics"))
    assert "没有自评任何问题" in said(copy, "questions", GROUPS)


def test_a_drill_is_chinese(copy):
    # one that has a sentence in Chinese: new wrong submissions begin in English
    for file in (copy / "tests" / "submissions" / "wrong" / GROUPS).glob("*.py"):
        if file.stem != "kv-heads-tiled":
            file.unlink()
    assert said(copy, "drill", GROUPS, "--seed", "1").startswith(
        f"分组查询注意力：找出并改正 .kata/drill/{GROUPS}.py 里的错误\n"
    )
    (copy / ".kata" / "drill" / f"{GROUPS}.py").write_text((copy / "solutions" / f"{GROUPS}.py").read_text())
    card = said(copy, "drill", "check").splitlines()
    assert card[0] == "已改正：分组查询注意力"
    assert card[1].startswith("错误" + " " * 11)
    assert columns.padded("评分次数", 15) + "1" in card


@pytest.mark.parametrize(
    ("kata", "file", "words"),
    [
        (GROUPS, "kv-heads-tiled", "kv 头是整体平铺的"),
        (GROUPS, "two_mask-inverted_and_kv-projections-exchanged", "反而可见；并且键经过了 v_proj"),
        (HEADS, "x_key_and_value_layer_tied", "k_proj 和 v_proj 成了同一个层"),
        (GROUPS, "a_new_one", "english"),
        (GROUPS, "", "english"),
    ],
)
def test_what_was_wrong_in_a_drill_has_a_text(kata, file, words):
    assert words in Texts("zh").drill(kata, file, "english")
    assert Texts("en").drill(kata, file, "english") == "english"


def test_watch_is_chinese(copy):
    watching = Terminal(copy, "watch", ATTENTION, KATA_LANG="zh")
    checked(
        watching.until("尚未开始：编辑下面的文件并保存", "n 下一题  h 提示", "q 退出", f"文件  problems/{ATTENTION}.py")
    )
    long = (copy / "solutions" / f"{ATTENTION}.py").read_text() + "\n\nUNUSED = (\n" + "    0,\n" * 30 + ")\n"
    (copy / "problems" / f"{ATTENTION}.py").write_text(long)
    checked(watching.until("通过了。o：与参考答案对照", f"1/{COUNT}", "o 对照", "秒"))
    watching.settle()
    for key, words in (
        ("l", "15 分钟  缩放点积注意力"),
        ("h", "提示 1/3"),
        ("x", "恢复成空白题目吗？"),
        ("n", "q 退出"),
    ):
        watching.press(key)
        checked(watching.until(words))
    watching.press("o")
    watching.until("你的代码", "空格键：翻页（1/")
    watching.press("q")
    assert watching.finish() == 0
    watching.close()
