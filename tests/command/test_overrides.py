"""Whatever word a field gets: a value, or one line, at once and without computing."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst_jax.command import settings as experiments
from dst_jax.command.fields import fields_of
from dst_jax.command.main import main
from dst_jax.errors import InputError

NAMES = sorted(experiments.packaged())
LOADED = {name: experiments.load_experiment(name) for name in NAMES}
FIELDS = {
    name: list(fields_of(experiments.by_section(experiment)))
    for name, experiment in LOADED.items()
}
WORDS = [
    *("0", "-0", "1", "-1", "2", "1e3", "1e308", "1e999", "nan", "inf", "-inf"),
    *("9223372036854775808", "1" * 5000, "1e-320", "0x10", "1_000", "\u0663", "1,2"),
    *("true", "none", "None", "", " ", "[]", "()", "{}", "x" * 10_000, "--", "-"),
    *("otb:D", "\udce9", "\x1b[31m", "a\nb", "\0", "\u202e"),
]
values = st.lists(
    st.sampled_from(WORDS) | st.text(max_size=8) | st.floats().map(str), max_size=4
)


# The others have no other fields than these two.
QUICK = ("demo_students", "siamrpn_dst")


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_word_for_any_field_is_a_value_or_one_line(name, data):
    field = data.draw(st.sampled_from(FIELDS[name]))
    words = [f"--{field.name}", *data.draw(values)]
    began = time.process_time()
    try:
        changed = experiments.override(LOADED[name], words)
    except InputError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert isinstance(changed, type(LOADED[name]))
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize("word", ["nan", pytest.param("inf", marks=pytest.mark.slow)])
def test_no_share_length_or_weight_takes_what_is_not_a_number(word):
    """The sections of training; their numbers decide what a run computes."""
    taken, name = [], "demo_students"
    for field in FIELDS[name]:
        section = field.name.partition(".")[0]
        if section not in ("data", "augment", "distill", "labels", "optim", "loop"):
            continue
        if isinstance(field.value, bool) or not isinstance(field.value, int | float):
            continue
        try:
            experiments.override(LOADED[name], [f"--{field.name}", word])
        except InputError:
            continue
        taken.append(field.name)
    assert taken == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--data.batch", "1e3"), "--data.batch 1e3: expected INT."),
        (("--data.batch", "1" * 5000), "expected INT."),
        (
            ("--data.batch", "4", "5"),
            "'5': unexpected; see dst-jax",
        ),
        (("--optim.epochs", "nan"), "OptimConfig.epochs=nan: must be finite and"),
        (("--optim.epochs", "1e999"), "OptimConfig.epochs=inf: must be finite and"),
        (("--optim.method", "lion"), "--optim.method lion: expected {sgd,adam,adamw}."),
        (("--seed", "9223372036854775808"), "Experiment.seed=9223372036854775808: "),
        (("--seed", "-1"), "Experiment.seed=-1: must lie in"),
        (("--seed", "1e3"), "--seed 1e3: expected INT."),
        (("--workdir", ""), "--workdir : expected PATH."),
        (("--init", "a="), "--init a=: expected NAME=BUNDLE or BUNDLE."),
        (("--backbone", "a="), "--backbone a=: expected NAME=BUNDLE or BUNDLE."),
        (("--optim.parts", "conv1", "0"), "--optim.parts conv1 0: expected [STR FLOAT"),
        (
            ("--optim.parts", "conv1", ".1", "99"),
            "OptimConfig.parts: conv1 is to learn from epoch 99, and the run has",
        ),
        (("--init", "=b"), "--init =b: expected NAME=BUNDLE or BUNDLE."),
        (("--student", "=tiny"), "--student =tiny: expected NAME=ZOO or"),
        (("--student", "a b=tiny"), "student name 'a b': letters, digits, "),
        (("--student", "a=\0"), "is no path; name a file or a folder."),
    ],
)
def test_what_a_training_cannot_take_is_one_line(words, line, tmp_path, capsys):
    given = ["train", "demo_teacher", "--workdir", str(tmp_path / "w"), *words]
    assert main(given) == 2
    err = capsys.readouterr().err
    assert line in err and err.count("\n") == 1 and len(err) <= 2100
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("box", ["nan,1,2,3", "1,2,1e999,3", "1,2,-3,4", "1,2,3,4,5"])
def test_a_box_that_is_none_is_one_line(box, capsys):
    words = ["track", "--tracker", "T", "--video", "V", "--out", "o.txt", "--box", box]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"dst-jax: --box '{box}': ") and err.count("\n") == 1


@pytest.mark.parametrize("seed", ["-1", "9223372036854775808"])
def test_a_demonstration_with_a_bad_seed_makes_no_video(seed, tmp_path, capsys):
    assert main(["demo", "--workdir", str(tmp_path / "d"), "--seed", seed]) == 2
    assert f"Experiment.seed={seed}: must lie in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
