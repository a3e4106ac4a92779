"""Rows by name, and the paper's values by name."""

import ast
import dataclasses
import inspect
import sys

import pytest

from dst_jax.distill import (
    DistillConfig,
    Hard,
    Response,
    Sharing,
    Soft,
    literal,
    with_row,
)
from dst_jax.distill.config import PAPER
from dst_jax.errors import InputError

# Another value in every option that the paper states.
OTHERS = DistillConfig(
    {
        "ah": Hard(weight=1.0, margin=0.1),
        "ts": Soft(weight=2.0, temperature=3.0, reduction="sum"),
        "str": Response(weight=5.0, layers=(5,), scale="cells"),
        "ks": Sharing(weight=0.5, margin=0.3, discount=0.9, gate_over="example"),
        "mine": Hard(weight=7.0),
    },
    warmup_epochs=10.0,
)


def test_a_literal_row_has_the_values_of_section_5_1():
    found = with_row(OTHERS, "literal:TSsKD")
    assert list(found.terms) == ["ah", "ts", "str", "ks"]
    hard, soft, response, sharing = found.terms.values()
    # m, lambda, omega, temp, h and beta.
    assert (hard.margin, hard.weight, response.weight) == (0.005, 0.1, 100.0)
    assert (soft.temperature, sharing.margin, sharing.discount) == (1.0, 0.005, 0.5)
    assert (soft.weight, sharing.weight) == (1.0, 1.0)
    assert (sharing.gate, sharing.gate_over) == ("learner", "batch")
    assert (soft.direction, response.layers) == ("student_first", (3, 4, 5))
    assert found.warmup_epochs == 10.0


def test_the_word_alone_is_the_whole_method():
    assert with_row(OTHERS, "literal") == with_row(OTHERS, "literal:TSsKD")


@pytest.mark.parametrize(
    ("row", "weights"),
    [
        ("NOKD", {"gt": 1.0}),
        ("GT+TS", {"gt": 0.1, "ts": 1.0}),
        ("TSKD", {"ah": 0.1, "ts": 1.0, "str": 100.0}),
        ("ts+mine", {"ts": 1.0, "mine": 7.0}),
    ],
)
def test_every_row_can_be_literal(row, weights):
    found = with_row(OTHERS, f"literal:{row}")
    assert {name: term.weight for name, term in found.terms.items()} == weights


def test_a_literal_row_needs_no_terms_of_the_configuration():
    plain = with_row(OTHERS, "NOKD")
    assert with_row(plain, "literal").terms == with_row(OTHERS, "literal").terms


def test_no_literal_value_is_left_to_a_default():
    tree = ast.parse(inspect.getsource(sys.modules[literal.__module__]))
    (stated,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.target.id == "PAPER"
    )
    for name, call in zip(stated.keys, stated.values, strict=True):
        fields = dataclasses.fields(PAPER[name.value])
        assert {word.arg for word in call.keywords} == {field.name for field in fields}


@pytest.mark.parametrize("row", ["literal:", "literal:TSXD", "other:TSKD", "TSXD"])
def test_a_row_that_is_none_is_refused_with_those_that_are(row):
    with pytest.raises(InputError, match=r"there is GT, TS, .*literal: before either"):
        with_row(OTHERS, row)
