"""The training step of SiamDW under DLF and TSsKD: adapters, devices, a thaw, kills."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dst_jax.distill import Pair, Point
from dst_jax.models import init_variables
from dst_jax.train import (
    Constants,
    OptimConfig,
    forget_momentum,
    make_optimizer,
    make_phases,
)
from tests import networks, objectives
from tests.train import setting
from tests.train.resume import assert_same_bits, both_ends, run_of
from tests.train.setting import differ, host, learnt

# Programs of two residual students take minutes to compile.
pytestmark = [pytest.mark.optax, pytest.mark.slow]

SPEC, STUDENTS = networks.SIAMDW, networks.SIAMDW_STUDENTS
# All terms of both papers, the gates open, labels that move with the target.
CONFIG = objectives.changed(
    setting.CONFIG._replace(
        distill=setting.CONFIG.distill.with_terms(
            point=Point(weight=0.1, layers=("layer1", "layer2")), pair=Pair(weight=1.0)
        )
    ),
    {"str.layers": ("layer1", "layer2"), "labels.label_centre": "target"},
)
CONFIG = objectives.changed(CONFIG, {"ks.margin": 1e3})
# SiamDW's way in miniature: the last block learns from the start, the one before it
# from step 2 on, by then with another decay and no momentum; the stem never does.
OPTIM = OptimConfig(
    epochs=1.0,
    pairs_per_epoch=40,
    momentum=0.9,
    weight_decay=1e-4,
    early_weight_decay=5e-4,
    clip_norm=10.0,
    parts=(
        ("backbone/conv1", 0.0, 0.0),
        ("backbone/layer1", 1.0, 0.5),
        ("backbone/layer2/block1", 1.0, 0.2),
    ),
    on_thaw="reset",
)
PHASES = make_phases(OPTIM, STUDENTS, batch=4)[:2]
SIDES = SPEC.input.template_px, SPEC.input.train_search_px
KINDS = {"config": CONFIG, "teacher": SPEC, "optim": OPTIM}


def steps_of(students=STUDENTS, *, phases=PHASES, **kinds):
    return [
        setting.make_step(students, phase=phase, **(KINDS | kinds)) for phase in phases
    ]


def start(students=STUDENTS, **kinds):
    return setting.fresh_state(students, **(KINDS | kinds))


def thawed(state):
    tx = make_optimizer(OPTIM, total_steps=100)
    return forget_momentum(state, tx, PHASES[1].thawed)


def teacher(dtype=jnp.float32):
    return init_variables(jax.random.key(9), SPEC, param_dtype=dtype)


def batch_of(step):
    """Patches as large as the crops, with targets in other cells than the middle."""
    batch = setting.make_batch(step, sides=SIDES)
    batch["search_box"][:, :2] += np.float32([[0, 0], [9, -3], [-7, 5], [2, 11]])
    return batch


take = functools.partial(setting.take_steps, batch_of=batch_of)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.float64, 1e-10)]
)
def test_four_devices_take_three_steps_of_one_across_the_thaw(dtype, tolerance):
    """Constants of normalisations are some 1e-3 large after three steps.

    Leaves below .01 are compared in units of it, a bound that was set after the first
    results, of which the worst was 1.1e-5 in units of 1e-3.
    """
    found = []
    with jax.enable_x64(dtype == jnp.float64):
        variables, before = teacher(dtype), host(start(dtype=dtype))
        for devices in (1, 4):
            early, late = steps_of(devices=devices, dtype=dtype)
            state, _ = take(early, start(dtype=dtype), 2, teacher=variables)
            state, logs = take(late, thawed(state), 1, teacher=variables, start=2)
            terms = logs[0].terms
            names = {name.partition("/")[2] for name in terms}
            assert names == {"ah", "ts", "str", "ks", "point", "pair"}
            assert all(1e-6 < value < 1e2 for value in terms.values()), terms
            found.append(host(state))
    difference = setting.relative_difference(*map(learnt, found), least=0.01)
    assert difference < tolerance
    for name in STUDENTS:
        one, two = (state.params[name] for state in (before, found[0]))
        # The block has thawed, and every adapter has moved.
        blocks = (params["backbone"]["layer2"]["block1"] for params in (one, two))
        assert any(differ(*blocks))
        assert set(two["adapters"]["point"]) == {"layer1", "layer2"}
        assert all(differ(one["adapters"], two["adapters"]))


@pytest.mark.parametrize("cut", [1, 2, 3], ids=["before", "at", "after"])
def test_a_run_cut_around_the_thaw_resumes_bit_for_bit(tmp_path, cut, steps):
    whole, resumed = both_ends(
        tmp_path,
        run_of(steps, Constants(teacher()), thaw=PHASES[1].first, begin=thawed),
        first_state=start,
        make_batch=batch_of,
        cut=cut,
    )
    assert_same_bits(whole, resumed)
    trace = optax.tree.get(whole.state.opt_state["s"], "trace")
    assert np.any(trace["adapters"]["point"]["layer2"]["kernel"])


@pytest.fixture(scope="module")
def steps():
    """The compiled steps of both phases, on one device in float32."""
    with jax.numpy_dtype_promotion("standard"):
        return steps_of()


def test_without_sharing_a_student_learns_as_it_does_alone():
    config = objectives.row(CONFIG, "ah+ts+str+point+pair")
    found, alone = [], {"s": STUDENTS["s"]}
    with jax.enable_x64(True):
        kinds = {"dtype": jnp.float64, "config": config}
        variables = teacher(jnp.float64)
        for students in (STUDENTS, alone):
            phases = make_phases(OPTIM, students, batch=4)[1:2]
            (step,) = steps_of(students, phases=phases, **kinds)
            state, _ = take(step, start(students, **kinds), 2, teacher=variables)
            found.append(host(state))
    one, two = (state.params["s"] for state in found)
    assert set(two) == {"backbone", "adapters"}
    assert setting.relative_difference(one, two) < 1e-10
