"""Overriding fields: terms in a mapping, one's own terms, near names, one check."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
import tyro

from dst_jax.command import fields, settings
from dst_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Gate:
    """When a student listens.

    Attributes:
      margin: By how much the peer
        must be better.
    """

    margin: float = 0.1


@dataclasses.dataclass(frozen=True)
class Soft:
    """Soft labels.

    Attributes:
      weight: What the term counts.
      temperature: Divides the logits.
    """

    weight: float = 1.0
    temperature: float = 1.0
    form: Literal["cell", "map"] = "cell"
    clip: float | None = None
    span: tuple[float, float] = (0.0, 1.0)
    layers: tuple[int, ...] = (3, 4)
    gate: Gate = Gate()
    on: bool = True

    def __post_init__(self):
        if self.weight < 0 or self.weight > self.temperature:
            raise InputError(f"Soft.weight={self.weight}: between 0 and temperature.")


@dataclasses.dataclass(frozen=True)
class Toy:
    """Terms by name.

    Attributes:
      warmup_epochs: Epochs before the terms count.
    """

    terms: Annotated[Mapping[str, Any], tyro.conf.arg(name="")]
    warmup_epochs: float = 0.0


@dataclasses.dataclass(frozen=True)
class Rest:
    """What no option touches; nothing is said of `size`."""

    size: int = 3


MINE = '''
"""A configuration with a term of its own."""
from __future__ import annotations
import dataclasses
from dst_jax.configs import demo_teacher

@dataclasses.dataclass(frozen=True)
class Entropy:
    """Entropy of the map.

    Attributes:
      weight: What it counts.
      norm: Whether it is divided by the cells.
    """
    weight: float = 0.5
    norm: bool = False

def experiment():
    made = demo_teacher.experiment()
    object.__setattr__(made, "mine", Entropy())
    return made
'''


@pytest.fixture
def parts():
    return {"distill": Toy({"ts": Soft(), "ks_x": Gate()}), "rest": Rest()}


def given(parts, line, **more):
    return fields.override(parts, line.split(), renamed={}, **more)


def test_a_term_is_overridden_by_its_name_and_field(parts):
    line = "--distill.ts.temperature 2 --distill.ks-x.margin=0.3"
    new = given(parts, line)["distill"]
    assert new.terms["ts"] == Soft(temperature=2.0)
    assert new.terms["ks_x"] == Gate(0.3)
    assert new.warmup_epochs == 0.0
    assert given(parts, "--distill.warmup_epochs 3")["distill"].warmup_epochs == 3.0


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("form map", "form", "map"),
        ("clip 2.5", "clip", 2.5),
        ("clip none", "clip", None),
        ("clip None", "clip", None),
        ("span -1 2", "span", (-1.0, 2.0)),
        ("layers 1", "layers", (1,)),
        ("layers", "layers", ()),
        ("gate.margin 0.2", "gate", Gate(0.2)),
        ("on false", "on", False),
        ("on False", "on", False),
        ("on", "on", True),
    ],
)
def test_values_of_every_kind_are_read(line, field, value):
    start = {"distill": Toy({"ts": Soft(clip=7.0, on=field != "on" or not value)})}
    term = given(start, f"--distill.ts.{line}")["distill"].terms["ts"]
    assert getattr(term, field) == value
    assert type(getattr(term, field)) is type(value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "--distill.ts.wieght 2",
            "--distill.ts.wieght: unknown; did you mean --distill.ts.weight?",
        ),
        (
            "--distill.ks-x.magrin=2",
            "--distill.ks-x.magrin: unknown; did you mean --distill.ks_x.margin?",
        ),
        (
            "--distill.terms.ts.weight 2",
            "--distill.terms.ts.weight: unknown; did you mean --distill.ts.weight?",
        ),
        (
            "--temperature 2",
            "--temperature: unknown; did you mean --distill.ts.temperature?",
        ),
        ("--on true", "--on: unknown; did you mean --distill.ts.on?"),
        ("--qqq 2", "--qqq: unknown; see dst-jax config show CONFIG."),
        ("--sede 2", "--sede: unknown; did you mean --seed?"),
        ("loose", "'loose': unexpected; see dst-jax config show CONFIG."),
        ("--rest.size 3 4", "'4': unexpected; see dst-jax config show CONFIG."),
        ("--rest.size many", "--rest.size many: expected INT."),
        ("--rest.size=many", "--rest.size=many: expected INT."),
        ("--rest.size --rest.size 3", "--rest.size 3: expected INT."),
        ("--distill.ts.clip x", "--distill.ts.clip x: expected none|FLOAT."),
        ("--distill.ts.form box", "--distill.ts.form box: expected {cell,map}."),
        ("--distill.ts.span 1", "--distill.ts.span 1: expected FLOAT FLOAT."),
        ("--distill.ts.on maybe", "--distill.ts.on maybe: expected true or false."),
        ("--distill.ts.weight 2", "Soft.weight=2.0: between 0 and temperature."),
    ],
)
def test_what_is_unfit_is_said_in_one_line(parts, line, message):
    with pytest.raises(InputError) as caught:
        given(parts, line, also=["seed", "row"])
    assert str(caught.value) == message


def test_fields_are_checked_together_in_any_order(parts):
    words = ["--distill.ts.weight 2", "--distill.ts.temperature 3"]
    for line in (" ".join(words), " ".join(reversed(words))):
        term = given(parts, line)["distill"].terms["ts"]
        assert (term.weight, term.temperature) == (2.0, 3.0)


def test_what_does_not_change_remains_the_same_object(parts):
    new = given(parts, "--distill.ts.temperature 2")
    assert new["rest"] is parts["rest"]
    assert new["distill"].terms["ks_x"] is parts["distill"].terms["ks_x"]
    assert new["distill"].terms["ts"].gate is parts["distill"].terms["ts"].gate
    same = given(parts, "--distill.ts.temperature 1.0")
    assert same["distill"] is parts["distill"]


def test_an_old_name_is_refused_with_the_new_one(parts):
    table = {"distill.temperature_x": "--distill.ts.temperature"}
    with pytest.raises(InputError) as caught:
        fields.override(parts, ["--distill.temperature-x", "2"], renamed=table)
    told = "--distill.temperature-x: is now --distill.ts.temperature."
    assert str(caught.value) == told


def test_every_renamed_field_is_none_of_today():
    experiment = settings.load_experiment("demo_students")
    today = {f.name for f in fields.fields_of(settings.by_section(experiment))}
    assert not today & set(settings.RENAMED)


def test_fields_have_the_values_and_help_of_their_classes(parts):
    found = {field.name: field for field in fields.fields_of(parts)}
    assert list(found)[:2] == ["distill.ts.weight", "distill.ts.temperature"]
    assert found["distill.ts.temperature"].help == "Divides the logits."
    assert found["distill.ks_x.margin"].help == "By how much the peer must be better."
    assert found["distill.ts.gate.margin"].value == 0.1
    assert found["distill.warmup_epochs"].help == "Epochs before the terms count."
    assert found["rest.size"] == ("rest.size", 3, "")
    assert "distill.terms" not in found and "distill.ts" not in found


def test_every_field_of_the_packaged_configurations_is_explained():
    for name in ("demo_students", "demo_siamrpn_students"):
        parts = settings.by_section(settings.load_experiment(name))
        bare = [field.name for field in fields.fields_of(parts) if not field.help]
        assert not bare


def test_a_term_of_a_users_file_is_a_term_like_any(tmp_path):
    (tmp_path / "optax.py").write_text(MINE)
    mine = settings.load_experiment(str(tmp_path / "optax.py")).mine
    assert sys.modules["optax"].__name__ == "optax"
    assert not hasattr(sys.modules["optax"], "Entropy")
    parts = {"distill": Toy({"ts": Soft(), "mine": mine})}
    new = given(parts, "--distill.mine.weight 2 --distill.mine.norm")["distill"]
    assert (new.terms["mine"].weight, new.terms["mine"].norm) == (2.0, True)
    assert type(new.terms["mine"]) is type(mine)
    assert new.terms["ts"] is parts["distill"].terms["ts"]
    found = {field.name: field.help for field in fields.fields_of(parts)}
    assert found["distill.mine.norm"] == "Whether it is divided by the cells."
    with pytest.raises(InputError, match=r"did you mean --distill\.mine\.weight\?"):
        given(parts, "--distill.mine.wieght 2")


def test_without_terms_there_are_only_the_other_fields():
    parts = {"distill": Toy({})}
    (field,) = fields.fields_of(parts)
    assert field.name == "distill.warmup_epochs"
    assert given(parts, "--distill.warmup_epochs 2")["distill"] == Toy({}, 2.0)


def test_a_mapping_of_numbers_is_overridden_by_key():
    @dataclasses.dataclass(frozen=True)
    class Shares:
        """Shares by name."""

        shares: Mapping[str, float]

    parts = {"data": Shares({"a": 1.0, "b": 2.0})}
    assert [field.name for field in fields.fields_of(parts)] == [
        "data.shares.a",
        "data.shares.b",
    ]
    assert given(parts, "--data.shares.b 5")["data"].shares == {"a": 1.0, "b": 5.0}


def test_a_value_that_no_word_can_spell_is_left_to_the_file():
    @dataclasses.dataclass(frozen=True)
    class Odd:
        """A function as a field."""

        rule: Any = max

    with pytest.raises(InputError, match=r"rule 1: only a configuration's file"):
        given({"data": Odd()}, "--data.rule 1")
    assert given({"data": Odd(), "rest": Rest()}, "--rest.size 1")["data"].rule is max
