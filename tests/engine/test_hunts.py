"""Hunts: bugs are planted and found one by one, what was right is watched, and the verb debug never says where one is.

Every hunt of the repository is tried here, and a small one made up for what a sound one cannot show.
"""

import itertools
import random
import re
import sys
import types

import pytest
import torch

from grading import catalog, hunts
from grading.catalog import Catalog, KataFault
from grading.examination.hunting import SOUND, Known, hunt_report
from grading.examination.plants import drawn, fit, planted, plants
from grading.practice.interview import bugs
from grading.records import CheckResult, KataResult
from grading.texts import tables
from tests.engine.terminals import Terminal, copied, grader

HUNTS = hunts.hunts()
SEED, SEEDS = 7, range(50)


@pytest.fixture(scope="module", params=HUNTS, ids=lambda hunt: hunt.stem)
def hunt(request):
    request.param.check()
    return request.param


@pytest.fixture(scope="module")
def known(hunt):
    with Known(hunt, SEED) as known:
        yield known


def alike(one, other):
    return len(one) == len(other) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(one, other, strict=True)
    )


def counted(known, text, keys):
    """Of a program's text: which of the bugs count as found, and whether the rest is right."""
    with known.program(text) as program:
        return {check.name: check.outcome == "passed" for check in known.hunted(program, keys)}


def parts(known):
    return [name for name in known.checks.PROBES if name != known.checks.WHOLE]


# ------------------------------------------------------------------------------------------------- every hunt


def test_there_are_bugs_enough_and_each_has_a_sentence_and_a_probe(hunt, known):
    assert len(plants(hunt)) >= 14
    for plant in plants(hunt).values():
        assert plant.probe in parts(known), plant.key
        assert plant.sentence[0].islower(), plant.key
        assert not plant.sentence.endswith("."), plant.key


def test_each_bug_and_each_check_of_the_second_part_is_said_in_chinese(hunt, known):
    own = tables("zh")
    assert not [key for key in plants(hunt) if f"{hunt.stem}/{key}" not in own["drills"]]
    titles = [check.__doc__.strip().splitlines()[0] for check in known.checks.SECOND]
    assert not [title for title in titles if title not in own["checks"]]


def test_nothing_in_the_program_tells_what_is_wrong(hunt):
    for key in plants(hunt):
        text = planted(hunt, [key])
        assert "#" not in text, key
        assert key not in text


def test_a_probe_sees_its_own_bugs_and_no_other(hunt, known):
    """The others are found whatever is still wrong elsewhere."""
    for name in parts(known):
        for key, plant in plants(hunt).items():
            seen = not alike(known.answer(name, (key,)), known.answer(name, ()))
            assert seen == (plant.probe == name), f"{key} in {name}"


def test_the_bugs_of_a_probe_are_told_apart(hunt, known):
    """With any of its bugs in it, a part answers as with no other set of them."""
    for name in parts(known):
        keys = [key for key, plant in plants(hunt).items() if plant.probe == name]
        sets = [each for count in range(hunt.planted + 1) for each in itertools.combinations(keys, count)]
        sets = [each for each in sets if all(fit(hunt, *pair) for pair in itertools.combinations(each, 2))]
        for one, other in itertools.combinations(sets, 2):
            assert not alike(known.answer(name, one), known.answer(name, other)), f"{one} or {other} in {name}"


def test_of_each_pair_one_hides_nothing_of_the_other(hunt, known):
    """The program runs with any two that fit together, and gives numbers; the probe of either sees what it saw."""
    for one, other in itertools.combinations(plants(hunt), 2):
        if not fit(hunt, one, other):
            continue
        assert all(each.isfinite().all() for each in known.answer(known.checks.WHOLE, (one, other))), (one, other)
        if plants(hunt)[one].probe == plants(hunt)[other].probe:
            continue
        for key in (one, other):
            probe = plants(hunt)[key].probe
            assert alike(known.answer(probe, (one, other)), known.answer(probe, (key,))), (one, other)


def test_the_right_program_passes_whatever_was_planted(hunt, known):
    for key in (*plants(hunt), None):
        keys = [key] if key else []
        assert counted(known, hunt.reference, keys) == dict.fromkeys([*keys, SOUND], True)


def test_fifty_seeds_are_solved_in_any_order_and_counted_at_each_step(hunt, known):
    met = set()
    for seed in SEEDS:
        keys = drawn(hunt, random.Random(seed), hunt.planted)
        assert keys == drawn(hunt, random.Random(seed), hunt.planted)
        assert len(keys) == hunt.planted
        order = random.Random(-seed).sample(keys, len(keys))
        for mended in range(len(keys) + 1):
            wanted = {key: key in order[:mended] for key in keys} | {SOUND: True}
            assert counted(known, planted(hunt, order[mended:]), keys) == wanted, f"seed {seed}: {order}, {mended}"
        met |= set(keys)
    assert met == set(plants(hunt)), "bugs that are never drawn"


