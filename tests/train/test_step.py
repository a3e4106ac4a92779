"""The training step: devices, sharing, donation, compilation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.distill import Setting
from dst_jax.errors import InputError
from dst_jax.models import init_variables
from dst_jax.ops.augment import patch_sides
from dst_jax.train import Constants, OptimConfig
from tests import networks, objectives
from tests.train import setting
from tests.train.setting import learnt

pytestmark = pytest.mark.optax


@pytest.fixture(scope="module")
def one_device():
    """Three steps on one device: the state and the metrics."""
    with jax.numpy_dtype_promotion("standard"):
        return setting.take_steps(setting.make_step(), setting.fresh_state(), 3)


def test_four_devices_take_the_steps_that_one_takes(one_device):
    state, metrics = one_device
    many, many_metrics = setting.take_steps(
        setting.make_step(devices=4), setting.fresh_state(), 3
    )
    assert setting.relative_difference(learnt(state), learnt(many)) < 2e-5
    for a, b in zip(metrics, many_metrics, strict=True):
        np.testing.assert_allclose(a.loss, b.loss, rtol=1e-5)
        for name in ("gate/dull", "gate/intelligent"):
            assert a.globals[name] == b.globals[name]


@pytest.mark.slow
def test_in_float64_devices_agree_to_rounding():
    with jax.enable_x64(True):
        kinds = {"dtype": jnp.float64}
        teacher = networks.teacher_variables(jnp.float64)
        found = [
            setting.take_steps(
                setting.make_step(devices=devices, **kinds),
                setting.fresh_state(**kinds),
                3,
                teacher=teacher,
            )[0]
            for devices in (1, 4)
        ]
    assert setting.relative_difference(*(learnt(s) for s in found)) < 1e-10


@pytest.mark.slow
def test_a_mesh_takes_the_steps_that_pmap_takes(one_device):
    step = setting.make_step(devices=4, mesh=True)
    state, _ = setting.take_steps(step, setting.fresh_state(), 3)
    assert setting.relative_difference(learnt(one_device[0]), learnt(state)) < 2e-5


def test_shard_map_takes_the_steps_of_pmap_to_the_last_bit():
    found = [
        setting.take_steps(
            setting.make_step(devices=2, form=form), setting.fresh_state(), 2
        )
        for form in ("pmap", "shard_map")
    ]
    for one, two in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(one, two)


def test_sharing_takes_part_in_what_is_compared(one_device):
    _, metrics = one_device
    assert any(m.terms[f"{n}/ks"] > 0 for m in metrics for n in setting.STUDENTS)


def test_the_loss_is_the_sum_of_its_terms(one_device):
    for metrics in one_device[1]:
        np.testing.assert_allclose(metrics.loss, sum(metrics.terms.values()), rtol=1e-5)


@pytest.mark.slow  # test_step_regions has the quick one
def test_without_sharing_together_equals_each_alone():
    # Clipping is per student: a joint norm would couple them.
    config = objectives.row(setting.CONFIG, "TSKD")
    together, _ = setting.take_steps(
        setting.make_step(config=config), setting.fresh_state(), 2
    )
    for name, spec in setting.STUDENTS.items():
        alone, _ = setting.take_steps(
            setting.make_step({name: spec}, config=config),
            setting.fresh_state({name: spec}),
            2,
        )
        difference = setting.relative_difference(
            together.params[name], alone.params[name]
        )
        assert difference < 2e-5, name


def test_the_step_compiles_once_and_leaves_the_teacher_alone(caplog):
    step = setting.make_step(
        {"dull": setting.STUDENTS["dull"]},
        config=objectives.row(setting.CONFIG, "TSKD"),
    )
    state = setting.fresh_state({"dull": setting.STUDENTS["dull"]})
    constants = jax.device_put(Constants(networks.teacher_variables()))
    before = jax.tree.map(np.array, constants)
    state, _ = step(state, constants, setting.make_batch(0))
    with jax.log_compiles():
        caplog.clear()
        state, _ = step(state, constants, setting.make_batch(1))
        compiled = [r for r in caplog.records if "Compiling" in r.getMessage()]
    assert not compiled
    jax.tree.map(np.testing.assert_array_equal, before, constants)


def test_plain_training_overfits_a_few_pairs():
    students = {"dull": setting.STUDENTS["intelligent"]}
    optim = OptimConfig(method="adam", learning_rate=0.03, final_learning_rate=0.03)
    config = objectives.row(setting.CONFIG, "NOKD")
    step = setting.make_step(students, config=config, optim=optim)
    state = setting.fresh_state(students, optim=optim)
    batch = setting.make_batch(0)
    # Each template hides in the middle of its search image, so that there is
    # something to find; no pair is negative.
    t, s = setting.TEMPLATE_PX, setting.SEARCH_PX
    low = (s - t) // 2
    batch["search_patch"][:, low : low + t, low : low + t] = batch["template_patch"]
    batch["is_negative"][:] = False
    constants, losses = Constants(networks.teacher_variables()), []
    for _ in range(80):
        state, metrics = step(state, constants, batch)
        losses.append(float(metrics.loss))
    assert losses[-1] < 0.1 * losses[0], losses[::10]


def test_one_of_several_processes_may_not_choose_devices(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InputError, match="each of 2 processes would train on its own"):
        setting.make_step(devices=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 2e-5), (jnp.float64, 1e-10)]
)
def test_devices_agree_on_the_miniature_family(dtype, tolerance):
    teacher = arch.named("mini")
    students = {"dull": arch.named("mini-dull"), "intelligent": arch.named("mini-half")}
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
                state, metrics = step(state, constants, batch)
                jax.block_until_ready(state)
            assert metrics.terms["dull/ks"] > 0
            found.append(state)
    assert setting.relative_difference(*(learnt(s) for s in found)) < tolerance
