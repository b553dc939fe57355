"""The README tells the truth: its table is the catalogue's, its files exist."""

import re

from grading.catalog import ROOT, Catalog

README = (ROOT / "README.md").read_text(encoding="utf-8")


def table():
    """The README's table of katas."""
    rows = ["| | kata | you write | minutes | checks | notebook |", "|---|---|---|---|---|---|"]
    for kata in Catalog().katas:
        symbols = ", ".join(f"`{symbol}`" for symbol in kata.symbols)
        rows.append(
            f"| {kata.number} | [{kata.title}](problems/{kata.stem}.py) | {symbols} | {kata.minutes} | {kata.checks} "
            f"| [{kata.notebook}](notebooks/{kata.notebook}) |"
        )
    return "\n".join(rows)


def test_the_table_of_katas_is_the_catalogues():
    assert table() in README, f"the README's table should be\n\n{table()}"


def test_the_files_that_it_links_exist():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
