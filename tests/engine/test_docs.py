"""The documents tell the truth: their tables are the catalogues', the files that they link exist."""

import re

import pytest

from docs import build_readme
from grading.catalog import ROOT
from grading.diagnosis.knowledge import catalogue
from grading.diagnosis.mistake import sentence

READMES = build_readme.READMES


@pytest.mark.parametrize("name", READMES)
def test_tables_and_screens_of_the_readmes_are_what_the_grader_says_today(examiner, name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text.count("<!-- generated: ") == 3
    wanted = build_readme.filled(text, build_readme.parts(examiner, READMES[name]))
    assert text == wanted, "run python docs/build_readme.py"


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


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda path: path.name)
def test_the_files_that_it_links_exist(path):
    for target in re.findall(r"\]\((?!https?:|\.\./\.\./)([^)# ]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_table_of_mistakes_is_the_catalogues():
    rows = [row for row in (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8").splitlines() if row[:3] == "| `"]
    known = catalogue()
    assert len(rows) == len(known), "run python docs/build_mistakes.py"
    for row, (name, (kind, stems)) in zip(rows, known.items(), strict=True):
        page, _, section = kind.see.partition("#")
        assert row.startswith(f"| `{name}` | {sentence(kind).replace('|', '/')} |"), name
        assert f"notebooks/{page}.ipynb#{section})" in row
        assert f"| {', '.join(stems)} |" in row
