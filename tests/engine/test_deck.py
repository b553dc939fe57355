"""The verb `questions`: the table, and the deck for a terminal and as Markdown, by topic and by kata."""

import os
import re
import subprocess
import sys

import pytest

from grading import cli
from grading.catalog import ROOT, Catalog
from grading.practice.interview import asking
from grading.practice.interview import deck as deck_module
from grading.practice.interview.questions import LEVELS, TOPICS, every, on, questions, translated
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, GOOD, HARD, Answer
from tests.engine.katas import HEADS
from tests.engine.terminals import Terminal, copied

DAY = 86400.0


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
    rows = dict(re.findall(r"^([a-z]+) +(\d+ +\d+ +\d+) +0 +\d+$", run("--topics"), re.MULTILINE))
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
    assert run(HEADS, "--list") == run(f"problems/{HEADS}.py", "--list")


def test_markdown_shows_products_and_names_as_they_are(run):
    text = run("--markdown")
    assert len(re.findall(r"^### \d+\. ", text, re.MULTILINE)) == len(every())
    assert not re.search(r"(?<!\\)_| \* ", text)
    assert text.count("\n- Red flag: ") == len(every())


def test_it_speaks_the_readers_language(run):
    each = on("positions")[0]
    assert translated(each, "zh").question in run("positions", "--markdown", language="zh")
    assert "Red flag" not in run("--markdown", language="zh")


@pytest.mark.parametrize("arguments", [["nope"], ["caches", "--list", "--markdown"], ["--count", "0"]])
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


# ----------------------------------------------------------------------------------------------- as a deck


@pytest.fixture
def deck(run, tmp_path, monkeypatch):
    """deck(*keys, arguments=[HEADS], language=""): what is shown where somebody presses these keys, each with Enter."""
    progress = Progress(tmp_path)
    for module in (deck_module, asking):
        monkeypatch.setattr(module, "Progress", lambda: progress)

    def deck(*keys, arguments=(HEADS,), language=""):
        left = iter(keys)

        def read(prompt=""):
            print(prompt, end="")
            try:
                return next(left)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr("builtins.input", read)
        return run(*arguments, language=language)

    deck.progress = progress
    return deck


def test_an_answer_is_rated_and_comes_again_when_fsrs_wants_it(deck):
    first, second, third, *_ = sorted(questions(Catalog()[HEADS]), key=lambda each: LEVELS.index(each.level))
    text = deck("", "y", "", "h", "", "what?", "n", "q")
    flat = " ".join(text.split())
    for each in (first, second, third):
        assert f"{each.question} ({each.level}, {each.topic})" in flat
        for part in (each.say, f"Asked next: {each.follow_up}", f"Red flag: {each.red_flag}"):
            assert flat.index(each.question) < flat.index(part)
    assert "3 rated: 1 known, 1 half, 1 not." in text
    answers = deck.progress.answers()
    assert [answers[each.key][0].rating for each in (first, second, third)] == [GOOD, HARD, AGAIN]
    knew, half, not_known = (
        round((answers[each.key][0].due - answers[each.key][0].at) / DAY, 3) for each in (first, second, third)
    )
    assert knew > half >= not_known == 1
    assert first.question not in " ".join(deck("q").split()), "it is known and not due"


def test_what_is_due_comes_first_and_all_of_them_are_asked_on_request(deck, monkeypatch):
    own = questions(Catalog()[HEADS])
    for number, each in enumerate(own):
        deck.progress.answered(each.key, Answer(0.0, GOOD, due=4e9 if number else 1.0))
    assert deck("", "y").count("1/1 ") == 1
    assert "Nothing is due; the next one is in " in deck()
    assert f"1/{len(own)} " in deck("q", arguments=(HEADS, "--all"))
    assert "1/2 " in deck("q", arguments=(HEADS, "--all", "--count", "2"))


def test_where_nobody_can_answer_it_says_what_to_do(deck):
    text = deck()
    assert "1/" in text
    assert "--list prints the questions with what to say" in text
    assert not deck.progress.answers()
    for error in (RuntimeError("a notebook without a keyboard"), OSError("pytest")):

        def read(prompt, error=error):
            raise error

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("builtins.input", read)
            asking.ask(questions(Catalog()[HEADS]))


def test_the_deck_is_chinese(deck):
    each = min(questions(Catalog()[HEADS]), key=lambda each: LEVELS.index(each.level))
    text = "".join(deck("", "y", "q", language="zh").split())
    assert "".join(translated(each, "zh").say.split()) in text
    assert "自评1题：会1题，一半0题，不会0题。" in text


def test_a_deck_on_a_terminal(tmp_path):
    copy = copied(tmp_path)
    terminal = Terminal(copy, "questions", HEADS, columns=50)
    assert max(map(len, terminal.until("Enter shows").splitlines())) <= 50
    terminal.press("\n")
    terminal.until("Red flag: ", "y knew it")
    terminal.press("y\n")
    terminal.until("2/", "Enter shows")
    terminal.press("q\n")
    assert terminal.finish() == 0
    terminal.close()
    assert len(Progress(copy / ".kata").answers()) == 1
