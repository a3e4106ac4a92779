"""The table of terms and families in docs/equations.md, field by field."""

import dataclasses
import functools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.distill import (
    Disc,
    DistillConfig,
    Hard,
    Pair,
    Point,
    Qkv,
    Response,
    Sharing,
    Soft,
    Task,
    check_fit,
    init_adapters,
    make_objective,
)
from dst_jax.errors import InputError
from dst_jax.models import init_variables
from dst_jax.ops.augment import centre_crops, patch_sides
from tests import networks
from tests.train import setting

pytestmark = pytest.mark.optax

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "equations.md"
_NARROW_LEVELS = dataclasses.replace(
    networks.LEVELS, head=networks.LEVELS.head.with_features(4)
)
# Teacher and students of a column.
COLUMNS = {
    "SiamFC": (networks.TEACHER, networks.STUDENTS),
    "SiamRPN": (networks.REGION_TEACHER, networks.REGION_STUDENTS),
    "SiamRPN++": (
        networks.LEVELS,
        {"dull": _NARROW_LEVELS, "intelligent": networks.LEVELS},
    ),
    "SiamDW": (
        networks.SIAMDW,
        dict(
            zip(("dull", "intelligent"), networks.SIAMDW_STUDENTS.values(), strict=True)
        ),
    ),
    "SiamFC under SiamRPN": (networks.REGION_TEACHER, networks.STUDENTS),
    "SiamRPN under SiamFC": (networks.TEACHER, networks.REGION_STUDENTS),
    "OSTrack": (
        networks.ONE_STREAM_TEACHER,
        dict.fromkeys(("dull", "intelligent"), networks.ONE_STREAM_TEACHER),
    ),
    "OSTrack of unequal sizes": (
        networks.ONE_STREAM_TEACHER,
        networks.ONE_STREAM_STUDENTS,
    ),
}
RESIDUAL = ("SiamRPN++", "SiamDW")
# The term of a row; the tiny networks have three stages, and gates are wide open.
ROWS = {
    "`gt`": Task(),
    "`ah`": Hard(weight=1.0),
    "`ts`": Soft(),
    "`ts`, `form=map`": Soft(form="map"),
    "`str`": Response(weight=1.0, layers=(2, 3)),
    '`str`, `layers=("norm",)`, `resize`': Response(
        weight=1.0, layers=("norm",), resize=True
    ),
    "`ks`": Sharing(margin=1e3),
    "`point`": Point(),
    "`pair`, `resize`": Pair(resize=True),
    "`qkv`": Qkv(),
    "`disc`": Disc(),
}


def term_of(row, column):
    """The term of a field; residual stages have names where others have numbers."""
    if row == "`str`" and column in RESIDUAL:
        return dataclasses.replace(ROWS[row], layers=("layer1", "layer2"))
    return ROWS[row]


def table():
    """What each field says, by row and column."""
    text = PAGE.read_text().partition("## Which terms fit which families")[2]
    lines = re.findall(r"^\|(.*)\|$", text.partition("\n## ")[0], re.M)
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    heads = cells[0][1:]
    return {row[0]: dict(zip(heads, row[1:], strict=True)) for row in cells[2:]}


def test_the_table_has_every_term_and_family():
    assert list(table()) == list(ROWS)
    assert all(list(fields) == list(COLUMNS) for fields in table().values())


def allowed(column):
    """The terms of a column by names that a configuration can have."""
    rows = [row for row, fields in table().items() if fields[column] == "yes"]
    return {re.sub(r"\W+", "_", row).strip("_"): term_of(row, column) for row in rows}


@pytest.mark.parametrize("column", COLUMNS)
def test_every_other_field_has_the_reason_of_a_refusal(column):
    teacher, students = COLUMNS[column]
    for row, fields in table().items():
        config = DistillConfig({"mine": term_of(row, column)})
        if fields[column] == "yes":
            check_fit(teacher, students, config)
            continue
        assert len(fields[column]) > 20
        with pytest.raises(InputError) as refusal:
            check_fit(teacher, students, config)
        line = str(refusal.value)
        assert fields[column] in line and "\n" not in line
        assert line.startswith("student dull, term mine: ")


@functools.cache
def slopes(column):
    """A function to each term's value and gradient, and what it begins with."""
    teacher, students = COLUMNS[column]
    config = setting.REGION_CONFIG._replace(distill=DistillConfig(allowed(column)))
    objective = make_objective(teacher, students, config)
    key = jax.random.key(0)
    variables = {n: init_variables(key, spec) for n, spec in students.items()}
    adapters = init_adapters(key, teacher, students, config.distill)
    params = {n: dict(v["params"]) for n, v in variables.items()}
    for name, own in adapters.items():
        params[name]["adapters"] = own
    stats = {n: v["batch_stats"] for n, v in variables.items()}
    theirs = init_variables(jax.random.key(1), teacher)
    sides = patch_sides(teacher.input, setting.AUGMENT)
    if teacher.head.one_stream:
        sides = teacher.input.template_px, teacher.input.train_search_px
    batch = setting.make_batch(0, sides=sides)
    examples = centre_crops(batch, input=teacher.input)

    def values(params):
        _, (_, metrics) = objective(
            params, stats, theirs, examples, epoch=jnp.zeros(()), key=key
        )
        terms = {n: metrics.terms[f"dull/{n}"] for n in config.distill.terms}
        return terms, terms

    return jax.jit(jax.jacrev(values, has_aux=True)), params


def _is_slow(column):
    """Whether its programs take long to compile."""
    return " under " in column or column in (*RESIDUAL, "OSTrack")


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(name, marks=[pytest.mark.slow] if _is_slow(name) else [])
        for name in COLUMNS
    ],
)
def test_every_allowed_term_trains_three_steps(column):
    step, params = slopes(column)
    for _ in range(3):
        gradients, values = jax.device_get(step(params))
        assert set(values) == set(allowed(column))
        for name, value in values.items():
            leaves = jax.tree.leaves(gradients[name])
            assert np.isfinite(value) and all(np.all(np.isfinite(g)) for g in leaves)
            # A gradient reaches the student's backbone, not only a head or an adapter.
            own = jax.tree.leaves(gradients[name]["dull"]["backbone"])
            assert max(np.max(np.abs(g)) for g in own) > 1e-8, name
        params = jax.tree.map(
            lambda leaf, *slopes: leaf - 1e-4 * sum(slopes), params, *gradients.values()
        )
