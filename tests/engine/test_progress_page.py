"""status --html: what the page of progress says, what it escapes, and how it looks in a browser."""

import html
import json
import re
import subprocess
from html.parser import HTMLParser

import pytest

from grading import cli
from grading.catalog import Catalog
from grading.practice.interview.questions import every
from grading.practice.plan import page as pages
from grading.practice.plan import status
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, GOOD, HARD, Answer, Entry, Goal
from tests.engine.katas import ATTENTION, COUNT, GROUPS, HEADS, MASKS
from tests.engine.test_html import ATTACK, CHROMIUM, FLAGS

NOW = 1_796_000_000.0
DAY = 86400.0


@pytest.fixture
def progress(tmp_path):
    """A learner two weeks before an interview."""
    found = Progress(tmp_path / ".kata")
    causes = {"a-mistake": "something is wrong", "another": ATTACK}
    found.ended(Entry(GROUPS, NOW - 20 * DAY, rating=GOOD, seconds=725.0, runs=3, causes=causes))
    found.ended(Entry(GROUPS, NOW - 9 * DAY, "interview", rating=HARD, seconds=600.0, runs=4, causes=causes))
    found.ended(Entry(HEADS, NOW - 9 * DAY, rating=GOOD, seconds=61.0, runs=1))
    found.ended(Entry(HEADS, NOW - 2 * DAY, "cell", rating=GOOD, seconds=60.0, runs=1))
    found.ended(Entry(ATTENTION, NOW - 2 * DAY, rating=GOOD, seconds=50.0, runs=1))
    found.ended(Entry(MASKS, NOW - DAY, "drill", passed=False, runs=2))
    for number, each in enumerate(every()[:3]):
        found.answered(each.key, Answer(NOW - DAY, (GOOD, HARD, AGAIN)[number], NOW - 1.0))
    found.set_goal(Goal("2026-12-20", 60.0))
    return found


class Tags(HTMLParser):
    """The tags that are open, and what is not closed in the order in which it was opened."""

    VOID = ("meta", "br")

    def __init__(self):
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_says_how_far_it_is(progress, language, monkeypatch):
    monkeypatch.setenv("KATA_LANG", language)
    text = pages.page(progress, NOW)
    tags = Tags()
    tags.feed(text)
    assert (tags.open, tags.wrong) == ([], [])
    for stem in Catalog().stems:
        assert f"<code>{stem}</code>" in text
    assert "12:05" in text
    assert "\x1b" not in text
    assert "2026-12-20" in text
    assert "10:00" in text
    assert "<script" not in text
    assert ATTACK[:20] not in text
    assert html.escape(ATTACK[:17]) in text
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text
    visible = re.sub(r"<style>.*?</style>|<code.*?</code>|<[^>]*>", " ", text, flags=re.DOTALL)
    english = re.findall(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}", visible.replace("something is wrong", ""))
    assert bool(english) == (language == "en"), english


def test_each_kata_has_its_stage(progress, monkeypatch):
    monkeypatch.setenv("KATA_LANG", "en")
    rows = re.findall(
        r"<tr><td>\d+ <code>(\w+)</code>.*?</span>\s*([a-z ]+)</td>", pages.page(progress, NOW), re.DOTALL
    )
    assert len(rows) == COUNT
    stages = {stem: stage.strip() for stem, stage in rows}
    assert [stages[stem] for stem in (GROUPS, HEADS, ATTENTION, MASKS)] == [
        "in an interview",
        "repeated",
        "written",
        "begun",
    ]
    assert set(stages.values()) >= {"new"}


def test_mistakes_stand_in_their_weeks(progress):
    learner = pages.known(progress, NOW)
    weeks, rows = pages._mistakes(learner, pages.Texts("en"))
    assert len(weeks) == 3 or len(weeks) == 4
    assert rows[0][0] == "something is wrong"
    assert sum(number for number, _ in rows[0][1]) == 2
    assert len(rows[0][1]) == len(weeks)
    assert pages._mistakes(pages.known(Progress(progress.folder / "new"), NOW), pages.Texts("en")) == ([], [])


def test_questions_are_counted_by_topic(progress):
    topics = {topic: (counts, due) for topic, counts, due in pages._topics(progress.answers(), NOW)}
    for name, count in (("knew", 1), ("half", 1), ("not", 1), ("new", len(every()) - 3)):
        assert sum(counts[name] for counts, _ in topics.values()) == count
    assert sum(due for _, due in topics.values()) == 3


def test_the_page_of_one_who_begins(tmp_path, monkeypatch, capsys):
    progress = Progress(tmp_path)
    monkeypatch.setattr(status, "Progress", lambda: progress)
    file = tmp_path / "page.html"
    assert cli.main(["status", "--html", str(file)]) == 0
    assert str(file) in capsys.readouterr().out.replace("\n", "")  # a narrow screen cuts it
    assert "<table" in file.read_text(encoding="utf-8")
    assert cli.main(["status", "--html", str(tmp_path / "nowhere" / "page.html")]) == 2
    assert "the page cannot be written" in capsys.readouterr().err


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here: the page was not opened in a browser")
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_the_page_fits(progress, width, tmp_path):
    script = """const page = frame.contentDocument, root = page.documentElement;
        document.title = JSON.stringify([root.scrollWidth - root.clientWidth, page.title,
            getComputedStyle(page.querySelector(".m1")).backgroundColor]);"""
    inner = html.escape(pages.page(progress, NOW))
    frame = f'<iframe id="frame" width="{width}" height="900" style="border:0" srcdoc="{inner}"></iframe>'
    (tmp_path / "outer.html").write_text(f"{frame}<script>onload = () => {{ {script} }}</script>", encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"{tmp_path}/outer.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    too_wide, name, colour = json.loads(html.unescape(done.stdout.partition("<title>")[2].partition("</title>")[0]))
    assert too_wide == 0, "nothing is wider than the screen"
    assert name != "bad"
    assert colour.startswith("rgba(")
