"""A kata that is broken, or not finished, takes no other one down, and what is wrong with it is said."""

import json

import pytest

from grading.catalog import Catalog, KataFault
from grading.examination import examiner as module
from tests.engine.terminals import copied, grader

SOUND, VICTIM = Catalog().katas[:2]
TOML, DIAGNOSIS = "katas/{}/kata.toml", "katas/{}/diagnosis.py"
GRADER, SOLUTION = "tests/test_{}.py", "solutions/{}.py"


@pytest.fixture
def copy(tmp_path):
    return copied(tmp_path)


BROKEN = [
    (TOML, "title = ", "Invalid value"),
    (TOML, 'minutes = 3\n[holes]\nf = ["a"]\n', "it has no title"),
    (TOML, 'title = "a"\nminutes = 3\nminute = 4\n[holes]\nf = ["a"]\n', "minute = 4 is not understood"),
    (TOML, 'title = "a"\nminutes = "3"\n[holes]\nf = ["a"]\n', "minutes = '3' is not understood"),
    (TOML, 'title = "a"\nminutes = 3\n[holes]\nf = "a"\n', "holes has to consist of lists of texts"),
    (TOML, 'title = "a"\nminutes = 3\ntrack = "x"\n[holes]\nf = ["a"]\n', "track has to be one of"),
    (TOML, 'title = "a"\nminutes = 3\n[holes]\nnobody = ["a"]\n', "it has no nobody"),
    (SOLUTION, "def f(:\n", "invalid syntax"),
    (SOLUTION, None, "No such file"),
    (GRADER, "def f(:\n", "SyntaxError"),
    (GRADER, "import nothing_of_this_name\n", "nothing_of_this_name"),
    (GRADER, "def test_a(learner):\n    '''A rule.'''\n    1 / 0\n", "ZeroDivisionError"),
    (GRADER, "def test_a(no_such_fixture):\n    '''A rule.'''\n", "no_such_fixture"),
    (GRADER, "import pytest\ndef test_a():\n    '''A rule.'''\n    pytest.skip('later')\n", "later"),
    (GRADER, None, "the kata has no grader yet"),
    (DIAGNOSIS, "def f(:\n", "SyntaxError"),
    (DIAGNOSIS, "import nothing_of_this_name\n", "nothing_of_this_name"),
]


@pytest.mark.parametrize("ways", [BROKEN[:9], BROKEN[9:]], ids=["toml and solution", "grader and diagnosis"])
def test_some_are_broken_and_another_is_graded(copy, ways):
    """Each in a kata of its own."""
    victims = [kata for kata in Catalog().katas if kata.stem != SOUND.stem][: len(ways)]
    (copy / "answers").mkdir()
    for kata in (SOUND, *victims):
        (copy / "answers" / f"{kata.stem}.py").write_text(kata.reference)
    for kata, (file, text, _) in zip(victims, ways, strict=True):
        path = copy / file.format(kata.stem)
        path.unlink() if text is None else path.write_text(text)
    done = grader(copy, SOUND.stem, *(kata.stem for kata in victims), "--json", "--problems", "answers")
    found = {each["kata"]: each for each in json.loads(done.stdout)["katas"]}
    assert (found[SOUND.stem]["outcome"], found[SOUND.stem]["fault"]) == ("passed", "")
    for kata, (_, _, reason) in zip(victims, ways, strict=True):
        broken = found[kata.stem]
        assert broken["outcome"] == "broken", (kata.stem, reason)
        assert reason in broken["message"]
        assert broken["fault"]
        assert f"grader: {kata.stem}: this is a fault of the grader, not of your code" in done.stderr
    assert done.returncode == 3


def test_verbs_about_a_broken_kata_say_so(copy):
    (copy / SOLUTION.format(VICTIM.stem)).write_text("def f(:\n")
    for arguments in (["reset", VICTIM.stem], ["reset", "--all"], ["compare", VICTIM.stem, "--reveal"]):
        done = grader(copy, *arguments)
        assert (done.returncode, "the kata is broken: solutions/" in done.stderr) == (3, True), done.stderr
    assert "the kata is broken, not your file" in grader(copy, VICTIM.stem).stdout
    (copy / TOML.format(VICTIM.stem)).write_text("title = ")
    for verb in ("status", "due"):
        assert grader(copy, verb).returncode == 0
    assert "Invalid value" in grader(copy, "list").stdout
    assert f"{VICTIM.stem} has no hints" in grader(copy, "hint", VICTIM.stem).stdout


def test_a_translation_that_cannot_be_read_leaves_the_kata_english(copy):
    (copy / "katas" / VICTIM.stem / "zh.toml").write_text("title = ")
    done = grader(copy, "list", KATA_LANG="zh")
    assert done.returncode == 0
    assert VICTIM.title in done.stdout
    assert SOUND.title not in done.stdout
    assert f"grader: katas/{VICTIM.stem}/zh.toml: Invalid value" in done.stderr


def test_a_fault_in_the_search_for_a_cause_leaves_the_verdict(examiner, monkeypatch, tmp_path):
    def broken(*_):
        raise AttributeError("a fault")

    monkeypatch.setattr(module, "_causes", broken)
    wrong = Catalog()[SOUND.stem].reference.replace("softmax(", "relu(")
    (tmp_path / f"{SOUND.stem}.py").write_text(wrong)
    result = examiner.grade([SOUND.stem], tmp_path).katas[0]
    assert result.outcome == "failed"
    assert result.checks
    assert "AttributeError: a fault" in result.fault


def test_an_answer_that_no_check_foresaw_is_the_learners(examine, tmp_path):
    def answer(text):
        path = tmp_path / f"{SOUND.stem}.py"
        path.write_text(text)
        return examine(SOUND.stem, path)

    odd = answer(f"def {SOUND.symbols[0]}(*a, **k):\n    return 'x'\n")
    assert (odd.outcome, odd.fault) == ("failed", "")


def test_katas_that_come_after_each_other_are_in_order_of_name(tmp_path):
    for stem, after in (("b", "c"), ("c", "b"), ("a", "b")):
        (tmp_path / stem).mkdir()
        (tmp_path / stem / "kata.toml").write_text(f'title = "t"\nminutes = 1\nafter = ["{after}"]\n[holes]\n')
    assert Catalog(tmp_path).stems == ("a", "b", "c")
    with pytest.raises(KataFault, match="no grader yet"):
        Catalog(tmp_path)["a"].check()
