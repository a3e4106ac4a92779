"""Networks that see different crops under one objective."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import InputSpec, widest
from dst_jax.distill import make_objective
from dst_jax.errors import InputError
from dst_jax.models import init_variables
from dst_jax.ops.examples import Examples, examples_for
from tests import networks, objectives

pytestmark = pytest.mark.optax

NEAR = networks.TEACHER
FAR = dataclasses.replace(
    networks.STUDENTS["dull"],
    input=InputSpec(template_px=23, search_px=55, train_search_px=39),
)
BOTH = {"near": NEAR, "far": FAR}
PLAIN = objectives.row(objectives.TINY, "NOKD")


def batch():
    """Crops of the widest input; the second pair's search crop shows no target."""
    rng = np.random.default_rng(0)
    input = widest({name: spec.input for name, spec in BOTH.items()})
    sides = input.template_px, input.train_search_px
    template, search = (
        jnp.asarray(rng.uniform(0, 255, (2, side, side, 3)), jnp.float32)
        for side in sides
    )
    middle = jnp.full((2, 4), input.train_search_px / 2, jnp.float32)
    flags = jnp.ones(2), jnp.array([0.0, 1.0])
    return Examples(template, search, *flags, middle, jnp.arange(2), input)


def loss(students, examples):
    variables = {n: init_variables(jax.random.key(1), s) for n, s in students.items()}
    objective = make_objective(None, students, PLAIN)
    parts = ({n: v[kind] for n, v in variables.items()} for kind in KINDS)
    _, (_, metrics) = jax.jit(objective)(
        *parts, {}, examples, epoch=jnp.zeros(()), key=jax.random.key(0)
    )
    return metrics.terms


KINDS = "params", "batch_stats"


def test_each_network_learns_from_its_own_view_of_the_crops():
    examples = batch()
    together = loss(BOTH, examples)
    for name, spec in BOTH.items():
        alone = loss({name: spec}, examples_for(examples, spec.input))
        np.testing.assert_allclose(together[f"{name}/gt"], alone[f"{name}/gt"], 1e-5)
    assert float(together["near/gt"]) != float(together["far/gt"])


def test_networks_that_no_crop_serves_are_refused():
    input = dataclasses.replace(FAR.input, context=0.3)
    other = {"near": NEAR, "far": dataclasses.replace(FAR, input=input)}
    with pytest.raises(InputError, match="need one rule, with the same context"):
        make_objective(None, other, PLAIN)
