"""Adapters of terms in training: devices, clipping, resuming, bundles of students."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dst_jax.distill import Pair, Point
from dst_jax.errors import InputError
from dst_jax.models import variable_shapes
from dst_jax.train import (
    Checkpoints,
    Phase,
    Snapshot,
    first_best,
    make_phases,
    student_variables,
)
from dst_jax.train.phases import update
from tests import networks, objectives
from tests.train import setting
from tests.train.setting import learnt

pytestmark = pytest.mark.optax

# All of TSsKD and of DLF, at weights at which no term drowns another.
DLF = setting.CONFIG._replace(
    distill=setting.CONFIG.distill.with_terms(
        point=Point(weight=0.01, layers=("conv2", "conv3")), pair=Pair(weight=0.1)
    )
)
ALONE = objectives.row(DLF, "gt+point+pair")


@pytest.fixture(scope="module")
def one_device():
    """Three steps on one device: the state after each, and the metrics."""
    with jax.numpy_dtype_promotion("standard"):
        step, state = setting.make_step(config=DLF), setting.fresh_state(config=DLF)
        states, found = [jax.device_get(state)], []
        for number in range(3):
            state, metrics = setting.take_steps(step, state, 1, start=number)
            states.append(jax.device_get(state))
            found += metrics
    return step, states, found


def test_four_devices_take_the_steps_that_one_takes(one_device):
    _, states, metrics = one_device
    many, many_metrics = setting.take_steps(
        setting.make_step(config=DLF, devices=4), setting.fresh_state(config=DLF), 3
    )
    assert setting.relative_difference(learnt(states[-1]), learnt(many)) < 1e-5
    for a, b in zip(metrics, many_metrics, strict=True):
        np.testing.assert_allclose(a.loss, b.loss, rtol=1e-5)
        assert a.globals["point_zero/dull"] == b.globals["point_zero/dull"] == 0.0


@pytest.mark.slow
def test_in_float64_devices_agree_to_rounding():
    kinds = {"dtype": jnp.float64, "config": DLF}
    with jax.enable_x64(True):
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


def test_every_term_adds_to_the_loss_and_moves_every_adapter(one_device):
    _, states, metrics = one_device
    for name in setting.STUDENTS:
        for term in DLF.distill.terms:
            assert term == "ks" or metrics[0].terms[f"{name}/{term}"] > 0.0, term
        before, after = (s.params[name]["adapters"] for s in (states[0], states[-1]))
        assert set(before) == {"point"} and set(before["point"]) == {"conv2", "conv3"}
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            assert np.any(a != b)


def test_the_limit_is_on_the_gradient_of_both_and_norms_are_logged_apart(one_device):
    _, states, metrics = one_device
    before, after = states[:2]
    for name in setting.STUDENTS:
        norms = metrics[0].gradient_norm
        own, adapters = norms[name], norms[f"{name}/adapters"]
        both = np.hypot(own, adapters)
        assert adapters > 1e-3 and both > setting.OPTIM.clip_norm
        # The first step of SGD is the rate times the clipped gradient.
        for kind, norm in (("adapters", adapters), ("backbone", own)):
            moved = jax.tree.map(
                np.subtract, after.params[name][kind], before.params[name][kind]
            )
            wanted = setting.OPTIM.learning_rate * norm / both
            assert optax.tree.norm(moved) == pytest.approx(wanted, rel=1e-3)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(one_device, tmp_path):
    step, states, _ = one_device
    checkpoints = Checkpoints(tmp_path, config_hash="abc")
    checkpoints.save(Snapshot(states[1], first_best(states[1])))
    fresh = setting.fresh_state(config=DLF)
    found = checkpoints.restore(Snapshot(fresh, first_best(fresh)))
    checkpoints.close()
    state, _ = setting.take_steps(step, found.state, 2, start=1)
    jax.tree.map(np.testing.assert_array_equal, states[-1], jax.device_get(state))


def test_a_checkpoint_is_read_in_part_where_adapters_are_not_known(
    one_device, tmp_path
):
    _, states, _ = one_device
    checkpoints = Checkpoints(tmp_path, config_hash="abc")
    checkpoints.save(Snapshot(states[1], first_best(states[1])))
    plain = setting.fresh_state(config=objectives.row(DLF, "NOKD"))
    found = checkpoints.restore(Snapshot(plain, first_best(plain)), part=True)
    checkpoints.close()
    for name in setting.STUDENTS:
        whole = student_variables(states[1], name)
        jax.tree.map(
            np.testing.assert_array_equal, student_variables(found.state, name), whole
        )


def test_a_students_variables_are_those_of_its_architecture(one_device):
    _, states, _ = one_device
    for name, spec in setting.STUDENTS.items():
        wanted = jax.tree.map(lambda leaf: leaf.shape, variable_shapes(spec))
        for variables in (
            student_variables(states[-1], name),
            first_best(states[-1]).variables[name],
        ):
            assert jax.tree.map(np.shape, variables) == wanted


@pytest.mark.slow
def test_without_sharing_together_equals_each_alone():
    together, _ = setting.take_steps(
        setting.make_step(config=ALONE), setting.fresh_state(config=ALONE), 2
    )
    for name, spec in setting.STUDENTS.items():
        alone, _ = setting.take_steps(
            setting.make_step({name: spec}, config=ALONE),
            setting.fresh_state({name: spec}, config=ALONE),
            2,
        )
        difference = setting.relative_difference(
            together.params[name], alone.params[name]
        )
        assert difference < 2e-5, name


DULL = {"dull": setting.STUDENTS["dull"]}
POINT = objectives.row(DLF, "gt+point")


def moved(step, optim):
    """What of "dull" one step changes, by the first word of the path."""
    before = setting.fresh_state(DULL, config=POINT, optim=optim)
    kept = jax.device_get(before)
    after, _ = setting.take_steps(step, before, 1)
    differs = jax.tree.map(
        lambda a, b: bool(np.any(a != b)), kept.params["dull"], after.params["dull"]
    )
    return {name: any(jax.tree.leaves(own)) for name, own in differs.items()}, after


@pytest.mark.parametrize(
    ("part", "rate", "learns"),
    [("backbone", 0.0, "adapters"), ("dull:adapters", 0.0, "backbone")],
)
def test_adapters_learn_unless_a_part_names_them(part, rate, learns):
    optim = dataclasses.replace(setting.OPTIM, momentum=0.9, parts=((part, rate, 0.0),))
    (phase,) = make_phases(optim, DULL, batch=4)
    step = setting.make_step(DULL, config=POINT, optim=optim, phase=phase)
    found, after = moved(step, optim)
    assert found[learns]
    assert not found[part.rpartition(":")[2]]
    momentum = optax.tree.get(after.opt_state["dull"], "trace")
    still = jax.tree.leaves(momentum[part.rpartition(":")[2]])
    assert still and not any(np.any(leaf) for leaf in still)


def test_a_part_of_adapters_needs_none_and_is_named_once():
    optim = dataclasses.replace(setting.OPTIM, parts=(("adapters", 3.0, 0.0),))
    (phase,) = make_phases(optim, setting.STUDENTS, batch=4)
    assert phase.rates == {name: {"adapters": 3.0} for name in setting.STUDENTS}
    twice = (("adapters", 3.0, 0.0), ("dull:adapters", 1.0, 0.0))
    optim = dataclasses.replace(setting.OPTIM, parts=twice)
    with pytest.raises(InputError, match="adapters and dull:adapters both hold adapt"):
        make_phases(optim, setting.STUDENTS, batch=4)


def test_the_rate_of_adapters_is_a_factor_on_their_steps():
    tx = optax.sgd(0.1)
    params = {"backbone": jnp.ones(()), "adapters": {"point": jnp.ones(())}}
    gradient = jax.tree.map(jnp.ones_like, params)
    phase = Phase(rates={"dull": {"adapters": 3.0}})
    _, found = update(tx, phase, "dull", gradient, (tx.init(params), params))
    assert found["backbone"] == pytest.approx(0.9)
    assert found["adapters"]["point"] == pytest.approx(0.7)
