"""Networks that see different crops under one objective."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import InputSpec, widest
from dst_jax.distill import LabelConfig, make_labels, make_objective
from dst_jax.errors import InputError
from dst_jax.models import ModelConfig, init_variables
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


def loss(students, examples, setting=PLAIN):
    variables = {n: init_variables(jax.random.key(1), s) for n, s in students.items()}
    objective = make_objective(None, students, setting)
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


@pytest.mark.parametrize(("smooth", "antialias"), [("always", True), ("never", False)])
def test_whether_smaller_views_are_smoothed_is_a_setting(smooth, antialias):
    """The far network sees shrunk crops, the near one a part of them as it is."""
    examples = batch()
    setting = PLAIN._replace(model=ModelConfig(smooth_views=smooth))
    together = loss(BOTH, examples, setting)
    far = loss({"far": FAR}, examples_for(examples, FAR.input, antialias=antialias))
    np.testing.assert_allclose(together["far/gt"], far["far/gt"], 1e-5)
    other = loss(
        {"far": FAR}, examples_for(examples, FAR.input, antialias=smooth == "never")
    )
    assert abs(float(together["far/gt"] - other["far/gt"])) > 1e-4


def test_labels_follow_the_target_in_each_networks_own_view():
    examples = batch()
    # One near cell (4 px) to the right of the middle of the widest crop, and two up.
    moved = examples.search_box + jnp.array([[4.0, -8.0, 0.0, 0.0]])
    examples = examples._replace(search_box=moved)
    config = LabelConfig(radius_px=0.5, label_centre="target")
    for spec in BOTH.values():
        seen = examples_for(examples, spec.input)
        labels = make_labels(spec, config)(seen, jax.random.key(0)).labels
        grid = spec.grid(spec.input.train_search_px)
        # Of an odd map the middle is a cell, and both networks have cells of 4 px.
        ratio = float(seen.search_box[0, 0] - spec.input.train_search_px / 2) / 4.0
        assert np.argwhere(labels[0] == 1.0).tolist() == [
            [grid.side // 2 - round(2 * ratio), grid.side // 2 + round(ratio)]
        ]
        assert not np.any(labels[1])  # which shows no target


def test_a_rounding_without_a_target_to_round_is_refused():
    with pytest.raises(InputError, match=r"LabelConfig.label_rounding='floor': rounds"):
        LabelConfig(label_rounding="floor")


def test_networks_that_no_crop_serves_are_refused():
    input = dataclasses.replace(FAR.input, context=0.3)
    other = {"near": NEAR, "far": dataclasses.replace(FAR, input=input)}
    with pytest.raises(InputError, match="need one rule, with the same context"):
        make_objective(None, other, PLAIN)
