import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses


def test_token_kl_by_hand():
    student, teacher = jnp.zeros((1, 1, 2)), jnp.array([[[0.0, 2.0 * np.log(3.0)]]])
    # At T = 2, p_S = (1/2, 1/2) and p_T = (1/4, 3/4).
    expected = 4.0 * (0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5))
    value = losses.token_kl(student, teacher, temperature=2.0)
    np.testing.assert_allclose(value, [[expected]], rtol=1e-5)


def test_the_sum_over_cells_is_pytorchs_divergence():
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    student, teacher = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 6))
    scaled = [torch.tensor(x, requires_grad=True) for x in (student, teacher)]
    logs = [torch.log_softmax(x / 4.0, -1) for x in scaled]
    target = logs[1].detach()
    # "batchmean" divides the sum over everything by the first axis.
    loss = 16.0 * torch.nn.functional.kl_div(
        logs[0], target, reduction="batchmean", log_target=True
    )
    loss.backward()

    def mine(features):
        return losses.token_kl(features, teacher).sum(axis=(1, 2)).mean()

    with jax.enable_x64(True):
        value, grad = jax.value_and_grad(mine)(jnp.asarray(student))
    np.testing.assert_allclose(value, loss.item(), rtol=1e-10)
    np.testing.assert_allclose(grad, scaled[0].grad.numpy(), rtol=1e-8, atol=1e-12)


def test_small_differences_keep_their_digits():
    rng = np.random.default_rng(3)
    teacher = rng.normal(size=(1, 20, 1, 768)).astype(np.float32)
    student = teacher + 0.03 * rng.normal(size=teacher.shape).astype(np.float32)
    logs = []
    for x in (student, teacher):
        x = x.astype(np.float64) / 4.0
        logs.append(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)))
    expected = 16.0 * (np.exp(logs[1]) * (logs[1] - logs[0])).sum(axis=-1)
    value = losses.token_kl(jnp.asarray(student), jnp.asarray(teacher))
    # Plain sums of p (log p_T - log p_S) are off by 2 % here.
    np.testing.assert_allclose(value, expected, rtol=2e-5)


def test_a_student_sure_of_what_its_teacher_excludes_costs_its_gap():
    student, teacher = jnp.array([[[400.0, 0.0]]]), jnp.array([[[0.0, 400.0]]])
    # p_T = (0, 1), and log p_S of the second channel is -100 at T = 4.
    value, grad = jax.value_and_grad(lambda s: losses.token_kl(s, teacher).sum())(
        student
    )
    np.testing.assert_allclose(value, 16.0 * 100.0, rtol=1e-6)
    np.testing.assert_allclose(grad, [[[4.0, -4.0]]], rtol=1e-6)


def test_half_precision_is_computed_in_float32():
    student, teacher = np.random.default_rng(1).normal(size=(2, 1, 2, 2, 8))
    halves = [jnp.asarray(x, jnp.bfloat16) for x in (student, teacher)]
    for loss in (losses.token_kl, losses.token_mse):
        value = loss(*halves)
        assert value.dtype == jnp.float32
        exact = loss(*(x.astype(jnp.float32) for x in halves))
        np.testing.assert_array_equal(value, exact)


def test_a_cells_salience_is_the_mean_square_of_its_channels():
    features = jnp.array([[[1.0, -3.0], [0.5, 0.5]]])
    np.testing.assert_allclose(losses.salience(features), [[5.0, 0.25]])
    assert losses.salience(features.astype(jnp.bfloat16)).dtype == jnp.float32


@pytest.mark.parametrize(
    "share, kept", [(0.01, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.51, 3), (1.0, 4)]
)
def test_a_share_of_the_cells_is_rounded_up_to_whole_ones(share, kept):
    salience = jnp.array([[[1.0, 4.0], [3.0, 2.0]], [[8.0, 5.0], [6.0, 7.0]]])
    found = losses.most_salient(salience, share=share)
    np.testing.assert_array_equal(found.sum(axis=(1, 2)), [kept, kept])
    # Each map has a limit of its own.
    assert found[0, 0, 1] and found[1, 0, 0]


def test_a_share_that_is_a_whole_number_of_cells_is_not_rounded_past_it():
    # .07 * 100 is 7.000000000000001.
    salience = jnp.arange(100.0).reshape(1, 10, 10)
    assert losses.most_salient(salience, share=0.07).sum() == 7


@pytest.mark.parametrize("weights", [(0.6, 0.4), (0.75, 0.25)])
def test_weights_of_cells_equal_the_masked_maps_of_public_code(weights):
    student, teacher = np.random.default_rng(2).normal(size=(2, 2, 3, 3, 5))
    mask = (np.mean(teacher**2, axis=-1) >= 1.0).astype(np.float64)
    assert 0.0 < mask.mean() < 1.0

    def softmax(x):
        e = np.exp(x / 4.0)
        return e / e.sum(axis=-1, keepdims=True)

    def divergence(a, b):
        p, q = softmax(a), softmax(b)
        return 16.0 * (q * np.log(q / p)).sum() / len(a)

    masks = (mask[..., None], 1.0 - mask[..., None])
    expected = sum(
        weight * divergence(student * m, teacher * m)
        for weight, m in zip(weights, masks, strict=True)
    )
    with jax.enable_x64(True):
        salient = losses.salience(jnp.asarray(teacher)) >= 1.0
        own = losses.salience_weights(salient, inside=weights[0], outside=weights[1])
        value = (own * losses.token_kl(student, teacher)).sum(axis=(1, 2)).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-9)
