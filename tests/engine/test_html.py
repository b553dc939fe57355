"""The report as a page: its maps, what it escapes, and how it looks in a browser."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
import torch

from grading.examination.checks import close, same
from grading.records import Cause, CheckFailed, CheckResult, KataResult, Report
from grading.reports import html as pages
from grading.reports.heat import heats, short
from grading.texts import Texts
from tests.engine.katas import ATTENTION, GROUPS, HEADS, ONE_KV_HEAD

ATTACK = '</style><script>document.title="bad"</script>\x1b[31m\u202e<img src=x onerror=alert(1)>'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --virtual-time-budget=2000""".split()


def failure_of(compare, *arguments):
    with pytest.raises(CheckFailed) as caught:
        compare(*arguments)
    return caught.value.failure


@pytest.fixture
def report():
    """A kata with a failure whose texts are an attack, one that does not load, one that passes."""
    wanted = torch.arange(2 * 20 * 30, dtype=torch.float64).reshape(2, 20, 30) / 100 - 3
    got = wanted.clone()
    got[1, 15, 4], got[1, 14, 3] = float("nan"), float("inf")
    found = failure_of(close, got, wanted)
    maps = {"wanted_map": found.wanted_map, "got_map": found.got_map, "map_at": found.map_at}
    texts = {"call": ATTACK, "wanted": "x .\nx x", "got": ATTACK + "\n" + ATTACK, "printed": ATTACK * 400}
    check = CheckResult("test_a", "a rule", "failed", where=f"problems/{ATTENTION}.py:3", message=ATTACK, **texts)
    drawn = [CheckResult(f"test_b[{i}]", f"b rule [{i}]", "failed", message="differs", **maps) for i in range(2)]
    cause = Cause(
        "scale-missing", "the scores are not scaled", f"{ATTENTION}.ipynb#Scale", explains=("test_b[0]", "test_b[1]")
    )
    return Report(
        7,
        ("process",),
        1.5,
        (
            KataResult(ATTENTION, "Scaled", f"problems/{ATTENTION}.py", "failed", 2, 5, (cause,), (*drawn, check)),
            KataResult(
                HEADS, "Heads", f"problems/{HEADS}.py", "broken", 0, 9, (), (), ATTACK, f"problems/{HEADS}.py:2", ATTACK
            ),
            KataResult(ONE_KV_HEAD, "One", f"problems/{ONE_KV_HEAD}.py", "passed", 3, 3),
            KataResult(GROUPS, "Groups", f"problems/{GROUPS}.py", "not started", 0, 3),
        ),
    )


# ---------------------------------------------------------------------------------------------------- maps


def test_a_map_is_the_window_that_holds_the_worst_difference():
    wanted = torch.zeros(2, 3, 40, dtype=torch.float64)
    got = wanted.clone()
    got[1, 2, 37], got[0, 0, 0] = 5.0, 1.0
    found = failure_of(close, got, wanted)
    assert found.map_at == "[1, 0:3, 28:40]"
    assert [len(row) for row in found.got_map] == [12, 12, 12]
    assert found.got_map[2][9] == 5.0
    assert found.wanted_map[2][9] == 0.0


def test_a_map_of_one_axis_is_a_row_and_a_number_has_none():
    assert failure_of(close, torch.ones(3), torch.zeros(3)).got_map == ((1.0, 1.0, 1.0),)
    assert failure_of(close, torch.tensor(1.0), torch.tensor(0.0)).got_map == ()
    assert failure_of(close, torch.ones(3), torch.ones(4)).got_map == ()


def test_a_mask_has_a_map_of_ones_and_zeros():
    found = failure_of(same, torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool).tril(1))
    assert found.wanted_map == ((1.0, 1.0, 0.0), (1.0, 1.0, 1.0))


def test_json_has_no_number_that_a_strict_parser_refuses(report):
    text = json.dumps(report.as_dict(), allow_nan=False)
    assert '"nan"' in text
    assert '"inf"' in text


