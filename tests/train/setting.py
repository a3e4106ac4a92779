"""A run small enough for tests: tiny networks, made-up patches."""

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.distill import init_adapters, make_objective
from dst_jax.ops.anchors import AssignConfig
from dst_jax.ops.augment import AugmentConfig, patch_sides
from dst_jax.train import (
    AXIS_NAME,
    Constants,
    Crops,
    OptimConfig,
    data_parallel,
    init_state,
    make_optimizer,
    make_train_step,
    sharded,
)
from dst_jax.train.phases import ONLY_PHASE
from tests import networks, objectives

TEACHER, STUDENTS = networks.TEACHER, networks.STUDENTS
# A margin that opens gates of early training, so that sharing takes part.
CONFIG = objectives.changed(objectives.TINY, {"ks.margin": 0.1})
OPTIM = OptimConfig(
    epochs=1.0, pairs_per_epoch=400, learning_rate=1e-2, momentum=0.9, clip_norm=1.0
)
REGION_TEACHER, REGION_STUDENTS = networks.REGION_TEACHER, networks.REGION_STUDENTS
# Gates wide open, a few anchors of a 5 x 5 map.
REGION_CONFIG = objectives.changed(
    objectives.TINY,
    {
        "ks.margin": 1e3,
        "labels.assign": AssignConfig(
            positive_iou=0.4, positives=3, negatives=5, window_cells=3
        ),
    },
)
AUGMENT = AugmentConfig(flip=0.5, brightness=0.2)
TEMPLATE_PX, SEARCH_PX = patch_sides(TEACHER.input, AUGMENT)


def make_batch(step, size=4, sides=(TEMPLATE_PX, SEARCH_PX)):
    """The host batch of one step; a function of the step alone."""
    rng = np.random.default_rng(step)

    def patches(side):
        return rng.integers(0, 256, (size, side, side, 3), dtype=np.uint8)

    def boxes(side):
        return np.tile(np.float32([side / 2, side / 2, 17, 14]), (size, 1))

    return {
        "template_patch": patches(sides[0]),
        "search_patch": patches(sides[1]),
        "template_box": boxes(sides[0]),
        "search_box": boxes(sides[1]),
        "template_fill_rgb": np.full((size, 3), 128, np.float32),
        "search_fill_rgb": np.full((size, 3), 128, np.float32),
        "is_negative": np.arange(size) == 1,
        "mask": np.ones(size, np.float32),
        "index": np.arange(step * size, (step + 1) * size, dtype=np.int32),
    }


def fresh_state(
    students=None, *, dtype=jnp.float32, optim=OPTIM, config=CONFIG, teacher=TEACHER
):
    tx, key = make_optimizer(optim, total_steps=100), jax.random.key(0)
    students = students or STUDENTS
    adapters = init_adapters(key, teacher, students, config.distill, dtype=dtype)
    return init_state(key, students, tx, adapters=adapters, param_dtype=dtype)


def make_step(students=None, *, config=CONFIG, devices=1, mesh=False, **kinds):
    """The mapped step over `devices` devices here; None: over all of all processes."""
    axis = None if mesh else AXIS_NAME
    step = unmapped_step(students, config=config, axis=axis, **kinds)
    mapping = sharded if mesh else data_parallel
    here = None if devices is None else jax.local_devices()[:devices]
    form = {} if mesh else {"form": kinds.get("form")}
    return mapping(step, devices=here, **form)


def unmapped_step(students=None, *, config=CONFIG, axis=None, **kinds):
    """The step, neither compiled nor mapped."""
    dtype = kinds.get("dtype", jnp.float32)
    teacher = kinds.get("teacher", TEACHER)
    phase = kinds.get("phase", ONLY_PHASE)
    objective = make_objective(
        teacher,
        students or STUDENTS,
        config,
        axis_name=axis,
        dtype=dtype,
        frozen=phase.frozen,
    )
    return make_train_step(
        objective,
        make_optimizer(kinds.get("optim", OPTIM), total_steps=100),
        Crops(teacher.input, AUGMENT, seed=5, dtype=dtype),
        steps_per_epoch=10,
        axis_name=axis,
        phase=phase,
        skip_above=kinds.get("skip_above"),
        microbatches=kinds.get("microbatches", 1),
    )


def take_steps(step, state, count, *, teacher=None, start=0, batch_of=None):
    """`count` steps on the batches of their numbers; the state, the metrics of each."""
    teacher = networks.teacher_variables() if teacher is None else teacher
    constants, batch_of = Constants(teacher), batch_of or make_batch
    found = []
    for number in range(start, start + count):
        state, metrics = step(state, constants, batch_of(number))
        jax.block_until_ready(state)
        found.append(jax.device_get(metrics))
    return state, found


def learnt(state):
    """What training moves of the networks."""
    return state.params, state.batch_stats


def host(tree):
    """A copy that later steps, which take their state over, leave alone."""
    return jax.tree.map(np.array, jax.device_get(tree))


def differ(one, two):
    """Whether each leaf of two trees has other numbers."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return [bool(np.any(np.asarray(a) != np.asarray(b))) for a, b in pairs]


def relative_difference(one, two, *, least=1e-3):
    """Largest difference of any leaf, relative to that leaf's largest value.

    A bias before a normalisation has no gradient but rounding; leaves below `least` are
    compared absolutely, in units of it.
    """
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return max(
        float(np.max(np.abs(np.asarray(a) - np.asarray(b))))
        / max(float(np.max(np.abs(np.asarray(a)))), least)
        for a, b in pairs
        if np.asarray(a).size
    )