def test_the_reference_of_the_second_part_passes_and_the_first_part_does_not(hunt):
    with Known(hunt.second, SEED) as known, known.program(hunt.second.reference) as right:
        assert [check.title for check in known.second(right) if check.outcome == "failed"] == []
        with known.program(hunt.reference) as first:
            assert {check.outcome for check in known.second(first)} >= {"failed"}


# ------------------------------------------------------------------------------------------------ a small one

PROGRAM = '''"""Twice the sum."""
from torch import nn


class Twice(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        y = x + 1
        z = y * 2
        return z
'''
PLANTS = """
[minus]
sentence = "one is taken away"
probe = "output"
changes = [["x + 1", "x - 1"]]
[thrice]
sentence = "it is three times"
probe = "output"
changes = [["y * 2", "y * 3"]]
[both]
sentence = "all is otherwise"
probe = "output"
changes = [["y = x + 1\\n        z = y * 2", "z = x"]]
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    folder = tmp_path / "katas" / "small"
    folder.mkdir(parents=True)
    (folder / "hunt.toml").write_text('title = "Small"\nminutes = 5\nfile = "twice.py"\nplanted = 2\n')
    (folder / "twice.py").write_text(PROGRAM)
    (folder / "plants.toml").write_text(PLANTS)
    checks = types.ModuleType("katas.small.checks")

    def output(learner, draw):
        return [learner.Twice()(draw(3))]

    def whole(learner, draw):
        return [learner.Twice()(torch.arange(4.0))]

    checks.PROBES, checks.WHOLE, checks.SECOND = {"output": output, "whole": whole}, "whole", ()
    monkeypatch.setitem(sys.modules, "katas.small.checks", checks)
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    monkeypatch.setattr(hunts, "ROOT", tmp_path)
    return hunts.read_hunt(folder / "hunt.toml")


def test_it_is_no_kata_and_is_found_by_its_stem(small):
    assert Catalog(small.folder.parent).katas == ()
    (found,) = hunts.hunts(small.folder.parent)
    assert (found.stem, found.file, found.symbols, found.contract) == (
        "small",
        "twice.py",
        ("Twice",),
        "Twice the sum.",
    )
    assert hunts.by_stem().keys() == {kata.stem for kata in (*HUNTS, *Catalog().katas)}
    assert [hunts.find(each.stem) for each in HUNTS] == list(HUNTS)
    assert hunts.find(Catalog().stems[0]) == Catalog().katas[0]
    with pytest.raises(ValueError, match="no kata"):
        hunts.find("nothing")


def test_what_changes_the_same_text_is_not_planted_together(small):
    assert fit(small, "minus", "thrice")
    assert not fit(small, "minus", "both")
    assert planted(small, ["minus", "thrice"]) == PROGRAM.replace("x + 1", "x - 1").replace("y * 2", "y * 3")
    with pytest.raises(KataFault, match="change the same text"):
        planted(small, ["minus", "both"])
    assert {tuple(drawn(small, random.Random(seed), 2)) for seed in range(20)} == {("minus", "thrice"), ("both",)}


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("plants.toml", PLANTS.replace('"x + 1"', '"x + 4"'), "minus: each of its texts has to stand"),
        ("plants.toml", PLANTS.replace('sentence = "one is taken away"', ""), "minus: KeyError"),
        ("hunt.toml", "name = 3", "unexpected keyword"),
        ("hunt.toml", "title =", "hunt.toml"),
    ],
)
def test_a_broken_file_is_named(small, file, text, said):
    (small.folder / file).write_text(text)
    with pytest.raises(KataFault, match=said):
        plants(small) if file == "plants.toml" else hunts.read_hunt(small.folder / file).check()


@pytest.mark.parametrize(
    ("text", "found", "outcome"),
    [
        (PROGRAM.replace("+ 1", "- 1").replace("* 2", "* 3"), [], "failed"),
        (PROGRAM.replace("+ 1", "- 1"), ["thrice", SOUND], "failed"),
        (PROGRAM.replace("* 2", "* 3"), ["minus", SOUND], "failed"),
        (PROGRAM, ["minus", "thrice", SOUND], "passed"),
        (PROGRAM.replace("+ 1", "+ 5"), [], "failed"),
        (PROGRAM.replace("return z", "return z if len(z) == 3 else x"), ["minus", "thrice"], "failed"),
        (PROGRAM.replace("x + 1", "x.nothing"), [], "failed"),
        (PROGRAM.replace("return z", "return None"), [], "failed"),
        (PROGRAM.replace("return z", "return str(z)"), [], "failed"),
        (PROGRAM.replace("Twice", "Once"), None, "broken"),
        ("x = (", None, "broken"),
        ("import os\n" + PROGRAM, None, "broken"),
    ],
)
def test_what_is_found_and_whether_the_rest_is_right(small, tmp_path, examiner, text, found, outcome):
    file = tmp_path / "learner.py"
    file.write_text(text)
    (result,) = hunt_report(small, ["minus", "thrice"], file, examiner.host, SEED).katas
    assert result.outcome == outcome
    if found is not None:
        left = [SOUND] if text == PROGRAM.replace("+ 1", "- 1").replace("* 2", "* 3") else []
        assert [check.name for check in result.checks if check.outcome == "passed"] == found + left
        assert (result.passed, result.expected) == (len([key for key in found if key != SOUND]), 2)
    else:
        assert result.message
    if "nothing" in text:
        assert (result.checks[-1].kind, "has no attribute 'nothing'" in result.checks[-1].message) == ("raised", True)
        assert result.checks[-1].where.endswith(":10")


def test_a_probe_that_the_right_program_cannot_answer_is_a_fault_of_the_hunt(small, tmp_path, examiner):
    checks = sys.modules["katas.small.checks"]
    checks.PROBES = {**checks.PROBES, "output": lambda learner, draw: [learner.Twice()(draw(3)).nothing]}
    file = tmp_path / "learner.py"
    file.write_text(PROGRAM)
    with pytest.raises(KataFault, match="output, with nothing planted: the answer cannot be examined"):
        hunt_report(small, ["minus", "thrice"], file, examiner.host, SEED)


@pytest.mark.parametrize(("kind", "said"), [("raised", True), ("stopped", True), ("different", False)])
def test_why_a_program_did_not_run_is_said(kind, said):
    sound = CheckResult(SOUND, SOUND, "failed", message="it is why", where="here:3", kind=kind)
    result = KataResult("x", "X", "here", "failed", 1, 2, checks=(sound,))
    assert bugs.found(result).startswith("1 of 2 found; ")
    assert bugs.found(result).endswith("it is why (here:3)") == said


# ---------------------------------------------------------------------------------------------------- the verb


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("hunts"))


def test_a_hunt_in_steps_and_its_second_part(hunt, copy):
    sentences = [plant.sentence for plant in plants(hunt).values()]
    file = copy / ".kata" / "debug" / hunt.file
    assert grader(copy, "debug", "check").returncode == 2
    started = grader(copy, "debug", "start", "--seed", "3")
    assert (started.returncode, hunt.title in started.stdout, hunt.file in started.stdout) == (0, True, True)
    keys = planted_in(hunt, read(file))
    assert grader(copy, "debug", "start").returncode == 2, "one is under way"
    file.write_text(planted(hunt, keys[2:]))
    said = grader(copy, "debug", "check")
    assert (said.returncode, f"2 of {hunt.planted} found" in said.stdout) == (1, True)
    assert not [sentence for sentence in sentences if sentence in " ".join(said.stdout.split())]
    done = grader(copy, "debug", "finish")
    shown = " ".join(done.stdout.split())
    for key in plants(hunt):
        assert (plants(hunt)[key].sentence in shown) == (key in keys), key
    assert len(re.findall(r"^not found ", done.stdout, re.MULTILINE)) == hunt.planted - 2
    assert done.stdout.count("Red flag") == 8
    assert grader(copy, "debug", "start", "--part", "2").returncode == 0
    assert hunt.second.contract in read(file)
    file.write_text(hunt.second.reference)
    assert grader(copy, "debug", "finish").returncode == 0
    history = grader(copy, "history").stdout
    assert re.search(rf"x +\S+ \S+ +{hunt.stem} +drill", history)
    assert re.search(rf"ok +\S+ \S+ +{hunt.stem} +interview", history)


def read(file):
    return file.read_text(encoding="utf-8")


def planted_in(hunt, text):
    """The bugs of a program's text."""
    for keys in itertools.combinations(sorted(plants(hunt)), hunt.planted):
        if all(fit(hunt, *pair) for pair in itertools.combinations(keys, 2)) and planted(hunt, keys) == text:
            return keys
    raise AssertionError("it is not the program with bugs that fit together")


def test_a_hunt_on_a_terminal(hunt, copy):
    terminal = Terminal(copy, "debug", KATA_LANG="zh")
    terminal.until("限时", "r ")
    (copy / ".kata" / "debug" / hunt.file).write_text(hunt.reference)
    terminal.press("r")
    terminal.until(f"{hunt.planted} 个 bug 中找到了 {hunt.planted} 个")
    terminal.press("q")
    assert terminal.finish() == 1
    terminal.close()
    dropped = grader(copy, "debug", "drop")
    assert (dropped.returncode, dropped.stdout.startswith(f"Given up: {hunt.title}")) == (0, True)
