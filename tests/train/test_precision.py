"""Half precise training follows that of float32, whose parameters it keeps."""

import jax
import numpy as np
import pytest

from dst_jax.models import init_variables
from tests import networks, objectives
from tests.train import setting

pytestmark = pytest.mark.optax

STEPS = 24
# bfloat16 rounds to 8 bits, 0.4 %; losses are means over many cells, and both trainings
# see the same pairs.
TOLERANCE = 0.03
FAMILIES = {
    "siamfc": (setting.TEACHER, setting.STUDENTS["dull"], setting.CONFIG),
    "siamrpn": (
        setting.REGION_TEACHER,
        setting.REGION_STUDENTS["dull"],
        setting.REGION_CONFIG,
    ),
}


def trained(family, precision):
    """The state after the steps, and the loss at each of them."""
    teacher, spec, config = FAMILIES[family]
    config = objectives.row(config, "NOKD")
    config = objectives.changed(config, {"model.precision": precision})
    kinds = {"config": config, "teacher": teacher}
    variables = init_variables(jax.random.key(9), teacher)
    # Four batches over and over, so that something is learnt.
    state, metrics = setting.take_steps(
        setting.make_step({"dull": spec}, **kinds),
        setting.fresh_state({"dull": spec}, **kinds),
        STEPS,
        teacher=variables,
        batch_of=lambda step: setting.make_batch(step % 4),
    )
    return state, np.array([float(m.loss) for m in metrics])


@pytest.mark.parametrize(
    "family", ["siamfc", pytest.param("siamrpn", marks=pytest.mark.slow)]
)
def test_losses_in_bfloat16_are_those_of_float32(family):
    (state, half), (_, full) = (trained(family, p) for p in ("bfloat16", "full"))
    error = np.abs(half - full) / full
    # Not the same program, yet the same course.
    assert 1e-6 < error.max() < TOLERANCE, error
    assert full[-4:].mean() < full[:4].mean()
    types = {leaf.dtype for leaf in jax.tree.leaves(setting.learnt(state))}
    assert types == {np.dtype("float32")}


def test_answers_and_taps_of_convolutions_are_in_float32():
    from dst_jax.models import ModelConfig, build, forward

    spec = networks.TEACHER
    module = build(spec, config=ModelConfig(precision="bfloat16"))
    images = [np.full((1, side, side, 3), 128.0, np.float32) for side in (31, 47)]
    found = forward(module, init_variables(jax.random.key(0), spec), *images)
    assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype("float32")}
