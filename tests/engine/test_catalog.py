"""The catalog: order, tracks, and which kata somebody means."""

import pytest

from grading.catalog import Catalog, read_kata, submission


@pytest.fixture
def catalog(tmp_path):
    """Katas by name: the tracks and what each comes after are given."""
    for stem, track, after in (
        ("beta", "core", []),
        ("alphabet", "core", ["gamma"]),
        ("gamma", "core", ["beta"]),
        ("alpha", "further", ["beta"]),
        ("abc_def", "further", ["alpha"]),
    ):
        (tmp_path / stem).mkdir()
        text = f'title = "T"\nminutes = 1\ntrack = "{track}"\nafter = {after}\n[holes]\nf = ["a"]\n"C.g" = ["b"]\n'
        (tmp_path / stem / "kata.toml").write_text(text)
    (tmp_path / "shared").mkdir()
    return Catalog(tmp_path)


def test_each_comes_after_those_before_it_and_tracks_are_numbered_by_themselves(catalog):
    assert catalog.stems == ("beta", "gamma", "alphabet", "alpha", "abc_def")
    assert [kata.number for kata in catalog.katas] == [1, 2, 3, 1, 2]
    assert catalog.tracks == ("core", "further")
    assert catalog["beta"].symbols == ("f", "C")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("beta", "beta"),
        ("BETA", "beta"),
        ("problems/beta.py", "beta"),
        ("alpha", "alpha"),
        ("gam", "gamma"),
        ("Def", "abc_def"),
        ("abc-def", "abc_def"),
        ("3", "alphabet"),
    ],
)
def test_a_kata_is_found_by_what_is_unique_of_it(catalog, name, stem):
    assert catalog.find(name).stem == stem


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("bet", "several katas 'bet': did you mean beta or alphabet?"),
        ("gamm4", "no kata 'gamm4': did you mean gamma?"),
        ("zzz", "no kata 'zzz': choose from beta, gamma, alphabet, alpha, abc_def"),
        ("9", "no kata '9': choose from"),
        ("", "no kata '': choose from"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(catalog, name, answer):
    with pytest.raises(ValueError, match=answer.replace("?", r"\?")):
        catalog.find(name)


def test_the_order_of_the_katas_is_that_of_what_each_needs():
    seen = set()
    for kata in Catalog().katas:
        assert seen.issuperset(kata.after), kata.stem
        seen.add(kata.stem)


def test_a_submission_is_in_a_folder_or_a_file_of_any_name(tmp_path):
    (tmp_path / "answer").write_text("")
    assert submission(tmp_path / "answer", "alpha") == tmp_path / "answer"
    assert submission(tmp_path / "gone.py", "alpha") == tmp_path / "gone.py"
    assert submission(tmp_path, "alpha") == tmp_path / "alpha.py"


def test_what_a_kata_refuses_has_to_be_known(catalog, tmp_path):
    path = tmp_path / "beta" / "kata.toml"
    text = path.read_text()
    assert read_kata(path).refuses == ()
    path.write_text('refuses = ["autograd"]\n' + text)
    assert read_kata(path).refuses == ("autograd",)
    path.write_text('refuses = ["autograd", "softmax"]\n' + text)
    assert "refuses has 'softmax', and has to consist of some of autograd" in str(read_kata(path).fault)
