"""A step in parts is the step of the whole batch, whatever its counts and gates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.arch import Chain
from dst_jax.distill import Parts, mean_over_examples
from dst_jax.errors import InputError
from dst_jax.models import init_variables
from dst_jax.train import (
    Constants,
    OptimConfig,
    check_batch,
    fit,
)
from tests import networks, objectives
from tests.train import setting, test_loop
from tests.train.setting import learnt

pytestmark = pytest.mark.optax


def plain(spec):
    """The network without batch normalisation, on images that leave scores small."""
    layers = [dataclasses.replace(x, batch_norm=False) for x in spec.backbone.layers]
    input = dataclasses.replace(spec.input, scale=1 / 255)
    return dataclasses.replace(spec, backbone=Chain(layers=tuple(layers)), input=input)


FIRST = 5
# Gates wide open: sigma, a function of losses over the batch, weighs the sharing.
CONFIG = objectives.changed(setting.CONFIG, {"ks.margin": 1e3})
STUDENTS = {name: plain(spec) for name, spec in setting.STUDENTS.items()}


def uneven(step, size=8):
    """A batch of which the second part has fewer pairs that count, and no positive."""
    batch = setting.make_batch(step, size)
    batch["mask"][-1] = 0.0
    batch["is_negative"] = np.arange(size) >= size // 2
    return batch


def taken(parts, *, students=STUDENTS, batch_of=uneven, count=1, **kinds):
    """State and metrics after a step of so many parts, in float64.

    Networks without normalisation magnify rounding with every further step.
    """
    kinds.setdefault("config", CONFIG)
    teacher = kinds.get("teacher", setting.TEACHER)
    with jax.enable_x64(True):
        kinds["dtype"] = jnp.float64
        step = setting.make_step(students, microbatches=parts, **kinds)
        state = setting.fresh_state(
            students,
            dtype=jnp.float64,
            teacher=teacher,
            config=kinds["config"],
        )
        # At the very beginning nothing is shared.
        state = state._replace(step=jnp.asarray(FIRST, jnp.int32))
        variables = init_variables(jax.random.key(9), teacher, param_dtype=jnp.float64)
        return setting.take_steps(
            step, state, count, start=FIRST, teacher=variables, batch_of=batch_of
        )


def assert_same(one, two, tolerance=1e-10):
    (state, metrics), (other, others) = one, two
    assert setting.relative_difference(learnt(state), learnt(other)) < tolerance
    assert jax.tree.structure(metrics) == jax.tree.structure(others)
    for a, b in zip(jax.tree.leaves(metrics), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def whole():
    with jax.numpy_dtype_promotion("standard"):
        return taken(1)


def test_terms_gates_and_update_are_those_of_the_whole_batch(whole):
    shared = [float(whole[1][0].terms[f"{name}/ks"]) for name in STUDENTS]
    assert min(shared) > 0.0
    assert_same(whole, taken(2))


@pytest.mark.slow
def test_the_mean_of_the_parts_would_be_another_step(whole):
    """What a naive sum of gradients computes: each half as a batch of its own."""
    halves = [
        taken(
            1,
            batch_of=lambda step, part=part: {
                name: value[4 * part : 4 * part + 4]
                for name, value in uneven(step).items()
            },
        )[1][0]
        for part in (0, 1)
    ]
    naive = np.mean([half.loss for half in halves])
    assert abs(naive - whole[1][0].loss) > 1e-4 * abs(naive)


@pytest.mark.parametrize(
    "form", [pytest.param("pmap", marks=pytest.mark.slow), "shard_map"]
)
def test_devices_and_parts_together_take_the_same_step(whole, form):
    assert_same(whole, taken(2, devices=2, form=form))


@pytest.mark.slow
def test_positive_anchors_are_counted_over_all_parts():
    students = {name: plain(spec) for name, spec in setting.REGION_STUDENTS.items()}
    kinds = {
        "students": students,
        "teacher": setting.REGION_TEACHER,
        "config": setting.REGION_CONFIG,
    }
    assert_same(taken(1, **kinds), taken(4, **kinds))


def twice(step):
    """A batch of two equal halves, whose statistics are those of the whole."""
    half = setting.make_batch(step, 4)
    return {name: np.concatenate([value, value]) for name, value in half.items()}


def test_equal_parts_have_the_statistics_of_the_whole_batch():
    students = {"dull": setting.STUDENTS["dull"]}
    kinds = {
        "students": students,
        "batch_of": twice,
        "config": objectives.row(setting.CONFIG, "TSKD"),
    }
    assert_same(taken(1, **kinds), taken(2, **kinds))


def test_statistics_are_the_mean_over_unequal_parts():
    """The running means of a first layer, whose inputs no other layer has changed."""
    kinds = {
        "students": {"dull": setting.STUDENTS["dull"]},
        "config": objectives.row(setting.CONFIG, "TSKD"),
        "batch_of": lambda step: setting.make_batch(step, 8),
    }
    one, two = (
        state.batch_stats["dull"]["backbone"]["conv1"]
        for state, _ in (taken(1, **kinds), taken(2, **kinds))
    )
    means = [
        [
            leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
            if "mean" in jax.tree_util.keystr(path)
        ]
        for tree in (one, two)
    ]
    assert means[0]
    np.testing.assert_allclose(means[0], means[1], rtol=1e-12)


def convolutions(parts, size):
    """Number of convolutions in the program of plain training, of which a CPU has one
    for each example."""
    students = {"dull": STUDENTS["dull"]}
    config = objectives.row(setting.CONFIG, "NOKD")
    step = setting.unmapped_step(students, config=config, microbatches=parts)
    operands = setting.fresh_state(students), Constants(), setting.make_batch(0, size)
    return jax.jit(step).lower(*operands).compile().as_text().count(" convolution(")


def test_nothing_is_computed_twice_where_no_gate_needs_it():
    assert convolutions(2, size=8) == convolutions(1, size=4) > 0


def nested(term, view):
    """A term whose count depends on a sum over the batch."""
    del term
    mask = view.labels.mask
    found = mean_over_examples(mask, mask)
    return Parts([found._replace(number=found.number / view.psum(jnp.sum(mask)))])


def test_a_sum_that_depends_on_another_is_refused():
    config = objectives.row(setting.CONFIG, "NOKD")
    term = type(next(iter(config.distill.active.values())))

    @dataclasses.dataclass(frozen=True)
    class Own(term):
        __call__ = nested

    config = config._replace(distill=config.distill.with_terms(gt=Own()))
    with pytest.raises(InputError, match=r"OptimConfig.microbatches: a term sums"):
        taken(2, config=config)


def test_parts_that_do_not_divide_a_devices_share_are_refused():
    check_batch(8 * jax.device_count(), microbatches=4)
    with pytest.raises(InputError, match=r"with 3 microbatches each; use "):
        check_batch(8 * jax.device_count(), microbatches=3)
    for parts in (0, -1, 5000):
        with pytest.raises(InputError, match=r"OptimConfig\.microbatches="):
            OptimConfig(microbatches=parts)


def test_networks_of_tests_learn_without_normalisation():
    assert not jax.tree.leaves(
        init_variables(jax.random.key(0), STUDENTS["dull"])["batch_stats"]
    )
    assert networks.TEACHER.backbone.layers[0].batch_norm


def test_a_run_in_parts_goes_on_bit_for_bit(tmp_path):
    """The step is a program of its own; what it leaves is all that the next reads."""
    step = setting.make_step(
        test_loop.STUDENTS,
        config=objectives.row(setting.CONFIG, "TSKD"),
        microbatches=2,
    )

    def run(folder, **which):
        which = {"total": 4} | which
        return test_loop.make_run(step, tmp_path / folder, **which)

    whole = fit(test_loop.start(), run("whole"), test_loop.WAITING)
    fit(test_loop.start(), run("parts", total=2), test_loop.WAITING)
    again = run("parts", first=2)
    restored = again.checkpoints.restore(test_loop.start())
    assert int(restored.state.step) == 2
    test_loop.assert_same(whole, fit(restored, again, test_loop.WAITING))
