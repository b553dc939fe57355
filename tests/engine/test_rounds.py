"""Whole interview rounds: what they consist of, how they are held in steps and on a terminal, and their card."""

import json
import random
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from grading.catalog import Catalog, KataFault
from grading.examination.plants import SOUND, planted, plants
from grading.hunts import hunts
from grading.practice.interview import choice, clock, onsite, rounds
from grading.practice.interview.questions import every, questions
from grading.practice.interview.rounds import DEBUG, EXPLAIN, EXTEND, ROUNDS, WRITE, Part, Round, RoundSpace, make
from grading.practice.interview.workspace import Work
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, GOOD, HARD, Entry, form, plain
from tests.engine.katas import ATTENTION, GROUPS, HEADS
from tests.engine.terminals import Terminal, copied, grader

SEEDS = range(40)
HUNT = hunts()[0]


@pytest.fixture
def progress(tmp_path):
    return Progress(tmp_path)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("rounds"))


def drawn(progress, **limits):
    return {choice.interviewed(progress, random.Random(seed), **limits).stem for seed in SEEDS}


# --------------------------------------------------------------------------------------------------- what is drawn


def test_a_beginner_is_not_drawn_a_hard_kata(progress):
    hard = {kata.stem for kata in Catalog().sound if kata.difficulty == choice.HARD}
    assert GROUPS in hard
    assert not drawn(progress) & hard
    for stem in Catalog()[GROUPS].after:
        progress.ended(Entry(stem, 1.0, "drill", rating=GOOD))
    assert GROUPS not in drawn(progress), "to mend is not to write"
    for stem in Catalog()[GROUPS].after:
        progress.ended(Entry(stem, 1.0, rating=GOOD))
    assert GROUPS in drawn(progress)


def test_those_with_fewest_interviews_come_first(progress):
    others = drawn(progress) - {ATTENTION}
    for stem in others:
        progress.ended(Entry(stem, 1.0, "interview", rating=GOOD))
    assert drawn(progress) >= {ATTENTION}
    assert not drawn(progress) & others


def test_what_is_written_fits_into_its_part_and_can_be_extended(progress):
    for stem in drawn(progress, at_most=20.0, follow=True):
        assert Catalog()[stem].minutes <= 20
        assert any(stem in kata.after for kata in Catalog().sound)
    assert drawn(progress, at_most=0.1), "where all take longer, one of them all the same"


