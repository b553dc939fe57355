"""The plan up to an interview: learners of several kinds live by it, and the screens of plan and due show it."""

import re
from collections import Counter
from datetime import date, datetime, timedelta

import pytest

from grading import cli
from grading.catalog import TRACKS, Catalog
from grading.practice.interview import recall
from grading.practice.interview.questions import every
from grading.practice.plan import due, known, plan, schedule
from grading.practice.progress.progress import Progress
from grading.practice.progress.state import AGAIN, EASY, GOOD, Answer, Entry, Goal
from tests.engine.katas import ATTENTION, GROUPS, HEADS

START = datetime(2026, 11, 30, 18)
CORE = [kata.stem for kata in Catalog().katas if kata.track == TRACKS[0]]
KINDS = {schedule.WRITE: "file", schedule.AGAIN: "file", schedule.ALONE: "interview", schedule.MEND: "drill"}


class Learner:
    """Does what the plan of each day says, but on the days that are skipped, at a pace, and more or less well."""

    def __init__(self, folder, days=14, minutes=60, pace=1.0, again=GOOD, skips=()):
        self.progress = Progress(folder)
        self.days, self.minutes, self.pace, self.again, self.skips = days, minutes, pace, again, skips
        self.until = START.date() + timedelta(days=days)
        self.plans = []
        self.done = []  # (number of the day, step)

    def live(self):
        for number in range(self.days):
            now = (START + timedelta(days=number)).timestamp()
            made = schedule.plan(known.known(self.progress, now), self.until, self.minutes)
            self.plans.append(made)
            for step in made.days[0].steps if number not in self.skips else ():
                self.do(step, now)
                self.done.append((number, step))
        return self

    def do(self, step, now):
        if step.kind == schedule.ASK:
            answers = self.progress.answers()
            waiting = [*recall.due(every(), answers, now), *recall.new(every(), answers)]
            for question in waiting[: step.count]:
                recall.remember(self.progress, question, self.again, now)
            return
        stem = step.kata or CORE[0]  # of a round
        rating = GOOD if step.kind == schedule.WRITE else self.again
        seconds = 60 * Catalog()[stem].minutes * self.pace
        kind = KINDS.get(step.kind, "interview")
        self.progress.ended(Entry(stem, now, kind, rating=rating, seconds=seconds, runs=2))

    def days_of(self, *kinds):
        return [number for number, step in self.done if step.kind in kinds]

    def written(self):
        return {step.kata: number for number, step in self.done if step.kind == schedule.WRITE}


