"""docs/sources.md has every claim and every error of the five sources once, each with its place and its figures."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")

CLAIMS = """
A: sdpa-formula mha mha-3d-mask mha-shape-test gqa-repeat-interleave gqa-group-comment gqa-kv-cache cache-step-loop
   cache-motivation line-budget
B: gqa-benefit mha mha-4d-mask head-dim-scale view-contiguous dropout-place gqa gqa-add-mask mqa-kv1
C: attention-demo additive-causal-mask flash-2-4x hf-flash-switch head-count-example gqa-init kv-cache-steps
   hf-use-cache
D: sdpa-layout gqa-shapes layout-swap group-split scores-einsum softmax-out shared-weights-claim mqa-mha-limits
   gqa-speed-quality torch-official-gqa fkodom
E: attention-origin rnn-vs-attention fewer-params-claim weighted-sum-steps mt-attention word-embedding-code
   self-vs-attention cross-attention shape-table z-rows attention-map masked-self-attention why-sqrt-dk no-scaling-t5
   why-wq-ne-wk why-qk-dot why-qkv projection-benefits complexity-n2d param-count-4h2-4h long-range parallelism
   padding-mask attention-vs-fc ffn-up-down mha-idea mha-formula llama2-sizes mha-flow-dims multihead-benefit
   head-patterns head-count-table head-count-trend bandwidth-problem low-rank 768x64x12 annotated-mha annotated-rewrite
   annotated-example llama-attention mha-mqa-gqa
Q: fc essence no-qkv k-equals-v padding bert-mask xlnet sqrt no-sqrt wq-wk why-qk why-qkv complexity params long-range
   parallel ffn heads-good heads-many mha-problem 768
"""
ERRORS = [f"E{number:02d}" for number in range(1, 42)] + ["E38b"]


def claims() -> list[str]:
    groups = re.findall(r"^([A-Z]): (.*(?:\n   .*)*)", CLAIMS, flags=re.MULTILINE)
    return [f"{source}-{name}" for source, names in groups for name in names.split()]


def table_rows(columns: int) -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| id")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if len(row) == columns]


def test_every_claim_stands_there_once():
    assert [row[0] for row in table_rows(4)] == claims()


def test_every_error_stands_there_once():
    assert sorted(row[0] for row in table_rows(6)) == sorted(ERRORS)


@pytest.mark.parametrize("row", table_rows(4) + table_rows(6), ids=lambda row: row[0])
def test_a_row_is_complete_and_leads_somewhere(row):
    assert all(row)
    assert re.search(r"\.ipynb#|kata|out of scope", row[-1])


def test_an_error_named_in_a_verdict_is_an_error():
    assert {error for row in table_rows(4) for error in re.findall(r"\bE\d\d\b", row[2])} <= set(ERRORS)


def section(stem: str, anchor: str) -> str:
    """Prose, code and printed output under a heading of a notebook, down to the next one of its level."""
    cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]
    level, found = 0, []
    for cell in cells:
        lines = "".join(cell["source"]).split("\n")
        lines += [line for output in cell.get("outputs", []) for line in "".join(output.get("text", [])).split("\n")]
        for line in lines:
            if cell["cell_type"] == "markdown" and (heading := re.match(r"(#+) +(.+?) *$", line)):
                here = heading[2].replace(" ", "-") == anchor
                level = len(heading[1]) if here else 0 if level >= len(heading[1]) else level
            if level:
                found.append(line.removeprefix("# ") if cell["cell_type"] == "code" else line)
    return " ".join(" ".join(found).split())


@pytest.mark.parametrize("row", table_rows(4) + table_rows(6), ids=lambda row: row[0])
def test_the_key_phrase_of_a_link_stands_where_it_leads(row):
    links = re.findall(r"\]\(\.\./([^) ]+)(?: \"([^\"]*)\")?\)", row[-1])
    assert links
    for address, phrase in links:
        path, _, anchor = address.partition("#")
        text = section(Path(path).stem, anchor) if anchor else (ROOT / path).read_text(encoding="utf-8")
        assert text, f"no such section: {address}"
        assert phrase, f"a link without its phrase: {address}"
        assert phrase in text, f"{address} has no word of it: {phrase}"


# ---- figures ----


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("sources_measure", ROOT / "docs" / "sources" / "measure.py")
    measure = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measure)
    return measure.figures()


NUMBER = r"(?<![\w.])\d[\d,]*(?:\.\d+)?"


def test_the_figures_are_those_that_the_script_measures(figures):
    """Another machine draws other last digits: words are compared exactly, numbers to a tenth."""
    assert figures["agreement"] in " ".join(PAGE.split())
    assert set(figures) - {"agreement"} <= {row[0] for row in table_rows(6)}
    for row in table_rows(6):
        if row[0] in figures:
            page, script = row[4], figures[row[0]]
            assert re.sub(NUMBER, "N", page) == re.sub(NUMBER, "N", script)
            for had, has in zip(re.findall(NUMBER, page), re.findall(NUMBER, script), strict=True):
                assert float(has.replace(",", "")) == pytest.approx(float(had.replace(",", "")), rel=0.1, abs=0.1)


@pytest.mark.parametrize("row", table_rows(4) + table_rows(6), ids=lambda row: row[0])
def test_a_figure_is_measured_or_a_paper_s(row, figures):
    text = re.sub(r"\b\d{4}\.\d{5}\b|since 2\.5|transformers \d+\.\d+|\b\d{4}\.\d{4}\b", "", " ".join(row[2:-1]))
    with_decimals = re.findall(r"\d\.\d", text)
    assert not with_decimals or row[0] in figures or "paper" in text
