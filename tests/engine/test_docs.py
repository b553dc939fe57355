"""The documents tell the truth: their tables are the catalogues', the files that they link exist."""

import re

import pytest

from docs import build_readme
from grading.catalog import ROOT
from grading.diagnosis.mistakes import CATALOGUE

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
    for target in re.findall(r"\]\((?!https?:|\.\./\.\./)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_table_of_mistakes_is_the_catalogues():
    rows = (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8").splitlines()[11:]
    graders = [*(ROOT / "tests").glob("*.py"), *(ROOT / "katas").glob("*/*.py")]
    titles = "\n".join(path.read_text(encoding="utf-8") for path in graders)
    assert len(rows) == len(CATALOGUE), "run python docs/build_mistakes.py"
    for row, mistake in zip(rows, CATALOGUE, strict=True):
        assert row.startswith(f"| `{mistake.name}` | {mistake.sentence.replace('|', '/')} |"), mistake.name
        assert f"notebooks/{mistake.notebook})" in row
        assert row.rstrip(" |").rsplit("| ", 1)[1] in titles


def test_every_mistake_has_an_example():
    for mistake in CATALOGUE:
        folders = (ROOT / "tests" / "submissions" / "wrong" / kata for kata in mistake.katas)
        assert any((folder / f"{mistake.name}.py").exists() for folder in folders), mistake.name