def check(learner):
    """What holds for every learner: nothing before what it rests on, nothing new at the end, no day too long."""
    written = learner.written()
    for stem, number in written.items():
        assert all(written[other] <= number for other in Catalog()[stem].after if other in learner.katas), stem
    first = sorted(number for stem, number in written.items() if stem in CORE)
    enough = first[(len(CORE) + 1) // 2 - 1] if len(first) > len(CORE) // 2 else learner.days
    assert all(number <= max(enough, learner.days - schedule.NOTHING_NEW - 1) for number in written.values())
    for made in learner.plans:
        for day in made.days:
            first, rest = day.steps[:1], day.steps[1:]
            assert day.minutes <= max(learner.minutes, first[0].minutes if first else 0) + 1e-6, (day.day, rest)
    return written


@pytest.fixture
def learner(tmp_path):
    """learner(...): one who has lived up to the interview."""
    folders = iter(range(9))
    Learner.katas = [kata.stem for kata in Catalog().sound]
    return lambda **kind: Learner(tmp_path / str(next(folders)), **kind).live()


def test_one_who_follows_the_plan_has_written_all_and_seen_it_again(learner):
    one = learner()
    written = check(one)
    assert set(CORE) <= set(written)
    assert max(Counter(step.kata for _, step in one.done if step.kind == schedule.WRITE).values()) == 1
    seen = {step.kata or CORE[0] for number, step in one.done if number >= one.days - schedule.LAST_DAYS}
    assert set(CORE) <= seen
    assert len(one.days_of(schedule.ALONE, schedule.ROUND)) >= 4
    assert len(one.days_of(schedule.ROUND)) >= 2
    assert len(one.days_of(schedule.MEND)) >= 2
    assert len(one.progress.answers()) > len(every()) / 2


def test_one_who_forgets_repeats_more_and_has_written_all_the_same(learner):
    steady, forgets = learner(), learner(again=AGAIN)
    assert set(CORE) <= set(check(forgets))
    assert len(forgets.days_of(schedule.AGAIN)) > len(steady.days_of(schedule.AGAIN))


def test_days_that_are_skipped_move_what_was_in_them(learner):
    steady, skips = learner(), learner(skips={1, 3, 4, 8})
    assert set(CORE) <= set(check(skips))
    assert max(skips.written().values()) > max(steady.written().values())
    for number in skips.skips:
        missed, after = skips.plans[number].days[0], skips.plans[number + 1].days[0]
        assert {step.kind for step in missed.steps} & {step.kind for step in after.steps}
        assert [step for step in missed.steps if step.kind == schedule.WRITE][:1] == [
            step for step in after.steps if step.kind == schedule.WRITE
        ][:1] or missed.steps[0] in after.steps


def test_one_who_is_quick_is_through_earlier_than_one_who_is_slow(learner):
    quick, slow = learner(pace=0.5, again=EASY), learner(pace=2.0)
    assert set(CORE) <= set(check(quick))
    check(slow)
    assert len(quick.written()) >= len(slow.written())
    last = {one: max(one.written()[stem] for stem in CORE if stem in one.written()) for one in (quick, slow)}
    assert last[quick] < last[slow]


@pytest.mark.parametrize(("days", "minutes"), [(1, 60), (3, 30), (7, 20), (21, 20), (14, 240)])
def test_little_time_and_much_of_it(learner, days, minutes):
    one = learner(days=days, minutes=minutes)
    check(one)
    left = one.plans[0].left_out
    assert (set(left) & set(CORE) == set()) == (days * minutes >= 400)
    assert set(left) | {step.kata for day in one.plans[0].days for step in day.steps} >= set(one.katas)


def test_what_was_done_today_is_not_planned_again(tmp_path):
    one = Learner(tmp_path)
    one.days = 1
    one.live()
    now = (START + timedelta(hours=3)).timestamp()
    later = schedule.plan(known.known(one.progress, now), one.until, one.minutes).days[0]
    done = [step for _, step in one.done]
    assert later.minutes <= one.minutes - sum(step.minutes for step in done) + 1
    assert not {step.kata for step in done if step.kata} & {step.kata for step in later.steps}


def test_on_the_day_itself_there_is_nothing_to_do(tmp_path):
    one = Learner(tmp_path)
    for days in (0, -3):
        made = schedule.plan(known.known(one.progress, START.timestamp()), START.date() + timedelta(days=days), 60)
        assert made.days == ()


def test_what_is_known_of_a_learner(tmp_path):
    progress = Progress(tmp_path)
    now = START.timestamp()
    kata = Catalog()[GROUPS]
    assert known.known(progress, now).pace == 1.0
    progress.ended(Entry(GROUPS, now, seconds=120 * kata.minutes, rating=GOOD, causes={"a": "b", "c": "d"}))
    progress.ended(Entry(HEADS, now - 86400, "drill", seconds=60.0, rating=GOOD))
    found = known.known(progress, now)
    assert found.pace == 2.0
    assert found.minutes(kata, again=False) == 2 * kata.minutes
    assert found.minutes(kata, again=True) == 5 * round(1.4 * kata.minutes / 5)
    assert found.spent == 2 * kata.minutes
    assert (found.mistakes(GROUPS), found.times("drill", HEADS), found.passes(HEADS)) == (2, 1, [])


# ------------------------------------------------------------------------------------------------ the screens


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """run(*arguments, language=""): exit status, and what the command line prints, in a folder of its own."""
    progress = Progress(tmp_path / ".kata")
    for module in (plan, due):
        monkeypatch.setattr(module, "Progress", lambda: progress)

    def run(*arguments, language="", columns=80):
        monkeypatch.setenv("KATA_LANG", language)
        monkeypatch.setenv("COLUMNS", str(columns))
        try:
            status = cli.main(list(map(str, arguments)))
        except SystemExit as stopped:
            status = stopped.code
        out, err = capsys.readouterr()
        return status, out + err

    run.progress = progress
    return run


def test_a_plan_is_made_shown_followed_and_dropped(run):
    assert run("plan")[0] == 2
    day = date.today() + timedelta(days=14)
    status, shown = run("plan", day, "--minutes", 45)
    assert status == 0
    assert run.progress.goal() == Goal(day.isoformat(), 45.0)
    assert f"The interview is on {day}, in 14 days. 45 minutes a day:" in shown
    assert re.search(rf"\ntoday +\d+ min +write {ATTENTION} \(\d+\)", shown)
    assert len(re.findall(r"^\w{3} \d\d-\d\d ", shown, re.MULTILINE)) == 14
    status, today = run("due")
    assert today.startswith(f"14 days to the interview. Today:\n- write {ATTENTION} (")
    assert f"problems/{ATTENTION}.py" in today
    assert "python grader.py questions --count" in today
    assert run("plan", "--minutes", 30)[0] == 0
    assert run.progress.goal() == Goal(day.isoformat(), 30.0)
    assert run("plan", "--drop")[0] == 0
    assert run.progress.goal() is None
    assert "no kata has been passed yet" in run("due")[1]


def test_due_says_what_is_due_without_a_plan_and_why_with_one(run):
    now = datetime.now().timestamp()
    run.progress.ended(Entry(GROUPS, now - 30 * 86400, rating=GOOD, seconds=600.0, runs=3))
    run.progress.answered(every()[0].key, Answer(now - 9 * 86400, GOOD, now - 86400))
    shown = run("due")[1]
    assert f"{GROUPS}: 30 days ago, it went well\n" in shown
    assert "Questions that are due: 1. python grader.py questions\n" in shown
    run("plan", "--days", 10)
    assert f"\n  {GROUPS}: 30 days ago, it went well\n" in run("due")[1]


def test_when_the_day_has_come_the_plan_is_over(run):
    run.progress.set_goal(Goal(date.today().isoformat(), 60.0))
    assert "The day of the interview has come" in run("plan")[1]
    assert "no kata has been passed yet" in run("due")[1]


@pytest.mark.parametrize(
    "words",
    [["soon"], ["2020-01-01"], ["--days", "0"], ["--days", "9999"], ["--minutes", "1"], ["--days", "3", "--drop"]],
)
def test_what_plan_does_not_understand_it_refuses(run, words):
    assert run("plan", *words)[0] == 2
    assert run.progress.goal() is None


@pytest.mark.parametrize(("language", "columns"), [("", 80), ("", 50), ("zh", 80), ("zh", 50)])
def test_the_screens_fit(run, language, columns):
    from rich.cells import cell_len

    for words in (["plan", "--days", 14], ["due"]):
        shown = run(*words, language=language, columns=columns)[1]
        assert all(cell_len(line) <= columns for line in shown.splitlines()), shown
        if language:
            assert not re.search(r"[A-Za-z]{3,} [a-z]{3,} [a-z]{3,}", re.sub(r"python grader\.py[ \w-]*", "", shown))


def test_a_calendar_has_an_event_for_each_day(run, tmp_path):
    file = tmp_path / "plan.ics"
    for language in ("", "zh"):
        assert run("plan", "--days", 14, "--ics", file, language=language)[0] == 0
        raw = file.read_bytes()
        assert all(len(line) <= 75 for line in raw.split(b"\r\n"))
        assert b"\n" not in raw.replace(b"\r\n", b"")
        text = raw.decode().replace("\r\n ", "")
        lines = text.split("\r\n")
        assert (lines[0], lines[-2:]) == ("BEGIN:VCALENDAR", ["END:VCALENDAR", ""])
        days = re.findall(r"UID:(\S+)@", text)
        assert days == [(date.today() + timedelta(days=number)).isoformat() for number in range(15)]
        assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == 15
        assert f"problems/{ATTENTION}.py\\n" in text
    assert run("plan", "--ics", tmp_path / "nowhere" / "x.ics")[0] == 2
