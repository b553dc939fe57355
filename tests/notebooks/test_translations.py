"""The notebooks in zh/: sections of the English ones with their prose in Chinese and nothing else changed."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from grading.catalog import Catalog

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

_spec = importlib.util.spec_from_file_location("notebooks_build", NOTEBOOKS / "build.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)

each_translation = pytest.mark.parametrize("stem", build.translated())


def cells(stem: str) -> list[dict]:
    return json.loads((NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]


def english(stem: str) -> str:
    return stem.rpartition("/")[2]


def prose(stem: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(stem) if cell["cell_type"] == "markdown"]


def code(stem: str) -> list[str]:
    """What is computed: a drawing's cell brings along what no drawing before it has, which depends on those before."""
    found = [cell for cell in cells(stem) if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in found if "drawing" not in cell["metadata"].get("tags", [])]


def anchors(path: Path) -> set[str]:
    text = "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    return {heading.replace(" ", "-") for heading in re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)}


def test_the_map_and_every_kata_of_the_core_track_are_there():
    core = [kata.stem for kata in Catalog().katas if kata.track == "core"]
    assert {f"zh/{stem}" for stem in (build.START, *core)} <= set(build.translated())
    built = {f"zh/{path.stem}" for path in (NOTEBOOKS / "zh").glob("*.ipynb")}
    assert built == set(build.translated()) == {f"zh/{path.stem}" for path in (NOTEBOOKS / "src" / "zh").glob("*.md")}


@each_translation
def test_every_cell_of_a_translated_section_is_translated_and_nothing_is_left_over(stem):
    originals = {build.digest(cell.source): cell for cell in build.read_cells(english(stem))}
    translations = build.translations(stem)
    assert set(translations) <= set(originals), "translations of prose that has changed"
    assert all(originals[key].cell_type == "markdown" and text for key, text in translations.items())
    build.read_cells(stem)  # says which cells are missing


@each_translation
def test_its_sections_are_sections_of_the_english_one_in_their_order(stem):
    whole = [[cell.source for cell in section] for section in build.sections(build.read_cells(english(stem)))]
    mine = [section for section in whole if any(build.digest(text) in build.translations(stem) for text in section)]
    assert len(mine) == len(build.sections(build.read_cells(stem)))
    if english(stem) == build.START:
        assert mine == whole


def test_a_cell_that_is_not_translated_is_named():
    some = build.read_cells(build.START)
    section = next(section for section in build.sections(some) if sum(c.cell_type == "markdown" for c in section) > 1)
    first, second = [cell.source for cell in section if cell.cell_type == "markdown"][:2]
    with pytest.raises(SystemExit, match=build.digest(second)):
        build._in_other_words(some, {build.digest(first): "六个等式"})


@each_translation
def test_the_code_is_the_english_notebook_s(stem):
    rest = iter(code(english(stem)))
    for source in code(stem):
        assert source in rest, f"not in the English notebook, or not in this order:\n{source}"


@each_translation
def test_the_prose_is_chinese(stem):
    for text in prose(stem):
        assert re.search(r"[一-鿿]", text), text


@each_translation
def test_the_formulas_are_the_english_ones(stem):
    """Set off in the middle of the page, where a slip of the pen would change what is proved."""

    def formulas(text: str) -> list[str]:
        return ["".join(found.split()) for found in re.findall(r"\$\$.*?\$\$", text, flags=re.DOTALL)]

    for cell in build.read_cells(english(stem)):
        translation = build.translations(stem).get(build.digest(cell.source))
        assert translation is None or formulas(translation) == formulas(cell.source)


@each_translation
def test_every_link_leads_somewhere(stem):
    here = NOTEBOOKS / f"{stem}.ipynb"
    for page, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", "\n".join(prose(stem))):
        target = here.parent / page if page else here
        assert target.exists(), page
        assert not anchor or anchor in anchors(target), f"{page}#{anchor}"