def shades(heat):
    return [cell.shade for _, cells in heat.rows for cell in cells]


def test_wanted_sets_the_scale_and_every_wrong_number_is_marked():
    maps = {"wanted_map": ((1.0, -0.5, 0.0, "-inf"),), "got_map": ((1.0, 1e9, 1e-6, "-inf"),), "map_at": "[8:12]"}
    wanted, got, difference = heats(CheckResult("a", "a", "failed", **maps))
    assert shades(wanted) == ["p4", "n2", "", "odd"]
    assert shades(got) == ["p4", "p4", "", "odd"]
    assert shades(difference) == ["", "d4", "d1", ""]
    assert wanted.columns == ("8", "9", "10", "11")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (-0.096, "-0.10"), (1e-9, "1e-9"), (-2.5e7, "-2e7"), (123.4, "123")],
)
def test_numbers_are_short(value, text):
    assert short(value) == text


# ---------------------------------------------------------------------------------------------------- page


class Tags(HTMLParser):
    """Names of the elements, and whether each that was opened was closed."""

    def __init__(self, text):
        super().__init__()
        self.names, self.open, self.attributes = set(), [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("render", [pages.page, pages.cell])
def test_what_a_program_said_is_text_and_nothing_else(report, render):
    text = render(report, Texts("en"))
    tags = Tags(text)
    assert not tags.open
    assert not tags.names & {"script", "img", "iframe", "link"}
    links = re.findall(r'href="([^"]*)"', text)
    assert all(re.fullmatch(r"(notebooks|\.)/\w+\.ipynb#[\w-]+", link) for link in links), "to notebooks only"
    assert not {name for name in tags.attributes if name.startswith("on") or name in ("src")}
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert html.escape("<img src=x onerror=alert(1)>", quote=False) in text
    assert len(text) < 100_000


def test_the_page_is_self_contained_and_says_all(report):
    text = pages.page(report, Texts("en"))
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text
    for words in ("1 of 3 started katas pass", "2/5", "not started", "exactly what you get when", f"hint {ATTENTION}"):
        assert words in text
    assert text.count("<table") == 3, "the first check of a test is drawn, its other parameters are named"
    assert "<code>[1]</code>" in text


# ------------------------------------------------------------------------------------------------- browser


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here: the page was not opened in a browser")
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_the_page_fits_and_runs_no_script(report, width, tmp_path):
    """A frame as wide as a phone's screen: Chromium's own window cannot be that narrow."""
    inner = pages.page(report, Texts("en"))
    script = """const count = what => page.querySelectorAll(what).length, page = frame.contentDocument;
        const root = page.documentElement, map = page.querySelector(".map");
        page.querySelectorAll("details").forEach(each => { each.open = true; });
        document.title = JSON.stringify([root.scrollWidth - root.clientWidth, page.title, count(".map"),
            Math.round(map.getBoundingClientRect().width),
            getComputedStyle(page.querySelector(".odd")).backgroundColor]);"""
    frame = f'<iframe id="frame" width="{width}" height="900" style="border:0" srcdoc="{html.escape(inner)}"></iframe>'
    (tmp_path / "outer.html").write_text(f"{frame}<script>onload = () => {{ {script} }}</script>", encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"{tmp_path}/outer.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    too_wide, name, maps, drawn, colour = json.loads(html.unescape(title))
    assert too_wide == 0, "nothing is wider than the screen"
    assert name == "Attention katas", "no script of the page ran"
    assert maps == 3
    assert 200 < drawn < width
    assert colour.startswith("rgba(")


def test_what_is_nothing_but_a_rounding_error_is_zero():
    maps = {"wanted_map": ((1.0, 8e-17),), "got_map": ((1.0 + 2e-16, -3e-17),), "map_at": "[0:1, 0:2]"}
    drawn = heats(CheckResult("test", "title", "failed", **maps))
    assert [[cell.text for _, cells in heat.rows for cell in cells] for heat in drawn] == [
        ["1", "0"],
        ["1", "0"],
        ["0", "0"],
    ]
