"""The verb `questions`: the table, and the deck for a terminal and as Markdown, by topic and by kata."""

import os
import re
import subprocess
import sys

import pytest

from grading import cli
from grading.catalog import ROOT, Catalog
from grading.practice.interview.questions import LEVELS, TOPICS, every, on, questions, translated
from tests.engine.katas import HEADS


@pytest.fixture
def run(capsys, monkeypatch):
    """run(*arguments, language=""): what the verb prints."""

    def run(*arguments, language=""):
        monkeypatch.setenv("KATA_LANG", language)
        monkeypatch.setenv("COLUMNS", "80")
        assert cli.main(["questions", *arguments]) == 0
        return capsys.readouterr().out

    return run


def test_the_table_counts_every_question_by_topic_and_level(run):
    rows = dict(re.findall(r"^([a-z]+) +(\d+ +\d+ +\d+)$", run(), re.MULTILINE))
    assert list(rows) == [*TOPICS, "all"]
    assert sum(map(int, rows["all"].split())) == len(every())
    for topic in TOPICS:
        levels = [each.level for each in on(topic)]
        assert rows[topic].split() == [str(levels.count(level)) for level in LEVELS]


def test_a_list_has_all_of_a_question_and_breaks_its_lines(run):
    lines = run("caches", "--list").splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(line.strip() for line in lines)
    for number, each in enumerate(on("caches"), start=1):
        asked = [f"{number}. {each.question} ({each.level}, caches)", each.say, each.measured]
        assert " ".join([*asked, f"Asked next: {each.follow_up}", f"Red flag: {each.red_flag}"]) in text


def test_a_kata_has_its_own_in_the_order_of_its_file(run):
    own = questions(Catalog()[HEADS])
    text = " ".join(run(HEADS, "--list").split())
    places = [text.index(f"{number}. {each.question}") for number, each in enumerate(own, start=1)]
    assert places == sorted(places)
    assert run(HEADS) == run(f"problems/{HEADS}.py")


def test_markdown_shows_products_and_names_as_they_are(run):
    text = run("--markdown")
    assert len(re.findall(r"^### \d+\. ", text, re.MULTILINE)) == len(every())
    assert not re.search(r"(?<!\\)_| \* ", text)
    assert text.count("\n- Red flag: ") == len(every())


def test_it_speaks_the_readers_language(run):
    each = on("positions")[0]
    assert translated(each, "zh").question in run("positions", "--markdown", language="zh")
    assert "Red flag" not in run("--markdown", language="zh")


@pytest.mark.parametrize("arguments", [["nope"], ["caches", "--list", "--markdown"]])
def test_what_it_does_not_understand_it_refuses(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["questions", *arguments])
    assert stopped.value.code == 2
    if arguments == ["nope"]:
        assert "or a topic: attention, " in capsys.readouterr().err


def test_it_waits_for_no_torch():
    code = "import sys; from grading.cli import main; main(['questions', '--list']); print('torch' in sys.modules)"
    environment = {**os.environ, "KATA_LANG": "zh", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert done.stdout.splitlines()[-1] == "False"
