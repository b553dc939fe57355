"""The engine's files: what may import what, and how long a file or function may be."""

import ast
import re

import pytest

from grading.catalog import ROOT

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
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION, node.name


@pytest.mark.parametrize("name", [name for name, path in FILES.items() if path.name == "__init__.py"])
def test_a_folder_says_what_is_in_it(name):
    """What comes in and goes out, and in which order to read: every file of it is named, or a folder of files is."""
    text = ast.get_docstring(TREES[name]) or ""
    inside = {other.split(".")[name.count(".") + 1] for other in FILES if other.startswith(f"{name}.")}
    assert not {each for each in inside if not re.search(rf"\b{each}\b", text)}
