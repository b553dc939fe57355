"""The engine's files: what may import what, how long a file or function may be, and that none names a kata."""

import ast
import io
import re
import tokenize

import pytest

from grading.catalog import ROOT, TRACKS, Catalog

FILE, FUNCTION = 350, 32  # lines
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "grading").rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def order():
    """The parts of the engine as CONTRIBUTING.md lists them: each imports from those before it only."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = re.search(r"```text\n(catalog.*?)```", text, re.DOTALL)
    assert block, "CONTRIBUTING.md shows no order of imports"
    return [f"grading.{line.split()[0]}" for line in block[1].splitlines()]


def imported(name):
    """The engine's files that a file imports, at its top or inside a function."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "grading":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in FILES else node.module


def part_of(name):
    """The part that a file belongs to; None for those that only say what is in a folder, and for the package."""
    return next((part for part in sorted(order(), key=len, reverse=True) if f"{name}.".startswith(f"{part}.")), None)


def test_every_file_belongs_to_a_part():
    folders = {name for name, path in FILES.items() if path.name == "__init__.py"}
    assert not [name for name in FILES if part_of(name) is None and name not in folders]
    assert not [part for part in order() if part not in FILES], "a part that is not there"


def test_imports_go_one_way():
    parts = order()
    for name in FILES:
        for other in imported(name):
            if part_of(name) and part_of(other):
                assert parts.index(part_of(other)) <= parts.index(part_of(name)), f"{name} imports {other}"


def test_no_files_import_each_other_in_a_circle():
    done: set[str] = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in set(imported(name)):
                visit(other, [*path, name])
            done.add(name)

    for name in FILES:
        visit(name, [])


@pytest.mark.parametrize("name", FILES)
def test_files_and_functions_are_short(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= FILE
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION, node.name


@pytest.mark.parametrize("name", [name for name, path in FILES.items() if path.name == "__init__.py"])
def test_a_folder_says_what_is_in_it(name):
    """What comes in and goes out, and in which order to read: every file of it is named, or a folder of files is."""
    text = ast.get_docstring(TREES[name]) or ""
    inside = {other.split(".")[name.count(".") + 1] for other in FILES if other.startswith(f"{name}.")}
    assert not {each for each in inside if not re.search(rf"\b{each}\b", text)}


def words(path):
    """The words of a file; of Python files those of the code, without comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return set(re.findall(r"\w+", text))
    owners = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef))
    docstrings = {owner.body[0].lineno for owner in owners if ast.get_docstring(owner) is not None}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    code = (t for t in tokens if t.type != tokenize.COMMENT)
    return {word for t in code if t.start[0] not in docstrings for word in re.findall(r"\w+", t.string)}


def test_the_engine_and_its_tests_name_no_kata():
    """Of the first track, that is: a kata of the other may be called by a word that everybody uses."""
    stems = {kata.stem for kata in Catalog().katas if kata.track == TRACKS[0]}
    files = [path for folder in ("grading", "tests/engine") for path in (ROOT / folder).rglob("*.*") if path.is_file()]
    found = {path.name: stems & words(path) for path in files if "__pycache__" not in path.parts}
    assert not {name: each for name, each in found.items() if each}
