"""What trackers are called that a command line gives as folders."""

import pytest

from dst_jax.errors import InputError
from dst_jax.workflows.tracker_names import named_bundles


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Bundles of two runs, one of them in a folder whose name holds an "="."""
    monkeypatch.chdir(tmp_path)
    for place in ("a/dull", "a/wise", "b/dull", "rate=0.1/dull", "a/.hidden"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "spec.json").write_text("{}")
    (tmp_path / "a" / "notes").mkdir()
    return tmp_path


def names(*given):
    return [(name, str(path)) for name, path in named_bundles(given).items()]


def test_a_tracker_is_called_after_its_folder_or_as_is_said(runs):
    assert names("a/dull") == [("dull", "a/dull")]
    assert names("small=a/dull", "a/wise/") == [("small", "a/dull"), ("wise", "a/wise")]
    assert names(f"small={runs}/a/dull") == [("small", f"{runs}/a/dull")]


def test_an_equals_sign_in_a_path_divides_nothing(runs):
    assert names("rate=0.1/dull") == [("dull", "rate=0.1/dull")]
    assert names("./rate=0.1/dull") == [("dull", "./rate=0.1/dull".removeprefix("./"))]
    assert names("no/rate=0.1/x") == [("x", "no/rate=0.1/x")]  # whoever loads it tells
    assert names("x=rate=0.1/dull") == [("x", "rate=0.1/dull")]


def test_a_folder_of_bundles_stands_for_each_of_them(runs):
    assert names("a") == [("dull", "a/dull"), ("wise", "a/wise")]
    assert names("old=a") == [("old/dull", "a/dull"), ("old/wise", "a/wise")]


def test_two_of_one_name_are_told_apart_by_their_paths(runs):
    assert names("a", "b/dull", "rate=0.1") == [
        ("a/dull", "a/dull"),
        ("wise", "a/wise"),
        ("b/dull", "b/dull"),
        ("rate=0.1/dull", "rate=0.1/dull"),
    ]


def test_what_is_no_bundle_is_left_to_whoever_loads_it(runs):
    assert names("a/notes", "none") == [("notes", "a/notes"), ("none", "none")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "no tracker to evaluate"),
        (("a/dull", "./a/../a/dull"), "a/dull: is given 2 times; give it once"),
        (("a", "x=a/wise"), "a/wise: is given 2 times"),
        (("x=a/dull", "x=b/dull"), r"2 trackers are called 'x'; give them names"),
        (("dull=b/dull", "a/dull"), "2 trackers are called 'dull'"),
        ((" =a/dull",), r"' =a/dull': give NAME=BUNDLE"),
        (("..=a/dull",), "give NAME=BUNDLE with a plain name"),
        (("x=",), "give NAME=BUNDLE"),
    ],
)
def test_names_that_say_nothing_are_refused(runs, given, message):
    with pytest.raises(InputError, match=message):
        named_bundles(given)
