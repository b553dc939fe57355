"""The notebooks' own lint: what notebooks/src/README.md promises, nbval cannot see.

nbval runs every notebook and compares its outputs; here nothing is executed but one rebuild.
"""

import ast
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from grading.catalog import Catalog
from grading.classroom.similarity import Normal
from grading.hunts import by_stem, hunts
from grading.practice.interview.questions import Question, questions
from tests.questions.figures import numbers

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"

_spec = importlib.util.spec_from_file_location("notebooks_build", NOTEBOOKS / "build.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)
START = build.START

STEMS = build.stems()
HUNTS = [hunt.stem for hunt in hunts()]
# words of markdown that is not folded, code cells, plots: (least, most)
LIMITS = {
    "core": {"words": (1200, 3600), "code cells": (20, 50), "plots": (3, 9)},
    "further": {"words": (900, 1600), "code cells": (8, 30), "plots": (2, 5)},
}
HUNT_LIMITS = {"words": (900, 1400), "code cells": (8, 20), "plots": (2, 3)}
START_LIMITS = {"words": (300, 1500), "code cells": (2, 12), "plots": (1, 3)}
MOST_BYTES = 600 * 1024


def load(stem: str) -> dict:
    return json.loads((NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def code_cells(stem: str) -> list[dict]:
    return [cell for cell in load(stem)["cells"] if cell["cell_type"] == "code"]


def markdown(stem: str) -> str:
    return "\n\n".join(source(cell) for cell in load(stem)["cells"] if cell["cell_type"] == "markdown")


def printed(cell: dict) -> str:
    """The text that a code cell left: streams and text results, not the names of images."""
    texts = []
    for output in cell["outputs"]:
        texts.append("".join(output.get("text", [])))
        data = output.get("data", {})
        if "image/png" not in data:
            texts.append("".join(data.get("text/plain", [])))
    return "\n".join(texts)


def pictures(stem: str) -> list[dict]:
    outputs = (output for cell in code_cells(stem) for output in cell["outputs"])
    return [output for output in outputs if "image/png" in output.get("data", {})]


def headings(text: str) -> list[str]:
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.findall(r"^#{1,6} +(.+?) *$", without_code, flags=re.MULTILINE)


def anchors(stem: str) -> list[str]:
    return [heading.replace(" ", "-") for heading in headings(markdown(stem))]


def words(text: str) -> int:
    text = re.sub(r"<[^>]+>", " ", text)
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " formula ", text, flags=re.DOTALL)
    return len([word for word in text.split() if re.search(r"\w", word)])


each_notebook = pytest.mark.parametrize("stem", STEMS)
in_each_language = pytest.mark.parametrize("stem", [*STEMS, *build.translated()])
each_of_a_kata_or_hunt = pytest.mark.parametrize("stem", [stem for stem in STEMS if stem != START])
each_of_a_kata = pytest.mark.parametrize("stem", [stem for stem in STEMS if stem in Catalog().stems])


def test_there_is_a_map():
    assert STEMS[0] == START


def test_every_source_is_that_of_the_map_a_kata_or_a_hunt_and_every_notebook_has_one():
    assert sorted(path.stem for path in (NOTEBOOKS / "src").glob("*.py")) == sorted(STEMS)
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(STEMS)


@in_each_language
def test_source_and_notebook_agree(stem):
    got = load(stem)
    wanted = build.read_source(stem, build.repository_in(source(got["cells"][1])))
    assert [cell["id"] for cell in got["cells"]] == [cell.id for cell in wanted.cells]
    for new, old in zip(wanted.cells, got["cells"], strict=True):
        assert (new.cell_type, new.source, dict(new.metadata)) == (old["cell_type"], source(old), old["metadata"])
    assert got["metadata"] == wanted.metadata


@in_each_language
def test_every_code_cell_was_run_once_and_in_order(stem):
    counts = [cell["execution_count"] for cell in code_cells(stem)]
    assert counts == list(range(1, len(counts) + 1))


@in_each_language
def test_outputs_are_text_and_png_and_nothing_went_wrong(stem):
    for cell in code_cells(stem):
        for output in cell["outputs"]:
            assert output["output_type"] in {"stream", "display_data", "execute_result"}, source(cell)
            assert output.get("name", "stdout") == "stdout", f"standard error: {output.get('text')}"
            html = {"text/html"} if "graded" in tags(cell) else set()
            assert set(output.get("data", {})) <= {"text/plain", "image/png"} | html, source(cell)


@in_each_language
def test_no_path_or_address_of_a_machine(stem):
    notebook = load(stem)
    text = "\n".join([*map(source, notebook["cells"]), *map(printed, code_cells(stem)), str(notebook["metadata"])])
    found = re.findall(r"/(?:home|root|tmp|work|usr|mnt|opt|Users)/\S*|[A-Z]:\\\w\S*|\b0x[0-9a-f]{6,}\b", text)
    assert not found


@in_each_language
def test_time_is_measured_only_where_outputs_are_not_compared(stem):
    for cell in code_cells(stem):
        if "nbval-ignore-output" not in tags(cell):
            assert not re.search(r"\b(perf_counter|process_time|timeit|monotonic|time\.time)\b", source(cell))
            assert not re.search(r"\d ?(ms|us|µs|ns)\b", printed(cell)), printed(cell)
        assert not re.search(r"assert .*(seconds|elapsed|\btime)", source(cell)), "never assert a time"


@in_each_language
def test_printed_floats_have_at_most_three_significant_digits(stem):
    """More digits than that differ between processors and versions of PyTorch."""
    for cell in code_cells(stem):
        if "nbval-ignore-output" in tags(cell):
            continue
        for number in re.findall(r"(?<![\w.,])\d+\.\d+(?![.\d])", printed(cell)):
            digits = number.replace(".", "").lstrip("0")
            assert len(digits) <= 3 or number.endswith(".0"), f"{number} in:\n{printed(cell)}"


@in_each_language
def test_file_is_small(stem):
    assert (NOTEBOOKS / f"{stem}.ipynb").stat().st_size <= MOST_BYTES


@each_notebook
def test_length(stem):
    limits = START_LIMITS if stem == START else HUNT_LIMITS if stem in HUNTS else LIMITS[by_stem()[stem].track]
    unfolded = re.sub("<details>.*?</details>", "", markdown(stem), flags=re.DOTALL)
    counted = {"words": words(unfolded), "code cells": len(code_cells(stem)), "plots": len(pictures(stem))}
    assert all(limits[what][0] <= number <= limits[what][1] for what, number in counted.items()), counted


@in_each_language
def test_every_picture_says_what_it_shows_and_to_everybody(stem):
    """Few viewers show an alt text: the caption is printed too."""
    for cell in code_cells(stem):
        for output in cell["outputs"]:
            if "image/png" in output.get("data", {}):
                alt = output["metadata"].get("image/png", {}).get("alt", "")
                assert len(alt.split()) >= 8, f"alt text: {alt!r}"
                assert " ".join(alt.split()) in " ".join(printed(cell).split())


def test_every_drawing_stands_in_one_notebook_with_its_code_folded():
    functions = [node for node in ast.parse(build.DRAWINGS.read_text(encoding="utf-8")).body if build._defines(node)]
    drawings = [node.name for node in functions if isinstance(node, ast.FunctionDef) and not node.args.args]
    cells = [cell for stem in STEMS for cell in code_cells(stem) if "drawing" in tags(cell)]
    assert sorted(source(cell).rsplit("show(*")[-1].removesuffix("())") for cell in cells) == sorted(drawings)
    assert all(cell["metadata"]["jupyter"] == {"source_hidden": True} for cell in cells)


@in_each_language
def test_set_up_and_plotting_are_folded_and_what_they_plot_is_not(stem):
    for cell in code_cells(stem):
        folded = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        assert folded == bool(re.search(r"plt\.subplots\(|def show\(|^show\(|sys\.path", source(cell), re.MULTILINE))
        if "plt.subplots(" in source(cell) and "drawing" not in tags(cell) and build.START not in stem:
            assert re.match(r"fig, |def \w+_picture\(", source(cell))


def test_what_a_slider_moves_is_shown_still_before_it():
    cells = [(stem, cell) for stem in STEMS for cell in code_cells(stem) if "slider" in tags(cell)]
    assert cells
    for stem, cell in cells:
        assert cell["outputs"] == []
        assert "nbval-ignore-output" in tags(cell)
        shown = re.search(r"interact\(\s*(\w+)", source(cell))[1]
        before = [each for each in code_cells(stem) if f"\n{shown}(" in source(each)]
        assert any("image/png" in output.get("data", {}) for output in before[0]["outputs"])


@each_notebook
def test_headings_are_distinct_and_make_links(stem):
    found = headings(markdown(stem))
    assert len(found) == len(set(found))
    # a link to a heading with mark-up or punctuation is spelled differently by each viewer
    assert [heading for heading in found[1:] if not re.fullmatch(r"[A-Za-z0-9][\w -]*", heading)] == []


@each_notebook
def test_opening(stem):
    cells = load(stem)["cells"]
    first, setup = source(cells[0]), cells[1]
    name = build.repository_in(source(setup))
    assert first.startswith("# ")
    assert ("colab-badge.svg" in first) == bool(name)
    assert f"{name}/blob/HEAD/notebooks/{stem}.ipynb" in first or not name
    assert "minutes" in first
    if stem != START:
        assert ("python grader.py debug" if stem in HUNTS else f"python grader.py check {stem}") in first
    assert tags(setup) == ["setup"]
    assert source(setup) == source(load(START)["cells"][1]), "the set-up is the same everywhere"
    assert setup["outputs"] == []


def minutes(cell: dict) -> float:
    """Reading time: 200 words, 8 formulas or 30 lines of code a minute; nothing for what is folded or only asserts."""
    text = source(cell)
    if cell["cell_type"] == "markdown":
        text = re.sub("<details>.*?</details>", "", text, flags=re.DOTALL)
        return words(text) / 200 + len(re.findall(r"\$\$.*?\$\$|\$[^$]*\$", text, flags=re.DOTALL)) / 8
    lines = [line for line in text.split("\n") if line.strip()]
    asserts = text.startswith("# checks:") and text.count("assert ") > len(lines) / 2
    folded = "jupyter" in cell["metadata"] or {"setup", "graded"} & set(tags(cell))
    return 0 if asserts or folded else len(lines) / 30


def minutes_of_section(stem: str, anchor: str) -> float:
    """The reading time from a heading to the next one of its level."""
    level, found = 0, 0.0
    for cell in load(stem)["cells"]:
        pieces = re.split(r"^(#+ .+)$", source(cell), flags=re.MULTILINE) if cell["cell_type"] == "markdown" else [None]
        for piece in pieces:
            if heading := re.fullmatch(r"(#+) +(.+?) *", piece or ""):
                here = heading[2].replace(" ", "-") == anchor
                level = len(heading[1]) if here else 0 if level >= len(heading[1]) else level
            if level:
                found += minutes(cell if piece is None else cell | {"source": piece})
    return found


@each_notebook
def test_times_are_honest(stem):
    first = source(load(stem)["cells"][0])
    told = int(re.search(r"Reading time: (\d+) minutes", first)[1])
    read = sum(minutes(cell) for cell in load(stem)["cells"])
    assert read <= told <= 1.3 * read, f"{read:.0f} minutes"
    assert re.search(r"\*\*After this (notebook|page)\s+you can\*\*", first)
    if stem != START:
        path = re.search(r"Short of time\? (\d+) minutes: (.*?)\n\n", first, flags=re.DOTALL)
        short = sum(minutes_of_section(stem, anchor) for anchor in re.findall(r"\(#([^)]+)\)", path[2]))
        assert short <= int(path[1]) <= 1.3 * short, f"{short:.0f} minutes"
        assert 0.25 * told <= int(path[1]) <= 0.4 * told, "about a third"


def test_no_placeholder_stands_for_the_repository():
    for path in [*NOTEBOOKS.rglob("*.py"), *NOTEBOOKS.glob("*.ipynb")]:
        assert "OWNER" not in path.read_text(encoding="utf-8"), path.name


@each_notebook
def test_the_set_up_finds_the_repository_from_anywhere_below_it(stem):
    """In a process of its own, started in the notebook's folder: no path leads to the engine there but this one."""
    program = source(load(stem)["cells"][1]) + "\nimport grading\nprint(Path(grading.__file__).parent)"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=NOTEBOOKS, env=clean, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == ROOT / "grading"


def test_without_the_repository_the_set_up_says_so_and_goes_on(tmp_path):
    command = [sys.executable, "-c", source(load(START)["cells"][1])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "cannot be graded" in done.stdout


REMOTES = {
    "https://github.com/me/my.katas.git": "me/my.katas",
    "git@github.com:me/katas.git": "me/katas",
    "ssh://git@github.com/me/katas": "me/katas",
    "https://gitlab.com/me/katas.git": "",
    "": "",
}


@pytest.mark.parametrize("remote", REMOTES)
def test_the_address_in_the_set_up_is_that_of_the_remote(remote, tmp_path, monkeypatch):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    if remote:
        subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", remote], check=True)
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    name = build.repository()
    assert name == REMOTES[remote]
    title, setup, *_ = build.read_source(START, name).cells
    assert (f'"https://github.com/{name}"' if name else 'attention-katas"), ""') in setup.source
    assert (f"github/{name}/blob/HEAD/notebooks/{START}.ipynb" in title.source) == bool(name)
    assert "<!--" not in title.source


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone: there is nothing to clone from")
def test_in_colab_the_set_up_clones_the_repository(tmp_path):
    """Colab is make-believe here; what pip would fetch for it is left out."""
    colab = 'import sys, types\nsys.modules["google.colab"] = types.ModuleType("google.colab")\n'
    setup = build.SETUP.format(address=ROOT.as_uri())
    command = [sys.executable, "-c", f"{colab}{setup}\nimport grading\nprint(grading.__file__)"]
    environment = {**os.environ, "PIP_NO_INDEX": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "attention-katas" / "grading" / "__init__.py"), done.stderr


@each_of_a_kata
def test_it_ends_with_the_stub_as_a_cell_that_is_graded(stem):
    graded = [cell for cell in code_cells(stem) if "graded" in tags(cell)]
    assert len(graded) == 1
    assert source(graded[0]).startswith(f"%%kata {stem}\n")
    assert "nbval-ignore-output" in tags(graded[0]), "a reader's right answer is no failure of the notebook"
    assert "NotImplementedError" in source(graded[0])
    assert "not started" in "".join("".join(output["data"]["text/plain"]) for output in graded[0]["outputs"])


@each_of_a_kata_or_hunt
def test_a_reader_does_something(stem):
    text = markdown(stem)
    assert text.count("**Predict.**") >= 5
    for paragraph in re.findall(r"\*\*Predict\.\*\*.*?(?=\n\n|\Z)", text, flags=re.DOTALL):
        assert paragraph.rstrip().endswith("?"), f"a prediction asks: {paragraph}"
    solutions = re.findall(r"<details><summary>Solution</summary>\n\n.+?</details>", text, flags=re.DOTALL)
    assert len(solutions) >= 2


# ---- questions ----


def own_questions(stem: str) -> dict[str, Question]:
    """Key -> question of the kata or hunt."""
    return {each.key: each for each in questions(by_stem()[stem])}


def checks(stem: str) -> dict[str, list[dict]]:
    """Key of a question -> the cells that say they check it."""
    found: dict[str, list[dict]] = {}
    for cell in code_cells(stem):
        if match := re.match(r"# checks: ([a-z0-9-]+(?:, [a-z0-9-]+)*)", source(cell)):
            assert "assert" in source(cell)
            for name in match[1].split(", "):
                found.setdefault(name, []).append(cell)
    return found


@each_of_a_kata_or_hunt
def test_all_questions_are_there(stem):
    assert len(own_questions(stem)) >= 8
    assert build.folded_questions(stem) in markdown(stem)


@each_of_a_kata
def test_checks_name_questions_that_are_there(stem):
    assert set(checks(stem)) <= set(own_questions(stem))


@each_of_a_kata
def test_every_number_in_an_answer_is_asserted(stem):
    """0, 1 and 2 are too common to look for."""
    for name, each in own_questions(stem).items():
        wanted = numbers(" ".join((each.say, each.measured, each.follow_up))) - {0, 1, 2}
        cells = checks(stem).get(name, [])
        asserted = set().union(*(numbers(source(cell)) for cell in cells)) if cells else set()
        assert wanted <= asserted, f"{name}: {sorted(wanted - asserted)} in no cell that checks it"


# ---- self-contained, no spoilers ----


def tree(cell: dict) -> ast.Module:
    return ast.parse(re.sub(r"^[%!].*$", "", source(cell), flags=re.MULTILINE))


@each_notebook
def test_nothing_is_imported_from_the_katas_or_the_engine(stem):
    forbidden = {"problems", "solutions", "grading", "tests"}
    for cell in code_cells(stem):
        for node in ast.walk(tree(cell)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not forbidden & {name.split(".")[0] for name in names}
        assert not re.search(r"\b(problems|solutions)[./]\w", source(cell))


def anonymous(statements: list[ast.stmt]) -> list[str]:
    """Statements as text without names; a value that is returned and one that is assigned are the same."""
    walk = Normal()
    dumped = []
    for statement in statements:
        node = ast.parse(ast.unparse(statement)).body[0]
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        kept = node.value if isinstance(node, ast.Return | ast.Expr) or isinstance(target, ast.Name) else node
        normal = walk.visit(kept) if kept else None  # an import is nothing
        dumped.append(ast.dump(normal) if normal else "nothing")
        if isinstance(target, ast.Name):
            walk.visit(target)  # so that later uses of the name are numbered alike
    return dumped


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(ast.Constant(str())), *rest]:
            return rest
    return body


def bodies(module: ast.Module) -> list[list[ast.stmt]]:
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    return [without_docstring(node.body) for node in functions if without_docstring(node.body)]


def blocks(module: ast.Module) -> list[list[ast.stmt]]:
    """Every run of statements: the module's, and each body inside it."""
    return [without_docstring(node.body) for node in ast.walk(module) if isinstance(getattr(node, "body", None), list)]


def shows(module: ast.Module, body: list[ast.stmt]) -> bool:
    wanted = anonymous(body)
    return any(
        anonymous(block[start : start + len(body)]) == wanted
        for block in blocks(module)
        for start in range(len(block) - len(body) + 1)
    )


REFERENCES = {
    f"{path.stem}, line {body[0].lineno}": body
    for path in sorted((ROOT / "solutions").glob("*.py"))
    for body in bodies(ast.parse(path.read_text(encoding="utf-8")))
}


def test_the_search_for_spoilers_finds_a_copy_with_other_names():
    assert REFERENCES
    for text in (path.read_text(encoding="utf-8") for path in (ROOT / "solutions").glob("*.py")):
        renamed = re.sub(r"\b(scores|weights|query|key|value|mask|allowed)\b", r"my_\1", text)
        renamed = re.sub(r"\.my_", ".", renamed)
        for body in bodies(ast.parse(text)):
            assert shows(ast.parse(renamed), body)
    one_line = "def f(m, dtype):\n    return torch.zeros(m.shape, dtype=dtype).masked_fill(~m, -math.inf)"
    assert any(shows(ast.parse(one_line), body) for body in REFERENCES.values())


@each_notebook
def test_no_body_of_a_reference_solution_is_shown(stem):
    for cell, (name, body) in itertools.product(code_cells(stem), REFERENCES.items()):
        assert not shows(tree(cell), body), f"this is solutions/{name}:\n{source(cell)}"


# ---- links ----


def linked_sections() -> list[tuple[str, str, str]]:
    """(file, notebook, anchor) for every link to a section of a notebook in the repository."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((NOTEBOOKS / "src").glob("*.py"))]
    files += [path for path in sorted((ROOT / "grading").rglob("*")) if path.suffix in {".py", ".toml"}]
    found = []
    for path in (path for path in files if path.exists()):
        text = path.read_text(encoding="utf-8")
        found += [(path.name, *link) for link in re.findall(r"(\w+)\.ipynb#([\w-]+)", text)]
        if path.parent == NOTEBOOKS / "src":
            found += [(path.name, path.stem, link) for link in re.findall(r"\]\(#([^)]+)\)", text)]
    return found


@pytest.mark.parametrize("stem", STEMS)
def test_every_linked_section_is_there(stem):
    known = anchors(stem)
    missing = [
        (file, anchor) for file, notebook, anchor in linked_sections() if notebook == stem and anchor not in known
    ]
    assert not missing, f"sections of {stem}: {known}"


def test_every_linked_notebook_is_there():
    assert {notebook for _, notebook, _ in linked_sections()} <= set(STEMS)


def test_a_rebuild_gives_the_same_bytes():
    """`python notebooks/build.py --check` does this for all, against the committed files of this machine."""
    assert build.build(START) == build.build(START)
