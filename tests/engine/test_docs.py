"""The documents tell the truth: their tables are the catalogues', the files that they link exist."""

import re

import pytest

from grading.catalog import ROOT, Catalog
from grading.diagnosis.mistakes import CATALOGUE

README = (ROOT / "README.md").read_text(encoding="utf-8")


def table(checks):
    """The README's table of katas."""
    rows = ["| | kata | you write | minutes | checks | notebook |", "|---|---|---|---|---|---|"]
    for kata in Catalog().katas:
        symbols = ", ".join(f"`{symbol}`" for symbol in kata.symbols)
        rows.append(
            f"| {kata.number} | [{kata.title}](problems/{kata.stem}.py) | {symbols} | {kata.minutes} "
            f"| {checks[kata.stem]} | [{kata.notebook}](notebooks/{kata.notebook}) |"
        )
    return "\n".join(rows)


def test_the_table_of_katas_is_the_catalogues(checks):
    assert table(checks) in README, f"the README's table should be\n\n{table(checks)}"


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda path: path.name)
def test_the_files_that_it_links_exist(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
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
