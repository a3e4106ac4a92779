"""The training step of SiamRPN++: devices, a thaw, kills, frozen parts, sharing."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.models import init_variables
from dst_jax.ops.augment import patch_sides
from dst_jax.train import (
    Checkpoints,
    Constants,
    Later,
    LoopConfig,
    OptimConfig,
    Run,
    Snapshot,
    first_best,
    fit,
    make_phases,
)
from tests import objectives
from tests.train import setting

# Programs of two residual students take minutes to compile.
pytestmark = [pytest.mark.optax, pytest.mark.slow]

SPEC = named("tiny-siamrpnpp")
SMALL = dataclasses.replace(SPEC, head=SPEC.head.with_features(4))
STUDENTS = {"r50": SPEC, "r18": SMALL}
# All gates are open, and the pairs of `make_batch` have a negative one.
CONFIG = objectives.changed(
    setting.REGION_CONFIG, {"str.layers": ("layer2", "layer3", "layer4")}
)
# The public way in miniature: ten steps an epoch, the backbone learns from step 2 on.
OPTIM = OptimConfig(
    epochs=1.0,
    pairs_per_epoch=40,
    momentum=0.9,
    weight_decay=1e-4,
    clip_norm=10.0,
    parts=(
        ("backbone/conv1", 0.0, 0.0),
        ("backbone/layer1", 0.0, 0.0),
        ("backbone/layer2", 0.1, 0.2),
        ("backbone/layer3", 0.1, 0.2),
        ("backbone/layer4", 0.1, 0.2),
    ),
)
PHASES = make_phases(OPTIM, STUDENTS, batch=4)
SIDES = patch_sides(SPEC.input, setting.AUGMENT)
STILL, LATE = ("conv1", "layer1"), ("layer2", "layer3", "layer4")


def batch_of(step):
    batch = setting.make_batch(step, sides=SIDES)
    for role in ("template", "search"):
        batch[f"{role}_box"][:, 2:] = (44.0, 36.0)
    return batch


def steps_of(students=STUDENTS, *, config=CONFIG, phases=PHASES, **kinds):
    return [
        setting.make_step(
            students, config=config, teacher=SPEC, optim=OPTIM, phase=phase, **kinds
        )
        for phase in phases
    ]


def start(students=STUDENTS, *, dtype=jnp.float32):
    return setting.fresh_state(students, optim=OPTIM, dtype=dtype)


def teacher(dtype=jnp.float32):
    return Constants(init_variables(jax.random.key(9), SPEC, param_dtype=dtype))


def take(state, step, constants, first, last):
    for number in range(first, last):
        state, metrics = step(state, constants, batch_of(number))
        jax.block_until_ready(state)
    return state, jax.device_get(metrics)


def host(tree):
    return jax.tree.map(np.array, jax.device_get(tree))


def learnt(state):
    return state.params, state.batch_stats


def assert_same(one, two):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def stages(state, *names):
    """Parameters and statistics of stages of all students."""
    trees = state.params, state.batch_stats
    return [
        {name: own["backbone"][name] for name in names}
        for tree in trees
        for own in tree.values()
    ]


def differ(one, two):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return [bool(np.any(np.asarray(a) != np.asarray(b))) for a, b in pairs]


@pytest.fixture(scope="module")
def steps():
    """The compiled steps of both phases, on one device in float32."""
    with jax.numpy_dtype_promotion("standard"):
        return steps_of()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.float64, 1e-10)]
)
def test_four_devices_take_three_steps_of_one_across_the_thaw(dtype, tolerance):
    found = []
    with jax.enable_x64(dtype == jnp.float64):
        constants = teacher(dtype)
        for devices in (1, 4):
            early, late = steps_of(devices=devices, dtype=dtype)
            state, _ = take(start(dtype=dtype), early, constants, 0, 2)
            state, metrics = take(state, late, constants, 2, 3)
            assert all(metrics.terms[f"{name}/ks"] > 0 for name in STUDENTS)
            found.append(host(state))
    assert setting.relative_difference(*map(learnt, found)) < tolerance
    fusion = found[0].params["r50"]["head"]["cls_weight"]
    assert np.ptp(fusion) > 0.0  # ones at first


def test_what_is_frozen_stays_to_the_last_bit_and_the_rest_learns(steps):
    constants, first = teacher(), host(start())
    early, _ = take(start(), steps[0], constants, 0, 2)
    early = host(early)
    assert_same(stages(first, *STILL, *LATE), stages(early, *STILL, *LATE))
    heads = [[s.params[n]["head"] for n in STUDENTS] for s in (first, early)]
    assert np.mean(differ(*heads)) > 0.9
    late = host(take(early, steps[1], constants, 2, 4)[0])
    assert_same(stages(first, *STILL), stages(late, *STILL))
    assert np.mean(differ(stages(first, *LATE), stages(late, *LATE))) > 0.9


@pytest.mark.parametrize("cut", [1, 3], ids=["before", "after"])
def test_a_run_killed_before_or_after_the_thaw_resumes_bit_for_bit(
    steps, tmp_path, cut
):
    def run(folder, *, first=0, total=4):
        return Run(
            step=steps[0],
            constants=teacher(),
            batches=(batch_of(i) for i in itertools.count(first)),
            validate=None,
            checkpoints=Checkpoints(folder, config_hash="abc"),
            total_steps=total,
            steps_per_epoch=10,
            batch=4,
            later=[Later(PHASES[1].first, steps[1], lambda state: state)],
        )

    def begin():
        state = start()
        return Snapshot(state, first_best(state))

    loop = LoopConfig(log_every=1, checkpoint_every=1)
    whole = fit(begin(), run(tmp_path / "whole"), loop)
    fit(begin(), run(tmp_path / "cut", total=cut), loop)
    again = run(tmp_path / "cut", first=cut)
    restored = again.checkpoints.restore(begin())
    assert int(restored.state.step) == cut
    assert_same(whole, fit(restored, again, loop))


def test_without_sharing_a_student_learns_as_it_does_alone():
    config = objectives.row(CONFIG, "TSKD")
    found = []
    with jax.enable_x64(True):
        constants, kinds = teacher(jnp.float64), {"dtype": jnp.float64}
        for students in (STUDENTS, {"r18": SMALL}):
            phases = make_phases(OPTIM, students, batch=4)[1:]
            (step,) = steps_of(students, config=config, phases=phases, **kinds)
            state, _ = take(start(students, **kinds), step, constants, 0, 2)
            found.append(host(state))
    together, alone = (state.params["r18"] for state in found)
    assert setting.relative_difference(together, alone) < 1e-10
