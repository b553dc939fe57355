"""Build the notebooks: notebooks/src/NAME.py (jupytext percent format) -> notebooks/NAME.ipynb, executed.

    python notebooks/build.py                 every notebook
    python notebooks/build.py --check         build in memory; exit 1 where the committed file differs
    python notebooks/build.py --fresh         do not carry timings over
    python notebooks/build.py zh/mha          the Chinese one of mha

What is the same in all of them, or stands elsewhere, is put in here: the set-up (a cell tagged `setup`), the Colab
badge (`<!-- badge -->`), the interview questions of katas/<kata>/questions.toml (`<!-- questions -->`), the code of a
drawing in drawings.py (`# drawing: NAME` in a cell tagged `drawing`), and the stub of the kata as a cell that is graded
(a cell tagged `graded`).

A notebook in zh/ has the sections of the English one whose prose notebooks/src/zh/NAME.md has in Chinese, with the same
code. There a line `<!-- cell: 1a2b3c4d -->` stands before the translation of the English cell with this digest.

The outputs of a cell tagged `slider` are left out: they are nothing without a kernel.

A rebuild on the same machine is byte-identical: cell ids are numbers and times of execution are not recorded. The
outputs of a cell tagged nbval-ignore-output (timings) are carried over from the committed file as long as its source
and those of the cells before it stand as they are, the set-up aside: it computes nothing. A graded cell is graded anew.
"""

import argparse
import ast
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCES = FOLDER / "src"
DRAWINGS = FOLDER / "drawings.py"
START = "start_here"
sys.path.insert(0, str(FOLDER.parent))  # the catalog of katas
NOT_COMPARED = "nbval-ignore-output"
SETUP = """import subprocess
import sys
from pathlib import Path

# The repository is wherever grader.py is: above this notebook, or, for a notebook opened alone, in a clone of its own.
clone, address = Path("attention-katas"), "{address}"
if "google.colab" in sys.modules and address and not clone.exists():
    subprocess.run(["git", "clone", "--quiet", "--depth=1", address, str(clone)], check=False)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", str(clone)], check=False)
folders = [folder for folder in (Path.cwd(), *Path.cwd().parents, clone) if (folder / "grader.py").is_file()]
if folders:
    sys.path.insert(0, str(folders[0].resolve()))
else:
    print("This notebook runs without its repository, but the cell at its end cannot be graded: clone it first.")"""
BADGE = (
    "[![Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/{name}/blob/HEAD/notebooks/{stem}.ipynb)"
)
# One thread: with several, the order of a sum, and so its last digit, is not fixed.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "JUPYTER_PLATFORM_DIRS": "1",
}


def stems() -> list[str]:
    """The map, then the notebook of every kata that has one, in the order of the catalog, and of every such hunt."""
    from grading.catalog import Catalog
    from grading.hunts import hunts

    every = (START, *Catalog().stems, *(hunt.stem for hunt in hunts()))
    return [stem for stem in every if (SOURCES / f"{stem}.py").exists()]


def translated() -> list[str]:
    """The notebooks in Chinese, as folder/stem."""
    return [f"zh/{stem}" for stem in stems() if (SOURCES / "zh" / f"{stem}.md").exists()]


def target(stem: str) -> Path:
    """Where the notebook of a stem is kept."""
    return FOLDER / f"{stem}.ipynb"


def repository() -> str:
    """owner/name on GitHub, as the remote `origin` has it; empty without one."""
    command = ["git", "-C", str(FOLDER), "remote", "get-url", "origin"]
    remote = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    found = re.fullmatch(r"(?:https://|ssh://git@|git@)github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?", remote)
    return found[1] if found else ""


def repository_in(setup: str) -> str:
    """The owner/name that a notebook's set-up was built with: a fork's remote is another one than its notebooks'."""
    found = re.search(r'address = Path\("attention-katas"\), "https://github\.com/([^"]*)"', setup)
    return found[1] if found else ""


def read_source(stem: str, name: str):
    """The notebook that a percent script describes: all of it there, ids and metadata set, nothing executed."""
    from nbformat.v4 import new_notebook

    kata, cells = stem.rpartition("/")[2], read_cells(stem)
    drawn: set[str] = set()  # the parts of drawings.py that a cell before has
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number:02d}"
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            cell.source = _with_badge(cell.source, stem, name).replace("<!-- questions -->", folded_questions(kata))
        elif "setup" in tags:
            cell.source = SETUP.format(address=f"https://github.com/{name}" if name else "")
        elif "drawing" in tags:
            cell.source = _drawing(cell.source.removeprefix("# drawing: "), drawn)
        elif "graded" in tags:
            cell.source = f"%%kata {kata}\n{_stub(kata)}"
        cell.metadata = ({"tags": tags} if tags else {}) | (
            {"jupyter": {"source_hidden": True}} if _folds(cell) else {}
        )
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"},
    }
    return new_notebook(cells=cells, metadata=metadata)


def read_cells(stem: str) -> list:
    """The cells of a percent script; for zh/NAME those of the sections that are translated, in Chinese."""
    import jupytext

    folder, _, kata = stem.rpartition("/")
    cells = jupytext.read(SOURCES / f"{kata}.py", fmt="py:percent").cells
    return _in_other_words(cells, translations(stem)) if folder else cells


