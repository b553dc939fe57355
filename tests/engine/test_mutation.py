"""Mutants: right answers with one small thing done otherwise, and what is said of those that no check fails."""

import json
import random

import pytest

from benchmarks import mutation
from benchmarks.mutants import mutants, normal
from grading.catalog import ROOT, Catalog

FOUND = json.loads(mutation.RESULTS.read_text(encoding="utf-8"))

SMALL = '''
"""A docstring, which is left alone."""
import torch


def f(x: float, y, flag=True):
    if x < 2 and flag:
        raise ValueError(f"{x} is wrong by {x - 1}")
    z = x @ y.transpose(-2, -1) / 3
    return z.sum(dim=-1), -x
'''


def test_each_kind_of_change_is_made_once():
    found = {each.change: each.kind for each in mutants(SMALL)}
    for change, kind in (
        ("if x < 2 and flag: -> if x <= 2 and flag:", "comparison"),
        ("if x < 2 and flag: -> if x < 2 or flag:", "operator"),
        ("if x < 2 and flag: -> if x < 3 and flag:", "constant"),
        ("z = x @ y.transpose(-2, -1) / 3 -> z = x @ y.transpose(-2, -1)", "scale"),
        ("z = x @ y.transpose(-2, -1) / 3 -> z = y.transpose(-2, -1) @ x / 3", "matrix product turned"),
        ("z = x @ y.transpose(-2, -1) / 3 -> z = x @ y.transpose(-3, -1) / 3", "axis"),
        ("z = x @ y.transpose(-2, -1) / 3 -> z = y @ y.transpose(-2, -1) / 3", "names exchanged"),
        ("z = x @ y.transpose(-2, -1) / 3 -> pass", "statement deleted"),
        ("def f(x: float, y, flag=True): -> def f(x: float, y, flag=False):", "flag turned"),
        ("return (z.sum(dim=-1), -x) -> return (z.sum(), -x)", "keyword dropped"),
        ("return (z.sum(dim=-1), -x) -> return (-x, z.sum(dim=-1))", "parts exchanged"),
        ("return (z.sum(dim=-1), -x) -> return (z.sum(dim=-1), x)", "negation dropped"),
    ):
        assert found.get(change) == kind, change
    new = [change.split(" -> ")[1] for change in found]
    assert not [lines for lines in new if "docstring" in lines or "is wrong by" in lines or "import" in lines]
    assert len({each.text for each in mutants(SMALL)}) == len(found)


def test_no_mutant_passes_without_a_reason():
    assert not mutation.holes(FOUND)
    assert {kata.solution for kata in Catalog().katas} <= {ROOT / file for file in mutation.files(FOUND)}


@pytest.mark.parametrize("file", sorted({file for file, _ in mutation.equivalents()}))
def test_a_reason_is_about_lines_that_are_there(file):
    lines = {line.strip() for line in normal((ROOT / file).read_text(encoding="utf-8")).splitlines()}
    for _, change in (key for key in mutation.equivalents() if key[0] == file):
        parts = change.split(" -> ")  # a line that says what a function returns has an arrow of its own
        befores = [" -> ".join(parts[:end]) for end in range(1, len(parts))]
        there = (each in lines or set(each.split(" / ")) <= lines for each in befores)
        assert any(there), "run python benchmarks/mutation.py"


def test_the_page_is_made_of_the_figures():
    wanted = mutation.page(FOUND)
    assert mutation.PAGE.read_text(encoding="utf-8") == wanted, "run python benchmarks/mutation.py --page"


@pytest.mark.parametrize("stem", Catalog().stems)
def test_natural_mutants_of_the_references_fail(examiner, stem, tmp_path):
    solution = Catalog()[stem].solution
    file = str(solution.relative_to(ROOT))
    natural = [each for each in mutants(solution.read_text(encoding="utf-8")) if each.natural]
    for mutant in random.Random(3).sample(natural, 6):
        path = tmp_path / f"{stem}.py"
        path.write_text(mutant.text, encoding="utf-8")
        failed = mutation.first_failure(examiner, stem, path, seed=1)
        assert (failed is None) == ((file, mutant.change) in mutation.equivalents()), mutant.change
