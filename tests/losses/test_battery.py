"""What every loss must do; adding a loss is adding a row to `battery.CASES`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.losses.battery import CASES

every_loss = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def float32(arrays):
    return [jnp.asarray(a, jnp.float32) for a in arrays]


@every_loss
def test_equals_the_loops_of_the_reference_in_float64(case):
    arrays = case.arguments()
    expected = case.reference(*arrays)
    with jax.enable_x64(True):
        values = case.loss(*(jnp.asarray(a) for a in arrays))
        assert values.shape == expected.shape
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


@every_loss
def test_float32_stays_float32_near_the_reference(case):
    arrays = case.arguments(1)
    values = case.loss(*float32(arrays))
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, case.reference(*arrays), rtol=1e-4, atol=1e-6)


@every_loss
def test_is_never_negative_and_zero_at_the_target(case):
    arrays = float32(case.arguments(2))
    assert np.all(case.loss(*arrays) >= -1e-6)
    if case.at_target is None:  # reached only as the response goes to infinity
        labels = arrays[-1]
        values = case.loss(100.0 * (2.0 * labels - 1.0), labels)
    else:
        targets = arrays[case.learnt :]
        values = case.loss(*case.at_target(*targets), *targets)
    np.testing.assert_allclose(values, 0.0, atol=1e-7)


@every_loss
def test_permuting_the_batch_permutes_the_values(case):
    arrays, order = float32(case.arguments()), np.array([2, 0, 1])
    values = case.loss(*arrays)
    permuted = case.loss(*(a[order] for a in arrays))
    np.testing.assert_allclose(permuted, values[order], rtol=1e-5, atol=1e-6)


@every_loss
def test_gradients_are_those_of_finite_differences(case):
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in case.arguments(3)]
        targets = arrays[case.learnt :]
        check_grads(
            jax.jit(lambda *learnt: case.loss(*learnt, *targets)),
            arrays[: case.learnt],
            order=1,
            modes=("rev",),
            atol=1e-6,
            rtol=1e-6,
        )


@every_loss
def test_targets_get_no_gradient_and_learners_do(case):
    arrays = float32(case.arguments())
    grads = jax.jit(jax.grad(lambda a: jnp.sum(case.loss(*a))))(arrays)
    for grad in grads[: case.learnt]:
        assert np.any(grad != 0.0)
    for grad in grads[case.learnt :]:
        np.testing.assert_array_equal(grad, 0.0)


@every_loss
def test_compiled_equals_eager(case):
    arrays = float32(case.arguments())
    eager, compiled = case.loss(*arrays), jax.jit(case.loss)(*arrays)
    np.testing.assert_allclose(eager, compiled, rtol=1e-5, atol=1e-6)


@every_loss
def test_values_and_gradients_are_finite_at_extremes(case):
    extremes = [-50.0, 0.0, 50.0, 1e4]
    # One example per combination of a constant learner and a constant target.
    learner, target = (a.ravel() for a in np.meshgrid(extremes, extremes))
    if case.labels:
        target = (target > 0.0).astype(np.float64)
    arrays = []
    for k, shape in enumerate(case.shapes):
        constant = (learner if k < case.learnt else target).astype(np.float32)
        cells = (slice(None), *[None] * (len(shape) - 1))
        arrays.append(np.broadcast_to(constant[cells], (16, *shape[1:])))

    def total(learnt):
        values = case.loss(*learnt, *arrays[case.learnt :])
        return jnp.sum(values), values

    learnt = arrays[: case.learnt]
    grads, values = jax.jit(jax.grad(total, has_aux=True))(learnt)
    assert np.all(np.isfinite(values))
    assert all(np.all(np.isfinite(grad)) for grad in grads)
