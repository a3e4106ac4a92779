import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses
from tests.losses import reference


def test_focal_by_hand():
    response = jnp.log(jnp.array([[3.0, 3.0, 3.0]]))  # p = .75
    value = losses.focal(response, jnp.array([[1.0, 0.5, 0.0]]))
    at_centre = -(0.25**2) * np.log(0.75)
    background = -(0.75**2) * np.log(0.25)
    # (1 - .5)^4 is a sixteenth.
    expected = [[at_centre, background / 16, background]]
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_focal_of_labels_between_0_and_1_equals_loops():
    rng = np.random.default_rng(0)
    response = 4.0 * rng.normal(size=(3, 4, 4))
    labels = rng.choice([0.0, 0.3, 0.999999, 1.0], size=(3, 4, 4))
    with jax.enable_x64(True):
        value = losses.focal(response, labels)
    np.testing.assert_allclose(value, reference.focal(response, labels), rtol=1e-9)


def test_focal_has_no_gradient_where_a_probability_is_clamped():
    response, labels = jnp.array([[9.0, 9.5, -9.5]]), jnp.array([[0.0, 0.0, 1.0]])
    # sigmoid(9) = .99988 is within, sigmoid(9.5) = .999925 is not.
    grad = jax.grad(lambda s: losses.focal(s, labels).sum())(response)
    assert grad[0, 0] > 0.0
    np.testing.assert_array_equal(grad[0, 1:], 0.0)


def test_giou_by_hand():
    # Unit squares, the second half a side to the right: I = 1/2, U = C = 3/2.
    square = jnp.array([0.5, 0.5, 1.0, 1.0])
    moved = losses.giou(square, jnp.array([1.0, 0.5, 1.0, 1.0]))
    np.testing.assert_allclose(moved, 1.0 - 1.0 / 3.0, rtol=1e-6)
    # A side of nothing between them: I = 0, U = 2, C = 3.
    apart = losses.giou(square, jnp.array([2.5, 0.5, 1.0, 1.0]))
    np.testing.assert_allclose(apart, 1.0 + 1.0 / 3.0, rtol=1e-6)
    # Corner to corner: C = 4, U = 2.
    corner = losses.giou(square, jnp.array([1.5, 1.5, 1.0, 1.0]))
    np.testing.assert_allclose(corner, 1.5, rtol=1e-6)


def test_boxes_apart_attract_each_other():
    away = jnp.array([3.0, 0.5, 1.0, 1.0])
    pull = jax.grad(losses.giou)(away, jnp.array([0.5, 0.5, 1.0, 1.0]))
    assert pull[0] > 0.0 and pull[1] == 0.0


@pytest.mark.parametrize("place", [0, 2])
def test_a_box_that_is_no_number_gives_no_number(place):
    broken = jnp.array([0.5, 0.5, 0.5, 0.5]).at[place].set(jnp.nan)
    whole = jnp.array([0.5, 0.5, 0.5, 0.5])
    assert jnp.isnan(losses.giou(broken, whole))
    assert jnp.isnan(losses.giou(whole, broken))


def test_a_truth_without_area_leaves_a_loss_and_a_gradient():
    truth = jnp.array([1.0, 0.5, 0.0, 0.5])
    value, grad = jax.value_and_grad(losses.giou)(jnp.array([0.5] * 4), truth)
    # U = 1/4 and C = 3/4 * 1/2.
    np.testing.assert_allclose(value, 1.0 + 1.0 / 3.0, rtol=1e-6)
    assert np.all(np.isfinite(np.asarray(grad)))


def test_corner_l1_by_hand():
    box = jnp.array([0.5, 0.5, 0.5, 0.5])
    # Both corners of x move by .1, those of y by a quarter of a side, outwards.
    value = losses.corner_l1(box + jnp.array([0.1, 0.0, 0.0, 0.2]), box)
    np.testing.assert_allclose(value, (0.1 + 0.1 + 0.1 + 0.1) / 4, rtol=1e-5)


def test_the_three_losses_and_their_gradients_are_pytorchs():
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    rng = np.random.default_rng(1)
    response = 3.0 * rng.normal(size=(4, 5, 5)).astype(np.float32)
    labels = rng.choice([0.0, 0.5, 1.0], size=(4, 5, 5)).astype(np.float32)
    ours, theirs = rng.uniform(0.2, 0.8, size=(2, 4, 4)).astype(np.float32)

    def twin(scores, boxes):
        p = scores.sigmoid().clamp(1e-4, 1 - 1e-4)
        y = torch.tensor(labels)
        positive = y.eq(1).float()
        gain = p.log() * (1 - p) ** 2 * positive
        loss = (1 - p).log() * p**2 * (1 - y) ** 4 * (1 - positive)
        a, b = (
            torch.cat([x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2], -1)
            for x in (boxes, torch.tensor(theirs))
        )
        shared = torch.minimum(a, b)[:, 2:] - torch.maximum(a, b)[:, :2]
        shared = shared.clamp(min=0).prod(-1)
        span = torch.maximum(a, b)[:, 2:] - torch.minimum(a, b)[:, :2]
        areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
        union, hull = sum(areas) - shared, span.prod(-1)
        giou = shared / union - (hull - union) / hull
        l1 = torch.nn.functional.l1_loss(a, b)
        return 2 * (1 - giou).mean() + 5 * l1 - (gain + loss).sum() / positive.sum()

    def mine(scores, boxes):
        focal = losses.focal(scores, labels).sum() / float((labels == 1.0).sum())
        boxes_loss = 2.0 * losses.giou(boxes, theirs) + 5.0 * losses.corner_l1(
            boxes, theirs
        )
        return focal + boxes_loss.mean()

    expected = [torch.tensor(x, requires_grad=True) for x in (response, ours)]
    total = twin(*expected)
    total.backward()
    value, grads = jax.value_and_grad(mine, argnums=(0, 1))(
        jnp.asarray(response), jnp.asarray(ours)
    )
    np.testing.assert_allclose(value, total.item(), rtol=1e-5)
    for grad, one in zip(grads, expected, strict=True):
        np.testing.assert_allclose(grad, one.grad.numpy(), rtol=1e-4, atol=1e-7)
