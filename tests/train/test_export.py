"""Nothing in the programs of training and search is bound to a CPU."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from dst_jax import configs
from dst_jax.arch import named
from dst_jax.distill import init_adapters, make_objective
from dst_jax.models import variable_shapes
from dst_jax.search import PolicyConfig, SearchConfig
from dst_jax.search.policy import init_policy, sample, update
from dst_jax.search.space import describe
from dst_jax.train import (
    Constants,
    Crops,
    init_state,
    make_optimizer,
    make_train_step,
)
from dst_jax.workflows.training_data import patch_spec, widest_input

pytestmark = pytest.mark.optax

PLATFORMS = ("cuda", "tpu")
BATCH = 2


def demonstration(family):
    """The teacher's architecture and the distillation of a demonstration."""
    begins = "demo" if family == "siamfc" else f"demo_{family}"
    teacher, students = (
        importlib.import_module(f"{configs.__name__}.{begins}_{part}").experiment()
        for part in ("teacher", "students")
    )
    (spec,) = teacher.students.values()
    return spec, students


def host_shapes(spec):
    """Shapes of the arrays that a step gets of the host."""
    found = {"index": jax.ShapeDtypeStruct((BATCH,), jnp.int32)}
    for role in ("template", "search"):
        side = getattr(spec, role).patch_px
        image = (BATCH, side, side, 3)
        found[f"{role}_patch"] = jax.ShapeDtypeStruct(image, jnp.uint8)
        found[f"{role}_fill_rgb"] = jax.ShapeDtypeStruct((BATCH, 3), jnp.float32)
        found[f"{role}_box"] = jax.ShapeDtypeStruct((BATCH, 4), jnp.float32)
    found["mask"] = jax.ShapeDtypeStruct((BATCH,), jnp.float32)
    found["is_negative"] = jax.ShapeDtypeStruct((BATCH,), jnp.bool_)
    return found


@pytest.mark.parametrize(
    "family",
    [
        "siamfc",
        pytest.param("siamrpn", marks=pytest.mark.slow),
        pytest.param("siamrpnpp", marks=pytest.mark.slow),
        pytest.param("siamdw", marks=pytest.mark.slow),
        pytest.param("ostrack", marks=pytest.mark.slow),
    ],
)
def test_the_joint_step_of_every_family_is_a_program_for_gpus_and_tpus(family):
    teacher, experiment = demonstration(family)
    tx = make_optimizer(experiment.optim, total_steps=100)
    step = make_train_step(
        make_objective(teacher, experiment.students, experiment.setting),
        tx,
        Crops(widest_input(experiment, teacher=teacher), experiment.augment, seed=0),
        steps_per_epoch=10,
    )
    key, students = jax.random.key(0), experiment.students
    adapters = init_adapters(key, teacher, students, experiment.distill)
    state = init_state(key, students, tx, adapters=adapters)
    shapes = state, Constants(variable_shapes(teacher))
    batch = host_shapes(patch_spec(experiment, teacher=teacher))
    exported = export.export(jax.jit(step), platforms=PLATFORMS)(*shapes, batch)
    assert exported.platforms == PLATFORMS
    after = jax.tree.unflatten(exported.out_tree, exported.out_avals)[0]
    for one, two in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (one.shape, one.dtype) == (two.shape, two.dtype)


def test_the_policy_and_its_update_are_programs_for_gpus_and_tpus():
    config, candidates = PolicyConfig(), 3
    state = init_policy(jax.random.key(0), config)
    told = describe(named("mini"), SearchConfig())
    rows, free = np.asarray(told.rows, np.float32), np.asarray(told.free)
    draw = export.export(sample, platforms=PLATFORMS)(
        jax.random.key(1), state.params, rows, free, config, rollouts=candidates
    )
    actions = jax.ShapeDtypeStruct((candidates, *free.shape), jnp.int32)
    rewards = jax.ShapeDtypeStruct((candidates,), jnp.float32)
    learn = export.export(update, platforms=PLATFORMS)(
        state, rows, free, actions, rewards, config
    )
    assert draw.platforms == learn.platforms == PLATFORMS
    assert actions.shape in [aval.shape for aval in draw.out_avals]
