"""The training step of region heads: devices, sharing, learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.distill import Setting
from dst_jax.models import init_variables
from dst_jax.ops.augment import patch_sides
from dst_jax.train import Constants, OptimConfig
from tests import objectives
from tests.train import setting
from tests.train.setting import learnt

pytestmark = pytest.mark.optax

STUDENTS = setting.REGION_STUDENTS


def take(students, count, *, devices=1, config=setting.REGION_CONFIG):
    """State and metrics after `count` steps of float64; a quarter is negative pairs."""
    with jax.enable_x64(True):
        kinds = {"dtype": jnp.float64}
        teacher = init_variables(
            jax.random.key(9), setting.REGION_TEACHER, param_dtype=jnp.float64
        )
        step = setting.make_step(
            students,
            config=config,
            devices=devices,
            teacher=setting.REGION_TEACHER,
            **kinds,
        )
        state = setting.fresh_state(students, **kinds)
        return setting.take_steps(step, state, count, teacher=teacher)


@pytest.fixture(scope="module")
def one_device():
    with jax.numpy_dtype_promotion("standard"):
        return take(STUDENTS, 3)


def test_four_devices_take_the_steps_that_one_takes(one_device):
    state, metrics = one_device
    many, many_metrics = take(STUDENTS, 3, devices=4)
    assert setting.relative_difference(learnt(state), learnt(many)) < 1e-10
    for a, b in zip(metrics, many_metrics, strict=True):
        assert set(a.terms) == set(b.terms)
        for term, value in a.terms.items():
            np.testing.assert_allclose(b.terms[term], value, rtol=1e-9, err_msg=term)
        assert all(a.terms[f"{name}/ks"] > 0 for name in STUDENTS)


def test_without_sharing_a_student_learns_as_it_does_alone():
    config = objectives.row(setting.REGION_CONFIG, "TSKD")
    together, _ = take(STUDENTS, 2, config=config)
    # One of the two: a program for each takes half a minute to compile.
    alone, _ = take({"dull": STUDENTS["dull"]}, 2, config=config)
    difference = setting.relative_difference(
        together.params["dull"], alone.params["dull"]
    )
    assert difference < 1e-10


def test_plain_training_learns_classes_and_boxes():
    students = {"teacher": setting.REGION_TEACHER}
    optim = OptimConfig(method="adam", learning_rate=0.02, final_learning_rate=0.02)
    config = objectives.row(setting.REGION_CONFIG, "NOKD")
    step = setting.make_step(
        students, config=config, optim=optim, teacher=setting.REGION_TEACHER
    )
    state = setting.fresh_state(students, optim=optim)
    batch = setting.make_batch(0)
    low = (setting.SEARCH_PX - setting.TEMPLATE_PX) // 2
    inner = slice(low, low + setting.TEMPLATE_PX)
    batch["search_patch"][:, inner, inner] = batch["template_patch"]
    batch["is_negative"][:] = False
    constants, losses = Constants(), []
    for _ in range(120):
        state, metrics = step(state, constants, batch)
        losses.append(float(metrics.loss))
    assert np.mean(losses[-10:]) < 0.3 * losses[0], losses[::10]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 5e-5), (jnp.float64, 1e-10)]
)
def test_devices_agree_on_the_miniature_family(dtype, tolerance):
    teacher = arch.named("mini-siamrpn")
    names = {"dull": "mini-siamrpn-dull", "intelligent": "mini-siamrpn-half"}
    students = {name: arch.named(which) for name, which in names.items()}
    config = objectives.changed(Setting(), {"ks.margin": 1e3})
    sides = patch_sides(teacher.input, setting.AUGMENT)
    found = []
    with jax.enable_x64(dtype == jnp.float64):
        constants = Constants(
            init_variables(jax.random.key(9), teacher, param_dtype=dtype)
        )
        for devices in (1, 4):
            step = setting.make_step(
                students, config=config, devices=devices, teacher=teacher, dtype=dtype
            )
            state = setting.fresh_state(students, dtype=dtype)
            for number in range(3):
                batch = setting.make_batch(number, sides=sides)
                batch["search_box"][:, 2:] = (44.0, 36.0)
                state, metrics = step(state, constants, batch)
                jax.block_until_ready(state)
            assert metrics.terms["dull/ks"] > 0
            found.append(state)
    assert setting.relative_difference(*(learnt(s) for s in found)) < tolerance