@pytest.mark.parametrize("minutes", ROUNDS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_parts_of_a_round(progress, minutes, seed):
    round = make(None, minutes, progress, random.Random(seed), 0.0)
    parts = round.all_parts()
    assert [part.kind for part in parts] == list(ROUNDS[minutes])
    assert sum(part.minutes for part in parts) == minutes
    works = {part.kind: form(Work, part.work) for part in parts if part.work}
    assert works[WRITE].stem == round.stem
    assert "TODO" not in works[WRITE].given
    assert set(parts[0].asked) <= {each.key for each in questions(Catalog()[round.stem])}
    assert len(parts[0].asked) == rounds.QUESTIONS
    if EXTEND in works:
        assert round.stem in works[EXTEND].kata.after
    given = works[DEBUG]
    assert given.given == planted(given.hunt, given.planted)
    assert 1 < len(given.planted) <= given.hunt.planted


def test_what_a_kata_has_nothing_for_is_left_out(progress, monkeypatch):
    last = next(kata for kata in Catalog().sound if not any(kata.stem in each.after for each in Catalog().sound))
    assert EXTEND not in [part.kind for part in make(last, 60, progress, random.Random(1), 0.0).all_parts()]
    monkeypatch.setattr(rounds, "hunts", lambda: ())
    monkeypatch.setattr(rounds, "drawn", lambda *_: [])
    assert [part.kind for part in make(last, 60, progress, random.Random(1), 0.0).all_parts()] == [WRITE]


@pytest.mark.parametrize(("minutes", "count"), [(1, 1), (8, 1), (10, 2), (11, 2), (17, 3), (100, 4)])
def test_there_are_as_many_bugs_as_there_is_time_for(monkeypatch, minutes, count):
    monkeypatch.setattr(rounds, "hunts", lambda: (replace(HUNT, minutes=40, planted=4),))
    work = form(Work, rounds._debugged(minutes, random.Random(1)))
    assert (len(work.planted), work.minutes) == (count, minutes)


def test_a_hunt_that_cannot_be_read_is_passed_over(progress, monkeypatch, capsys):
    broken = replace(HUNT, fault=KataFault(HUNT.folder / "hunt.toml", "it is empty"))
    monkeypatch.setattr(rounds, "hunts", lambda: (broken, HUNT))
    for seed in range(5):
        assert make(None, 30, progress, random.Random(seed), 0.0).all_parts()[-1].work["stem"] == HUNT.stem
    assert "hunt.toml: it is empty" in capsys.readouterr().err
    monkeypatch.setattr(rounds, "hunts", lambda: (broken,))
    assert DEBUG not in [part.kind for part in make(None, 30, progress, random.Random(1), 0.0).all_parts()]


def test_damaged_notes_are_no_round(tmp_path):
    space = RoundSpace(tmp_path)
    for text in ("{", "[]", '{"stem": "nothing", "minutes": 1, "began": 1, "parts": []}', '{"parts": 3}'):
        space.notes.write_text(text)
        assert space.round() is None


OLD = Work(HEADS, 20.0, 8.0, "x", "it was this", "a-submission", runs=2, first_run=25.0)


@pytest.mark.parametrize("began", [0.0, 20.0])
def test_a_round_of_an_earlier_version_goes_on_without_its_drill(tmp_path, began):
    """What was done in the drill is in the history, the other parts are as they were."""
    space, progress = RoundSpace(tmp_path), Progress(tmp_path)
    written = Part(WRITE, 18, 10.0, 20.0 if began else 0.0, work=plain(Work(HEADS, 10.0)))
    parts = [plain(written), plain(Part(DEBUG, 8, began, work=plain(OLD)))]
    notes = {"stem": HEADS, "minutes": 45.0, "began": 1.0, "parts": parts, "at": int(began > 0)}
    for work in (each["work"] for each in parts):
        work.pop("found")  # which that version did not know
    space.notes.write_text(json.dumps(notes))
    for _ in range(2):
        round = space.round()
        assert [part.kind for part in round.all_parts()] == [WRITE]
        assert (round.part is None) == (began > 0)
    ended = [(entry.kata, entry.kind, entry.runs, entry.passed) for entry in progress.history()]
    assert ended == ([(HEADS, "drill", 2, False)] if began else [])


@pytest.mark.parametrize("action", ["run", "next", "finish", "drop"])
def test_a_round_whose_parts_are_all_over_has_its_card(tmp_path, capsys, action):
    """The process may have ended between the last part and the card."""
    space = RoundSpace(tmp_path)
    work = Work(
        HUNT.stem, 1.0, 8.0, source=min(plants(HUNT)), runs=1, first_run=2.0, green=2.0, passed=1, found=[SOUND]
    )
    parts = [plain(Part(DEBUG, 8, 1.0, 2.0, work=plain(work)))]
    space.save(Round(HEADS, 30.0, 1.0, parts, 1, rounds.VERSION))
    assert onsite.go_on(space, action, []) == 0
    assert "runs to green" in capsys.readouterr().out
    assert space.round() is None


# ------------------------------------------------------------------------------------------------------ the card


def test_the_card_has_what_an_interviewer_would_note(monkeypatch):
    monkeypatch.setenv("KATA_LANG", "en")
    first, second, third = questions(Catalog()[HEADS])[:3]
    ratings = {first.key: GOOD, second.key: HARD, third.key: AGAIN}
    explained = Part(EXPLAIN, 5, 1000.0, 1200.0, list(ratings), ratings)
    work = Work(HEADS, 1200.0, 18.0, runs=3, first_run=1500.0, green=1800.0, passed=9, expected=9)
    work.missed, work.causes = ["rule a [x]", "rule b"], {"a-mistake": "something is wrong"}
    one, other = sorted(plants(HUNT))[:2]
    mended = Work(HUNT.stem, 2000.0, 8.0, source=f"{one} {other}", runs=2, first_run=2100.0, passed=1, found=[other])
    parts = [explained, Part(WRITE, 18, 1200.0, 1800.0, work=plain(work)), Part(EXTEND, 14, work=plain(work))]
    parts.append(Part(DEBUG, 8, 2000.0, 2500.0, work=plain(mended)))
    text = onsite.card(Round(HEADS, 45.0, 1000.0, [plain(part) for part in parts], 4), 2500.0)
    for row in (
        r"time +3:20 of 5:00",
        r"questions +3 rated: 1 known, 1 half, 1 not\.",
        r"time +10:00 of 18:00",
        r"first run +after 5:00",
        r"runs to green +3",
        r"checks passed +9 of 9",
        r"mistakes +something is wrong",
        r"missed first +rule a \[x\]; rule b",
        r"time +not begun",
        r"time +8:20 of 8:00, 0:20 over",
        r"runs to green +not green after 2",
        r"found +1 of 2",
        rf"it was +{re.escape(plants(HUNT)[other].sentence[:40])}",
        rf"not found +{re.escape(plants(HUNT)[one].sentence[:40])}",
        r"besides +something else is not as it was",
        rf"read on +python grader.py read {HUNT.stem}",
    ):
        assert re.search(row, text), row
    assert onsite.red_flags(Round(HEADS, 45.0, 0.0, [plain(part) for part in parts])) == [third.red_flag]
    assert " ".join(text.split()).endswith(f"Red flag: {third.red_flag}")


# ----------------------------------------------------------------------------------------------- how it is held


def write(copy, stem):
    file = copy / ".kata" / "round" / f"{stem}.py"
    assert "TODO" not in file.read_text()
    file.write_text((copy / "solutions" / f"{stem}.py").read_text())


def planted_in(copy):
    """The program that is to be mended, and its bugs."""
    round = RoundSpace(copy / ".kata").round()
    return copy / ".kata" / "round" / HUNT.file, form(Work, round.part.work).planted


def test_a_round_in_steps(copy):
    for action in ("next", "run", "finish", "drop"):
        assert grader(copy, "interview", action).returncode == 2
    assert grader(copy, "interview", "start", "--round", "onsite", "--minutes", "20").returncode == 2
    started = grader(copy, "interview", "start", HEADS, "--round", "onsite", "--minutes", "60")
    assert started.returncode == 0, started.stderr
    assert "A round of 60 minutes, 4 parts: Multi-head attention" in started.stdout
    assert len(re.findall(r"^\d\. ", started.stdout, re.MULTILINE)) == 3
    assert "Red flag" not in started.stdout
    for words in (["start"], ["start", GROUPS], ["start", "--round", "onsite"], [HEADS]):
        refused = grader(copy, "interview", *words)
        assert (refused.returncode, "an interview is under way since" in refused.stderr) == (2, True)
    assert grader(copy, "interview", "run").returncode == 2
    assert grader(copy, "interview", "next", "y").returncode == 2
    told = grader(copy, "interview", "next", "y", "h", "n").stdout
    assert told.count("Red flag: ") == 3
    assert "Part 2 of 4, 22 minutes. Write: Multi-head attention" in told
    write(copy, HEADS)
    assert "checks pass" in grader(copy, "interview", "run").stdout
    extended = grader(copy, "interview", "next").stdout
    assert "This part passes: " in extended
    assert f"What you wrote before is in .kata/round/{HEADS}.py" in extended
    follower = re.search(r"Write it in \.kata/round/(\w+)\.py", extended)[1]
    assert HEADS in Catalog()[follower].after
    debugged = grader(copy, "interview", "next").stdout
    assert "This part does not pass: " in debugged
    assert f"Part 4 of 4, 17 minutes. {HUNT.title}" in debugged
    file, keys = planted_in(copy)
    assert f"{len(keys)} bugs are planted in .kata/round/{HUNT.file}. What the model is meant to be" in " ".join(
        debugged.split()
    )
    assert file.read_text() == planted(HUNT, keys)
    file.write_text(planted(HUNT, keys[1:]))
    said = grader(copy, "interview", "run")
    assert (said.returncode, f"1 of {len(keys)} found" in said.stdout) == (1, True)
    sentences = [plants(HUNT)[key].sentence for key in keys]
    assert not [each for each in sentences if each in " ".join(said.stdout.split())]
    done = grader(copy, "interview", "next")
    assert f"This part does not pass: 1 of {len(keys)} found." in done.stdout
    assert all(each in " ".join(done.stdout.split()) for each in sentences), "at the end it is said what they were"
    assert len(re.findall(r"^not found ", done.stdout, re.MULTILINE)) == len(keys) - 1
    assert done.returncode == 1, "the follow-up was not written"
    for row in ("A round of 60 minutes, ", "3 rated: 1 known, 1 half, 1 not.", "not green after 1", "Red flag: "):
        assert row in done.stdout
    known = Progress(copy / ".kata")
    kinds = [(entry.kata, entry.kind, entry.passed) for entry in known.history()]
    assert kinds == [(HEADS, "interview", True), (follower, "interview", False), (HUNT.stem, "drill", False)]
    assert (known.history()[-1].found, known.history()[-1].planted) == (1, len(keys))
    assert f"\n    1 of {len(keys)} found\n" in grader(copy, "history", HUNT.stem).stdout
    assert sorted(given[-1].rating for given in known.answers().values()) == [AGAIN, HARD, GOOD]
    assert grader(copy, "compare", HEADS).returncode == 0
    assert grader(copy, "interview", "finish").returncode == 2


def test_a_round_that_is_ended_early_has_a_card_and_one_that_is_given_up_none(copy):
    grader(copy, "interview", "start", HEADS, "--round", "onsite", "--minutes", "30")
    done = grader(copy, "interview", "finish")
    assert done.returncode == 1
    assert done.stdout.count("not begun") == 2
    grader(copy, "interview", "start", HEADS, "--round", "onsite", "--minutes", "30")
    dropped = grader(copy, "interview", "drop")
    assert (dropped.returncode, dropped.stdout.startswith("Given up: Multi-head")) == (0, True)
    assert grader(copy, "interview", "next").returncode == 2


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_clock_is_one_line_on_a_narrow_screen(monkeypatch, language):
    monkeypatch.setenv("KATA_LANG", language)
    monkeypatch.setenv("COLUMNS", "50")
    assert cell_len(clock.line(615)) == 49
    assert "10:15" in clock.line(615)


def test_a_round_on_a_terminal(copy):
    terminal = Terminal(copy, "interview", HEADS, "--round", "onsite", "--minutes", "30")
    terminal.until("Part 1 of 3, 5 minutes. Explain", "1/3 ", "Enter shows")
    for number in range(3):
        terminal.press("\n")
        terminal.until("Red flag: ", "y knew it")
        terminal.press("y\n" if number else "n\n")
        terminal.until("Enter shows" if number < 2 else "left   r run")
    write(copy, HEADS)
    terminal.press("q")
    assert terminal.finish() == 1
    terminal.close()
    terminal = Terminal(copy, "interview", "--round", "onsite")
    terminal.until("The interview goes on: Multi-head", "left   r run")
    terminal.press("r")
    terminal.until("checks pass", "left   r run")
    terminal.press("f")
    terminal.until("This part passes", "Part 3 of 3, 10 minutes. ", "left   r run")
    file, keys = planted_in(copy)
    terminal.press("r")
    terminal.until(f"0 of {len(keys)} found", "left   r run")
    file.write_text(HUNT.reference)
    terminal.press("f")
    text = terminal.until(f"This part passes: {len(keys)} of {len(keys)} found.", "A round of 30 minutes", "Red flag: ")
    assert "3 rated: 2 known, 0 half, 1 not." in text
    assert terminal.finish() == 0
    terminal.close()
    assert not (copy / ".kata" / "round.json").exists()


def test_every_question_of_a_round_is_found_again(progress):
    keys = {each.key for each in every()}
    for kata in Catalog().sound:
        assert set(make(kata, 30, progress, random.Random(1), 0.0).all_parts()[0].asked) <= keys
