"""What every loss must do; adding a loss is adding a row to `battery.CASES`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses.battery import CASES

every_loss = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def float32(arrays):
    return [jnp.asarray(a, jnp.float32) for a in arrays]


@every_loss
def test_equals_the_loops_of_the_reference_in_float64(case):
    arrays = case.arguments()
    expected = case.reference(*arrays)
    with jax.enable_x64(True):
        values = case.compiled(*(jnp.asarray(a) for a in arrays))
        assert values.shape == expected.shape
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


@every_loss
def test_float32_stays_float32_near_the_reference(case):
    arrays = case.arguments(1)
    values = case.compiled(*float32(arrays))
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, case.reference(*arrays), rtol=1e-4, atol=1e-6)


@every_loss
def test_is_never_negative_and_zero_at_the_target(case):
    arrays = [a.astype(np.float32) for a in case.arguments(2)]
    assert np.all(np.asarray(case.compiled(*arrays)) >= -1e-6)
    if case.at_target is None:  # reached only as the response goes to infinity
        labels = arrays[-1]
        values = case.compiled(100.0 * (2.0 * labels - 1.0), labels)
    else:
        targets = arrays[case.learnt :]
        values = case.compiled(*case.at_target(*targets), *targets)
    np.testing.assert_allclose(values, 0.0, atol=1e-7)


@every_loss
def test_permuting_the_batch_permutes_the_values(case):
    arrays = [a.astype(np.float32) for a in case.arguments()]
    order = np.array([2, 0, 1])
    values = np.asarray(case.compiled(*arrays))
    permuted = case.compiled(*(a[order] for a in arrays))
    np.testing.assert_allclose(permuted, values[order], rtol=1e-5, atol=1e-6)


@every_loss
def test_gradients_are_those_of_finite_differences(case):
    rng, step = np.random.default_rng(3), 1e-5
    arrays = case.arguments(3)
    learnt, targets = arrays[: case.learnt], arrays[case.learnt :]
    with jax.enable_x64(True):
        _, grads = case.gradients(*map(jnp.asarray, arrays))
        for _ in range(3):
            ways = [rng.normal(size=a.shape) for a in learnt]
            ahead, behind = (
                [a + sign * step * way for a, way in zip(learnt, ways, strict=True)]
                for sign in (1.0, -1.0)
            )
            ahead = np.asarray(case.compiled(*ahead, *targets))
            behind = np.asarray(case.compiled(*behind, *targets))
            slope = (ahead - behind).sum() / (2.0 * step)
            parts = zip(grads[: case.learnt], ways, strict=True)
            along = sum(np.vdot(grad, way) for grad, way in parts)
            np.testing.assert_allclose(along, slope, rtol=1e-6, atol=1e-7)


@every_loss
def test_targets_get_no_gradient_and_learners_do(case):
    _, grads = case.gradients(*float32(case.arguments()))
    for grad in grads[: case.learnt]:
        assert np.any(np.asarray(grad) != 0.0)
    for grad in grads[case.learnt :]:
        np.testing.assert_array_equal(grad, 0.0)


@every_loss
def test_compiled_equals_eager(case):
    arrays = float32(case.arguments())
    eager, compiled = case.loss(*arrays), case.compiled(*arrays)
    np.testing.assert_allclose(eager, compiled, rtol=1e-5, atol=1e-6)


@every_loss
def test_values_and_gradients_are_finite_at_extremes(case):
    extremes = (-50.0, 0.0, 50.0, 1e4)
    # Every constant learner against every constant target, three to a batch.
    learner, target = (a.ravel() for a in np.meshgrid(extremes, extremes))
    if case.labels:
        target = (target > 0.0).astype(np.float64)
    for at in (np.arange(k, k + 3) % 16 for k in range(0, 16, 3)):
        arrays = []
        for k, shape in enumerate(case.shapes):
            constant = (learner if k < case.learnt else target)[at]
            cells = (slice(None), *[None] * (len(shape) - 1))
            arrays.append(np.broadcast_to(constant[cells], shape).astype(np.float32))
        values, grads = case.gradients(*arrays)
        assert np.all(np.isfinite(np.asarray(values)))
        assert all(np.all(np.isfinite(np.asarray(grad))) for grad in grads)
