"""The documents tell the truth: their tables are the catalogues', the files that they link exist."""

import re

import pytest

from docs import screens
from grading.catalog import ROOT, Catalog
from grading.diagnosis.knowledge import catalogue
from grading.diagnosis.mistake import sentence
from tests.engine.katas import GROUPS, numbered

READMES = [name for name in screens.DOCUMENTS if name.startswith("README")]


def test_a_screen_is_what_its_command_prints_in_a_checkout_of_its_own(tmp_path):
    """`make test` compares all of them: python docs/screens.py --check."""
    checkout = screens.Checkout(tmp_path)
    text = "a\n<!-- generated: right -->\nstale\n<!-- end -->\nb\n<!-- generated: katas -->\n<!-- end -->\n"
    filled = screens.filled(text, checkout, "en")
    assert "stale" not in filled
    assert f"$ python grader.py {GROUPS}\n ok {numbered(GROUPS)}" in filled
    for kata in Catalog().katas:
        assert f"(problems/{kata.stem}.py)" in filled
    assert screens.filled(filled, checkout, "en") == filled
    with pytest.raises(KeyError, match="unknown"):
        screens.filled("<!-- generated: unknown -->\n<!-- end -->", checkout, "en")


def test_every_screen_is_in_a_document():
    named = re.findall(
        r"<!-- generated: (\w+) -->", "".join((ROOT / name).read_text("utf-8") for name in screens.DOCUMENTS)
    )
    assert set(named) == {*screens.SCREENS, *screens.TABLES}


def outline(name):
    """Section by section, what a translation leaves as it is: links, commands and code, rows of tables."""
    text = re.sub(r"(?s)<!-- generated.*?<!-- end -->", "<!-- generated -->", (ROOT / name).read_text(encoding="utf-8"))
    sections = re.split(r"(?m)^##? .*$", text)[1:]
    return [
        {
            "links": set(re.findall(r"\]\(([^)]+)\)", section)) - set(READMES),
            "code": sorted(re.findall(r"`[^`\n]+`", section)),
            "rows": len(re.findall(r"(?m)^\|", section)),
            "points": len(re.findall(r"(?m)^- ", section)),
            "blocks": section.count("```"),
            "generated": section.count("<!-- generated -->"),
        }
        for section in sections
    ]


def test_the_chinese_readme_says_the_same_section_by_section():
    for number, (ours, theirs) in enumerate(zip(*map(outline, READMES), strict=True)):
        assert ours == theirs, f"section {number}"


DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"]
EXAMPLE = "rotate_half"  # the kata that CONTRIBUTING adds as an example


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_that_it_names_exist(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|\.\./\.\./)([^)# ]+)", text):
        assert (path.parent / target).exists(), target
    for named in re.findall(r"`((?:grading|katas|tests|docs|benchmarks|notebooks|solutions|problems)/[\w./]+)`", text):
        assert (ROOT / named).exists() or EXAMPLE in named, named


def test_the_table_of_mistakes_is_the_catalogues():
    rows = [row for row in (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8").splitlines() if row[:3] == "| `"]
    known = catalogue()
    assert len(rows) == len(known), "run python docs/build_mistakes.py"
    for row, (name, (kind, stems)) in zip(rows, known.items(), strict=True):
        page, _, section = kind.see.partition("#")
        assert row.startswith(f"| `{name}` | {sentence(kind).replace('|', '/')} |"), name
        assert f"notebooks/{page}.ipynb#{section})" in row
        assert f"| {', '.join(stems)} |" in row