def translations(stem: str) -> dict[str, str]:
    """Digest of a cell of English prose -> its translation."""
    pieces = re.split(
        r"^<!-- cell: (\w+) -->\n", (SOURCES / f"{stem}.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    return {key: text.strip() for key, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def sections(cells: list) -> list[list]:
    """What stands before the first heading of level 2, then the cells of each section with such a heading."""
    found: list[list] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            found.append([])
        found[-1].append(cell)
    return found


def _in_other_words(cells: list, prose: dict[str, str]) -> list:
    """The cells of the sections that `prose` has, with its words; a section of which it has only a part is an error."""
    kept = [section for section in sections(cells) if any(digest(cell.source) in prose for cell in section)]
    missing = []
    for cell in (cell for section in kept for cell in section if cell.cell_type == "markdown"):
        key = digest(cell.source)
        missing += [] if key in prose else [f"<!-- cell: {key} -->\n{cell.source}\n"]
        cell.source = prose.get(key, "")
    if missing:
        raise SystemExit("not translated, or changed since:\n" + "\n".join(missing))
    return [cell for section in kept for cell in section]


def _with_badge(text: str, stem: str, name: str) -> str:
    return text.replace("<!-- badge -->\n\n", f"{BADGE.format(name=name, stem=stem)}\n\n" if name else "")


def _folds(cell) -> bool:
    """Set-up and plotting are folded: a drawing, a cell that makes a figure, the one that defines `show`."""
    tagged = {"drawing", "setup"} & set(cell.metadata.get("tags", []))
    return cell.cell_type == "code" and bool(tagged or re.search(r"plt\.subplots\(|def show\(", cell.source))


def _drawing(name: str, drawn: set[str]) -> str:
    """The code that shows a drawing: its function, and what that uses of drawings.py and is not `drawn` yet."""
    text = DRAWINGS.read_text(encoding="utf-8")
    parts = {defined: node for node in ast.parse(text).body for defined in _defines(node)}
    wanted, unread = set(), [name]
    while unread:
        wanted.add(used := unread.pop())
        names = {node.id for node in ast.walk(parts[used]) if isinstance(node, ast.Name)}
        unread += [other for other in names if other in parts and other not in wanted]
    new = dict.fromkeys(parts[part] for part in parts if part in wanted - drawn)
    drawn |= wanted
    return "\n\n\n".join([ast.get_source_segment(text, node) for node in new] + [f"show(*{name}())"])


def _defines(node: ast.stmt) -> list[str]:
    """The names that a function or an assignment of drawings.py gives to the file."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def _stub(stem: str) -> str:
    from grading.catalog import Catalog
    from grading.stubs import stub

    return stub(Catalog()[stem])


def folded_questions(stem: str) -> str:
    """The questions of a kata or a hunt, numbered, each folded over what to say and what comes of it."""
    from grading.hunts import by_stem
    from grading.practice.interview.questions import questions

    every = questions(by_stem()[stem]) if stem in by_stem() else []
    return "\n\n".join(_folded(number, question) for number, question in enumerate(every, start=1))


def _folded(number: int, question) -> str:
    from grading.practice.interview.deck import literal

    rows = {"": question.say, "**Behind it.** ": question.measured}
    rows |= {"**Asked next.** ": question.follow_up, "**Red flag.** ": question.red_flag}
    text = "\n\n".join(literal(f"{label}{row}") for label, row in rows.items() if row)
    heading = f"Q{number}. {question.question} <i>({question.level}, {question.topic})</i>"
    return f"<details><summary>{heading}</summary>\n\n{text}\n\n</details>"


def execute(notebook, timeout: int = 60):
    """Run every cell in a fresh kernel; an exception in a cell is raised here."""
    from nbclient import NotebookClient

    os.environ.update(ENVIRONMENT)
    metadata = dict(notebook.metadata)
    NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()
    notebook.metadata = metadata  # the kernel adds its version
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
            cell.metadata.pop("execution", None)
            if "slider" in cell.metadata.get("tags", []):
                cell.outputs = []
    return notebook


def _joined(outputs: list) -> list:
    """Pieces of one stream arrive in as many parts as the kernel likes: one part each."""
    joined: list = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def carry_over(notebook, committed) -> None:
    """Give cells that are not compared the outputs they had, as long as nothing up to them has changed."""
    from itertools import takewhile

    def stands(pair) -> bool:
        new, old = pair
        return new.source == old.source or "setup" in new.metadata.get("tags", [])

    for new, old in takewhile(stands, zip(notebook.cells, committed.cells, strict=False)):
        if NOT_COMPARED in (tags := new.metadata.get("tags", [])) and "graded" not in tags:
            new.outputs = old.outputs


def build(stem: str, fresh: bool = False) -> str:
    """The text of the executed notebook."""
    import nbformat

    committed = nbformat.read(target(stem), as_version=4) if target(stem).exists() else None
    name = repository() or (repository_in(committed.cells[1].source) if committed else "")
    notebook = execute(read_source(stem, name))
    if not fresh and committed:
        carry_over(notebook, committed)
    return nbformat.writes(notebook) + "\n"


def chosen(names: list[str]) -> list[str]:
    """The notebooks of these names, all where there are none, in their order."""
    known = [*stems(), *translated()]
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no such notebook: {' '.join(unknown)}; there are {' '.join(known)}")
    return [stem for stem in known if not names or stem in names]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    parser.add_argument("--fresh", action="store_true", help="take new outputs for cells that are not compared")
    options = parser.parse_args(arguments)
    differing = []
    for stem in chosen(options.names):
        text = build(stem, options.fresh)
        same = target(stem).exists() and target(stem).read_text(encoding="utf-8") == text
        if options.check:
            differing += [] if same else [stem]
        else:
            target(stem).write_text(text, encoding="utf-8")
        print(f"{stem}: {len(text) // 1024} KB, {'as before' if same else 'differs' if options.check else 'written'}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
