"""The training step of SiamRPN++: devices, a thaw, kills, frozen parts, sharing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.models import init_variables
from dst_jax.ops.augment import patch_sides
from dst_jax.train import Constants, OptimConfig, make_phases
from tests import objectives
from tests.train import setting
from tests.train.resume import assert_same_bits, both_ends, run_of
from tests.train.setting import differ, host, learnt

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
    return init_variables(jax.random.key(9), SPEC, param_dtype=dtype)


take = functools.partial(setting.take_steps, batch_of=batch_of)


def stages(state, *names):
    """Parameters and statistics of stages of all students."""
    trees = state.params, state.batch_stats
    return [
        {name: own["backbone"][name] for name in names}
        for tree in trees
        for own in tree.values()
    ]


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
        variables = teacher(dtype)
        for devices in (1, 4):
            early, late = steps_of(devices=devices, dtype=dtype)
            state, _ = take(early, start(dtype=dtype), 2, teacher=variables)
            state, logs = take(late, state, 1, teacher=variables, start=2)
            assert all(logs[0].terms[f"{name}/ks"] > 0 for name in STUDENTS)
            found.append(host(state))
    assert setting.relative_difference(*map(learnt, found)) < tolerance
    fusion = found[0].params["r50"]["head"]["cls_weight"]
    assert np.ptp(fusion) > 0.0  # ones at first


def test_what_is_frozen_stays_to_the_last_bit_and_the_rest_learns(steps):
    variables, first = teacher(), host(start())
    early, _ = take(steps[0], start(), 2, teacher=variables)
    early = host(early)
    assert_same_bits(stages(first, *STILL, *LATE), stages(early, *STILL, *LATE))
    heads = [[s.params[n]["head"] for n in STUDENTS] for s in (first, early)]
    assert np.mean(differ(*heads)) > 0.9
    late, _ = take(steps[1], early, 2, teacher=variables, start=2)
    late = host(late)
    assert_same_bits(stages(first, *STILL), stages(late, *STILL))
    assert np.mean(differ(stages(first, *LATE), stages(late, *LATE))) > 0.9


@pytest.mark.parametrize("cut", [1, 3], ids=["before", "after"])
def test_a_run_killed_before_or_after_the_thaw_resumes_bit_for_bit(
    steps, tmp_path, cut
):
    ends = both_ends(
        tmp_path,
        run_of(steps, Constants(teacher()), thaw=PHASES[1].first),
        first_state=start,
        make_batch=batch_of,
        cut=cut,
    )
    assert_same_bits(*ends)


def test_without_sharing_a_student_learns_as_it_does_alone():
    config = objectives.row(CONFIG, "TSKD")
    found = []
    with jax.enable_x64(True):
        variables, kinds = teacher(jnp.float64), {"dtype": jnp.float64}
        for students in (STUDENTS, {"r18": SMALL}):
            phases = make_phases(OPTIM, students, batch=4)[1:]
            (step,) = steps_of(students, config=config, phases=phases, **kinds)
            state, _ = take(step, start(students, **kinds), 2, teacher=variables)
            found.append(host(state))
    together, alone = (state.params["r18"] for state in found)
    assert setting.relative_difference(together, alone) < 1e-10
