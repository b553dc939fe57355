"""The verb `read`: formulas as plain text, sections by their anchors, in English and Chinese, and the line `next`."""

import json
import re
from itertools import pairwise

import pytest
from rich.cells import cell_len

from grading import cli
from grading.authoring import findings
from grading.catalog import ROOT
from grading.diagnosis.knowledge import catalogue
from grading.hunts import by_stem, hunts
from grading.practice.reading import formulas, sections
from grading.records import Cause, KataResult
from grading.reports.terminal import what_to_read
from grading.texts import COMMAND
from tests.engine.katas import ATTENTION, GROUPS

BUILT = [each.stem for each in by_stem().values() if each.notebook and sections.path_of(each.stem).is_file()]


@pytest.fixture
def run(capsys, monkeypatch):
    """run(what, language="", columns=80): exit status, what is printed, and what is said of a mistake."""

    def run(what, language="", columns=80):
        monkeypatch.setenv("KATA_LANG", language)
        monkeypatch.setenv("COLUMNS", str(columns))
        return cli.main(["read", what]), *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\mathrm{softmax}(QK^\top/\sqrt{E})\,V", "softmax(QKᵀ/√E) V"),
        (r"\frac{2LH}{Kb}", "2LH/Kb"),
        (r"\tfrac1{\sqrt E}", "1/√E"),
        (r"\frac{a+b}2", "(a+b)/2"),
        (r"g(h) = \lfloor h / r \rfloor", "g(h) = ⌊ h / r ⌋"),
        (r"\sum_{j\le t} v_j", "Σ_(j ≤ t) v_j"),
        (r"h^{\ell-1}_t", "h^(ℓ-1)_t"),
        (r"x^2 + x_{12}", "x² + x₁₂"),
        (r"D \times KE", "D × KE"),
        (r"18{,}800", "18,800"),
        (r"\max(m,\max s)", "max(m,max s)"),
        (r"\bar W_K", "W\u0304_K"),
        (r"I \xrightarrow{b=2} J", "I → [b = 2] J"),
        (r"\mathbb R^{D}", "ℝ^D"),
        (r"\Big(\tfrac{X}{\sqrt E}\Big)", "(X/√E)"),
        (r"W:=K\cdot E", "W := K · E"),
        (r"\{1\}", "{1}"),
    ],
)
def test_a_formula_is_plain_text(latex, text):
    assert formulas.plain(latex) == text


def test_formulas_and_code_are_told_apart():
    text = "a $x^2$ `$HOME` costs 5$ or 6$\n```\n$y^2$\n```\n$$\nz_1\n$$"
    shown = formulas.without_formulas(text)
    assert "`x²` `$HOME` costs 5$ or 6$" in shown
    assert "```\n$y^2$\n```" in shown
    assert "```\nz₁\n```" in shown


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("stem", BUILT)
def test_no_section_of_a_notebook_has_latex_or_html_left(stem, language):
    found = sections.sections(stem, language)
    for each in found:
        prose = re.sub(r"```.*?```", "", each.markdown, flags=re.DOTALL)
        assert not re.search(r"\\[A-Za-z]{2,}|</?(details|summary|i|p)>|<!--|\$\$", prose), each.anchor
    anchors = [each.anchor for each in found if each.anchor]
    assert anchors == findings.sections(stem)


def test_every_section_that_a_cause_names_can_be_read():
    links = {kind.see for kind, _ in catalogue().values() if "#" in kind.see}
    assert links
    read = {stem: sections.sections(stem) for stem in BUILT}
    for page, _, anchor in (link.partition("#") for link in links):
        assert page not in read or sections.section(read[page], anchor), (page, anchor)


def test_a_section_is_shown_with_what_is_under_it(run):
    found = sections.sections(GROUPS)
    upper = next(a for a, b in pairwise(found) if a.level == 2 and b.level == 3)
    inner = found[found.index(upper) + 1]
    status, shown, _ = run(f"{GROUPS}#{upper.anchor}")
    assert status == 0
    assert inner.anchor.replace("-", " ") in shown
    after = next(each for each in found[found.index(inner) :] if each.level == 2)
    assert after.anchor.replace("-", " ") not in [line.strip() for line in shown.splitlines()]
    assert run(f"{GROUPS}#{upper.anchor.upper()}")[1] == shown


