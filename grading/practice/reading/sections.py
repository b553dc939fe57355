"""The sections of a notebook, with the anchors that links to them have, as Markdown for a terminal."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.catalog import ROOT
from grading.practice.reading.formulas import outside_code, without_formulas

FOLDER = ROOT / "notebooks"
HIDDEN = {"setup", "drawing", "graded", "slider"}  # tags of cells whose code is nothing to read
FENCE = re.compile(r"^```", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A heading, and what stands under it up to the next one of any level."""

    anchor: str
    level: int
    markdown: str


def sections(stem: str, language: str = "en") -> list[Section]:
    """All of a notebook's, in order: the first is its beginning. Raises OSError or ValueError where it is not built."""
    cells = json.loads((FOLDER / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]
    prose = _translations(stem, language)
    found = [Section("", 1, "")]
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] != "markdown":
            found[-1] = _longer(found[-1], _code(cell, text))
            continue
        english = list(_parts(text))
        told = list(_parts(prose.get(hashlib.sha256(text.encode()).hexdigest()[:8], text)))
        for number, (heading, level, own) in enumerate(english):
            shown = told[number][2] if len(told) == len(english) else own
            if level > 1:
                found.append(Section(heading.replace(" ", "-"), level, ""))
            found[-1] = _longer(found[-1], _readable(shown, stem))
    return found


def section(all_sections: list[Section], anchor: str) -> str | None:
    """A section with all that is under it; None where there is no such one."""
    starts = [i for i, each in enumerate(all_sections) if each.anchor.lower() == anchor.lower()]
    if not starts:
        return None
    first = all_sections[starts[0]]
    texts = [first.markdown]
    for each in all_sections[starts[0] + 1 :]:
        if each.level <= first.level:
            break
        texts.append(each.markdown)
    return "\n\n".join(texts)


def _longer(before: Section, text: str) -> Section:
    return Section(before.anchor, before.level, f"{before.markdown}\n\n{text}".strip() if text else before.markdown)


def _translations(stem: str, language: str) -> dict[str, str]:
    """The cells of prose in another language, by a digest of the English ones."""
    path = FOLDER / "src" / language / f"{stem}.md"
    if not path.is_file():
        return {}
    pieces = re.split(r"^<!-- cell: (\w+) -->\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {key: text.strip() for key, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def _parts(text: str) -> Iterator[tuple[str, int, str]]:
    """A cell cut at its headings: the heading, its level (0 for what stands before the first), the text with it."""
    lines: list[str] = []
    heading, level, fenced = "", 0, False
    for line in text.splitlines():
        fenced ^= bool(FENCE.match(line))
        found = None if fenced else re.match(r"(#{1,6}) (.+?) *$", line)
        if found:
            if lines:
                yield heading, level, "\n".join(lines)
            heading, level, lines = found[2], len(found[1]), []
        lines.append(line)
    yield heading, level, "\n".join(lines)


def _readable(text: str, stem: str) -> str:
    """Markdown without HTML, with links to other sections as `read` takes them, and without formulas."""

    def change(part: str) -> str:
        part = re.sub(r"<!--.*?-->|\[!\[.*?\]\(.*?\)\]\(.*?\)", "", part, flags=re.DOTALL)
        part = re.sub(r"<summary>(.*?)</summary>", r"\n\n**\1**\n\n", part, flags=re.DOTALL)
        part = re.sub(r"</?[a-z][^>]*>", "", part)
        part = re.sub(r"\[([^\]]*)\]\((\w+)\.ipynb(#[\w-]+)?\)", r"\1 (\2\3)", part)
        return re.sub(r"\[([^\]]*)\]\((#[\w-]+)\)", rf"\1 ({stem}\2)", part)

    return without_formulas(outside_code(text, change)).strip()


def _code(cell: dict[str, Any], source: str) -> str:
    """The code, unless it only draws, and what it printed."""
    metadata = cell.get("metadata", {})
    hidden = HIDDEN & set(metadata.get("tags", [])) or metadata.get("jupyter", {}).get("source_hidden")
    printed = "".join("".join(_printed(output)) for output in cell.get("outputs", [])).rstrip()
    parts = [] if hidden or source.startswith("# checks:") else [f"```python\n{source}\n```"]
    if printed and "graded" not in metadata.get("tags", []):
        parts.append(f"```text\n{printed}\n```")
    return "\n\n".join(parts)


def _printed(output: dict[str, Any]) -> list[str]:
    """The text of an output; of a figure its caption is printed beside it."""
    if output["output_type"] == "stream":
        return list(output["text"])
    data = output.get("data", {})
    return [] if "image/png" in data else [*data.get("text/plain", []), "\n"]


def path_of(stem: str) -> Path:
    """The notebook."""
    return FOLDER / f"{stem}.ipynb"
