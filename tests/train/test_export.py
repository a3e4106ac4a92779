"""Nothing in the programs of training and search is bound to a CPU."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from dst_jax import configs
from dst_jax.arch import named
from dst_jax.search import PolicyConfig, SearchConfig
from dst_jax.search.policy import init_policy, sample, update
from dst_jax.search.space import describe
from dst_jax.train.phases import ONLY_PHASE
from dst_jax.workflows.estimate import step_shapes
from dst_jax.workflows.run_parts import phase_step

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


FAMILIES = [
    "siamfc",
    pytest.param("siamrpn", marks=pytest.mark.slow),
    pytest.param("siamrpnpp", marks=pytest.mark.slow),
    pytest.param("siamdw", marks=pytest.mark.slow),
    pytest.param("ostrack", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(
    ("precision", "parts"),
    [("full", 1), ("bfloat16", 2)],
    ids=["as-it-is", "bfloat16-in-parts"],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_joint_step_of_every_family_is_a_program_for_gpus_and_tpus(
    family, precision, parts
):
    teacher, experiment = demonstration(family)
    experiment = dataclasses.replace(
        experiment,
        model=dataclasses.replace(experiment.model, precision=precision),
        optim=dataclasses.replace(experiment.optim, microbatches=parts),
    )
    step = phase_step(experiment, teacher, ONLY_PHASE, axis_name=None)
    state, constants, batch = step_shapes(experiment, teacher, BATCH)
    exported = export.export(jax.jit(step), platforms=PLATFORMS)(
        state, constants, batch
    )
    assert exported.platforms == PLATFORMS
    # Products of networks are of the precision asked for, whatever the platform.
    assert ("xbf16>" in exported.mlir_module()) == (precision == "bfloat16")
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