@pytest.mark.parametrize(("language", "columns"), [("", 80), ("", 50), ("zh", 80), ("zh", 50)])
def test_lines_are_as_long_as_the_screen_is_wide(run, language, columns):
    for each in sections.sections(ATTENTION)[1:6]:
        shown = run(f"{ATTENTION}#{each.anchor}", language, columns)[1]
        assert max(cell_len(line) for line in shown.splitlines()) <= columns


def test_chinese_prose_where_there_is_some_and_english_elsewhere(run):
    english, chinese = sections.sections(GROUPS), sections.sections(GROUPS, "zh")
    assert [each.anchor for each in english] == [each.anchor for each in chinese]
    told = [bool(re.search("[\u4e00-\u9fff]", each.markdown)) for each in chinese]
    assert any(told)
    assert not all(told)
    first = chinese[told.index(True, 1)].anchor
    assert re.search("[\u4e00-\u9fff]", run(f"{GROUPS}#{first}", "zh")[1])
    assert "节。阅读其中一节" in run(GROUPS, "zh")[1]


@pytest.mark.parametrize("hunt", [hunt for hunt in hunts() if hunt.notebook], ids=lambda hunt: hunt.stem)
def test_the_notebook_of_a_hunt_is_found(run, hunt):
    status, shown, _ = run(hunt.stem)
    assert (status, hunt.title in shown) == (0, True)
    anchor = findings.sections(hunt.stem)[2]
    assert f"python grader.py read {hunt.stem}#{anchor}\n" in shown
    assert run(f"{hunt.stem}#{anchor}")[0] == 0


def test_without_a_section_it_lists_them_and_what_is_not_there_is_refused(run, monkeypatch, tmp_path):
    status, shown, _ = run(GROUPS)
    assert status == 0
    assert shown.count(f"python grader.py read {GROUPS}#") == len(findings.sections(GROUPS))
    anchor = findings.sections(GROUPS)[2]
    status, _, said = run(f"{GROUPS}#{anchor[:-2]}")
    assert (status, f"did you mean {GROUPS}#{anchor}?" in said) == (2, True)
    assert run("nothing")[0] == 2
    monkeypatch.setattr(sections, "FOLDER", tmp_path)
    assert "it is not built" in run(GROUPS)[2]
    (tmp_path / f"{GROUPS}.ipynb").write_text("{")
    assert run(GROUPS)[0] == 2


def test_printed_results_are_shown_and_what_only_draws_is_not(tmp_path, monkeypatch):
    def cell(source, outputs=(), **metadata):
        return {"cell_type": "code", "source": [source], "outputs": list(outputs), "metadata": metadata}

    printed = {"output_type": "stream", "text": ["a caption\n"]}
    figure = {"output_type": "display_data", "data": {"image/png": "x", "text/plain": ["<Image>"]}}
    value = {"output_type": "execute_result", "data": {"text/plain": ["42"]}}
    cells = [
        {"cell_type": "markdown", "source": ["# T\n\n## One\n\n```\n# no heading\n```\n[x](other.ipynb#Y)"]},
        cell("draw()", [figure, printed], jupyter={"source_hidden": True}),
        cell("40 + 2", [value]),
        cell("stub", [printed], tags=["graded"]),
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(sections, "FOLDER", tmp_path)
    text = sections.section(sections.sections("n"), "one")
    assert "# no heading" in text
    assert "x (other#Y)" in text
    for part in ("```text\na caption\n```", "```python\n40 + 2\n```", "```text\n42\n```"):
        assert part in text
    for part in ("draw()", "<Image>", "stub"):
        assert part not in text


def test_next_says_how_to_read_on_in_a_terminal_and_links_in_a_notebook(monkeypatch):
    cause = Cause("a", "b", f"{GROUPS}.ipynb#Derivation")
    result = KataResult(GROUPS, "", "f", "failed", 0, 1, (cause,))
    monkeypatch.delenv(COMMAND, raising=False)
    hint = f"python grader.py hint {GROUPS}"
    assert what_to_read(result, ()) == f"{hint}, python grader.py read {GROUPS}#Derivation"
    assert what_to_read(result, {GROUPS}) == f"python grader.py read {GROUPS}#Derivation"
    monkeypatch.setenv(COMMAND, "%kata")
    assert what_to_read(result, ()) == f"%kata hint {GROUPS}, notebooks/{GROUPS}.ipynb#Derivation"
    assert (ROOT / "notebooks" / f"{GROUPS}.ipynb").is_file()
