"""The training step of OSTrack: students of two sizes, devices, one alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.distill import Disc, DistillConfig, Qkv, Setting, Task
from dst_jax.models import init_variables
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import OptimConfig
from tests import networks
from tests.train import setting

# Programs of two transformers take minutes to compile.
pytestmark = [pytest.mark.optax, pytest.mark.slow]

TEACHER, STUDENTS = networks.ONE_STREAM_TEACHER, networks.ONE_STREAM_STUDENTS
CONFIG = Setting(DistillConfig({"gt": Task(), "qkv": Qkv(), "disc": Disc()}))
OPTIM = OptimConfig(
    epochs=1.0,
    pairs_per_epoch=40,
    method="adamw",
    learning_rate=1e-3,
    final_learning_rate=1e-3,
    weight_decay=1e-4,
    clip_norm=0.1,
)
# Adam's steps hardly depend on a gradient's size: constants before a normalisation, and
# those of keys, move by what rounding leaves of their gradient, which is 0. Relative to
# themselves such leaves differ, so that devices are compared by gradient descent.
PLAIN = dataclasses.replace(OPTIM, method="sgd", weight_decay=0.0)


@pytest.fixture(autouse=True)
def crops(monkeypatch):
    """Crops that are the host's windows themselves, flipped and recoloured."""
    augment = AugmentConfig(
        stretch=0.0, search_shift_px=0.0, flip=0.5, flip_each=0.5, brightness=0.2
    )
    monkeypatch.setattr(setting, "AUGMENT", augment)
    sides = TEACHER.input.template_px, TEACHER.input.train_search_px
    plain = setting.make_batch

    def make_batch(step, size=8):
        batch = plain(step, size, sides=sides)
        # The first of four devices gets no pair that shows its target.
        batch["is_negative"] = np.arange(size) < 2
        batch["search_box"][:] = np.float32([15.0, 18.0, 7.0, 5.0])
        return batch

    monkeypatch.setattr(setting, "make_batch", make_batch)


def teacher(dtype):
    return init_variables(jax.random.key(9), TEACHER, param_dtype=dtype)


def after_three(students=STUDENTS, *, devices=1, dtype=jnp.float32, optim=PLAIN):
    step = setting.make_step(
        students,
        config=CONFIG,
        teacher=TEACHER,
        optim=optim,
        devices=devices,
        dtype=dtype,
    )
    state = setting.fresh_state(
        students, optim=optim, config=CONFIG, teacher=TEACHER, dtype=dtype
    )
    return setting.take_steps(step, state, 3, teacher=teacher(dtype))


@pytest.mark.parametrize(("wide", "tolerance"), [(False, 1e-5), (True, 1e-10)])
def test_four_devices_of_which_one_has_no_positive_take_the_steps_of_one(
    wide, tolerance
):
    dtype = jnp.float64 if wide else jnp.float32
    with jax.enable_x64(wide):
        one, logs = after_three(dtype=dtype)
        four, others = after_three(devices=4, dtype=dtype)
        for name in ("params", "batch_stats"):
            both = getattr(one, name), getattr(four, name)
            assert setting.relative_difference(*both) <= tolerance
        for ours, theirs in zip(logs, others, strict=True):
            assert setting.relative_difference(ours.terms, theirs.terms) <= tolerance


def test_adam_takes_the_same_steps_on_four_devices_but_for_rounding():
    with jax.enable_x64(True):
        one, _ = after_three(dtype=jnp.float64, optim=OPTIM)
        four, _ = after_three(devices=4, dtype=jnp.float64, optim=OPTIM)
    pairs = zip(*map(jax.tree.leaves, (one.params, four.params)), strict=True)
    # Three steps at this rate move weights by .003.
    assert max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in pairs) < 1e-11


def test_each_student_learns_as_it_does_alone():
    joint, _ = after_three()
    for name, spec in STUDENTS.items():
        alone, _ = after_three({name: spec})
        both = joint.params[name], alone.params[name]
        assert setting.relative_difference(*both) <= 1e-5


def test_blocks_are_dropped_and_the_choice_follows_the_examples_number():
    """Without drop-path the steps are others, so that it takes part above."""
    assert TEACHER.backbone.drop_path == 0.1
    still = {
        name: dataclasses.replace(
            spec, backbone=dataclasses.replace(spec.backbone, drop_path=0.0)
        )
        for name, spec in STUDENTS.items()
    }
    dropping, _ = after_three()
    plain, _ = after_three(still)
    assert setting.relative_difference(dropping.params, plain.params) > 1e-4
