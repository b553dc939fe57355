"""Texts by key: every translation belongs to something, and what it lacks stays English."""

import ast
import string

import pytest
from rich.cells import cell_len

from grading.catalog import ROOT, Catalog
from grading.diagnosis.mistakes import CATALOGUE
from grading.records import Cause, CheckResult, KataResult, Report
from grading.reports import columns, terminal
from grading.texts import FOLDER, Texts, chosen, tables

ENGLISH = tables("en")
LANGUAGES = sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem != "en")


def titles_of_checks():
    """The first lines of the graders' docstrings."""
    files = [*(ROOT / "tests").glob("test_*.py"), *(ROOT / "tests").glob("layer_*.py")]
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    tests = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    docs = (ast.get_docstring(test) for test in tests if test.name.startswith("test_"))
    return {doc.splitlines()[0] for doc in docs if doc}


def fields(text):
    """The names of the values that are put into a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_of_a_translation_is_in_the_catalogues(language):
    own = tables(language)
    assert set(own) <= {"words", "titles", "hints", "mistakes", "checks"}
    assert set(own["words"]) <= set(ENGLISH["words"])
    assert set(own["titles"]) | set(own["hints"]) <= set(Catalog().stems)
    assert set(own["mistakes"]) <= {mistake.name for mistake in CATALOGUE}
    left_over = set(own["checks"]) - titles_of_checks()
    assert not left_over, f"no grader test has these titles (any more): change the keys in texts/{language}.toml"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_same_values_and_as_many_hints(language):
    own = tables(language)
    for key, text in own["words"].items():
        assert fields(text) == fields(ENGLISH["words"][key]), key
    for kata in Catalog().katas:
        assert len(own["hints"][kata.stem]) == len(kata.hints), kata.stem
        for mine, english in zip(own["hints"][kata.stem], kata.hints, strict=True):
            assert mine.count("\n") == english.count("\n"), kata.stem


def test_the_screens_and_the_katas_are_complete_in_chinese():
    own = tables("zh")
    assert set(own["words"]) == set(ENGLISH["words"])
    assert set(own["titles"]) == set(own["hints"]) == set(Catalog().stems)


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
    cause = Cause("kv-heads-tiled", "kv heads are tiled", "04_gqa.ipynb")
    checks = tuple(
        CheckResult(f"test_{i}", title, "failed", where="problems/gqa.py:31", message="m", wanted="1", got="2")
        for i, title in enumerate(["each query head reads its own kv head [3]", "a title that nobody translated"])
    )
    return Report(7, (), 1.0, (KataResult("gqa", "Grouped-query attention", "f", "failed", 1, 3, (cause,), checks),))


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


@pytest.mark.parametrize("text", ["注意力" * 40, "kv 头是整体平铺的 repeat " * 8, "plain words " * 12])
def test_columns_hold_wide_characters(text):
    lines = columns.wrap(text, 30)
    assert all(cell_len(line) <= 30 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert len(columns.wrap(text, 30, lines=2)) == 2
    assert cell_len(columns.fit(text, 20)) == 20


def test_the_chinese_readme_has_the_catalogues_katas_and_the_same_commands():
    text = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    english = (ROOT / "README.md").read_text(encoding="utf-8")
    for kata in Catalog().katas:
        row = f"| {kata.number} | [{Texts('zh').title(kata)}](problems/{kata.stem}.py) |"
        assert row in text, row
        assert f"| {kata.minutes} | [{kata.notebook}](notebooks/{kata.notebook}) |" in text, kata.stem
    for command in (
        "git clone <your fork> katas && cd katas\nmake\n",
        "-m pip install -r requirements.txt",
        "hint KATA",
    ):
        assert command in text, command
        assert command in english, command
