"""Labels of centre heads and their loss, without a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from dst_jax.arch import AreaCrop, InputSpec
from dst_jax.distill import reduce_parts
from dst_jax.distill.detection import detection_parts
from dst_jax.distill.labels import CentreLabels, centre_labels
from dst_jax.ops.examples import Examples
from tests.losses import reference


def examples(boxes, *, negative=(), padded=(), px=96):
    """A batch of black crops of `px` px, with these boxes in the search images."""
    count = len(boxes)
    flags = np.zeros((2, count), np.float32)
    flags[0, list(negative)], flags[1, list(padded)] = 1.0, 1.0
    return Examples(
        template=jnp.zeros((count, px // 2, px // 2, 3)),
        search=jnp.zeros((count, px, px, 3)),
        mask=jnp.asarray(1.0 - flags[1]),
        is_negative=jnp.asarray(flags[0]),
        search_box=jnp.asarray(boxes, jnp.float32),
        number=jnp.arange(count, dtype=jnp.int32),
        input=InputSpec(px // 2, px, px, area=AreaCrop(2.0, 5.0)),
    )


def test_labels_are_made_in_shares_of_the_networks_own_search_image():
    found = centre_labels(examples([[24.0, 48.0, 48.0, 24.0]]), 6)
    # 1.5 of 6 cells is rounded to 2, 3 stays.
    assert found.heat[0, 3, 2] == 1.0 and found.heat.sum() == 1.0
    np.testing.assert_array_equal(found.box, [[0.25, 0.5, 0.5, 0.25]])


def test_the_box_ends_at_the_edge_of_the_image_and_the_gaussian_does_not():
    found = centre_labels(examples([[12.0, 48.0, 72.0, 192.0]]), 24)
    # From -24 to 48 px there remain 0 to 48; in height all.
    np.testing.assert_allclose(found.box, [[0.25, 0.5, 0.5, 1.0]], rtol=1e-6)
    # 18 x 48 cells give r = 7 or so: 7 cells to either side of column 3.
    assert found.heat[0, 12, 10] > 0.0 and found.heat[0, 12, 11] == 0.0


def test_pairs_without_the_target_have_no_peak_and_padding_does_not_count():
    boxes = [[48.0, 48.0, 20.0, 20.0]] * 3
    found = centre_labels(examples(boxes, negative=[1], padded=[2]), 6)
    np.testing.assert_array_equal(found.heat.max(axis=(1, 2)), [1.0, 0.0, 1.0])
    np.testing.assert_array_equal(found.shown, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(found.mask, [1.0, 1.0, 0.0])


def test_the_label_of_a_lost_centre_follows_the_setting():
    last = examples([[95.0, 48.0, 20.0, 20.0]])
    assert centre_labels(last, 6).heat.max() == 1.0
    assert centre_labels(last, 6, peak="public").heat.max() < 1.0


def answers(count=4, side=6, seed=0):
    rng = np.random.default_rng(seed)
    response = rng.normal(size=(count, side, side)).astype(np.float32)
    offsets = rng.uniform(0.1, 0.9, size=(count, side, side, 4)).astype(np.float32)
    return jnp.asarray(response), jnp.asarray(offsets)


BOXES = np.random.default_rng(5).uniform(20.0, 70.0, size=(4, 4))


def literal(response, offsets, labels, weights=(2.0, 5.0)):
    """2 GIoU + 5 L1 + focal of whole batches, in loops."""
    heat, box = (np.asarray(x, np.float64) for x in (labels.heat, labels.box))
    kept = np.asarray(labels.mask) > 0.0
    focal = reference.focal(np.asarray(response, np.float64), heat)[kept].sum()
    focal /= max((heat[kept] == 1.0).sum(), 1.0)
    boxes = []
    for scores, cells in zip(response, np.asarray(offsets), strict=True):
        row, column = np.unravel_index(np.asarray(scores).argmax(), scores.shape)
        x, y, w, h = cells[row, column]
        side = len(scores)
        boxes.append([(column + x) / side, (row + y) / side, w, h])
    shown = np.asarray(labels.shown) > 0.0
    giou, corners = (
        loss(np.array(boxes), box)[shown].sum() / max(shown.sum(), 1)
        for loss in (reference.giou, reference.corner_l1)
    )
    return focal + weights[0] * giou + weights[1] * corners


@pytest.mark.parametrize(
    "negative, padded", [((), ()), ((1,), (2,)), ((0, 1, 2, 3), ()), ((), (0, 1, 2, 3))]
)
def test_the_loss_is_that_of_loops_whatever_counts(negative, padded):
    answer = answers()
    labels = centre_labels(examples(BOXES, negative=negative, padded=padded), 6)
    found = reduce_parts(detection_parts(*answer, labels), None)
    np.testing.assert_allclose(found, literal(*answer, labels), rtol=1e-5)


def test_a_batch_without_any_centre_is_not_divided():
    response, offsets = answers()
    labels = centre_labels(examples(BOXES, negative=range(4)), 6)
    found = reduce_parts(detection_parts(response, offsets, labels), None)
    expected = reference.focal(np.asarray(response), np.zeros(response.shape)).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_factors_of_boxes_are_settings():
    answer, labels = answers(), centre_labels(examples(BOXES), 6)
    parts = detection_parts(*answer, labels, giou_weight=0.5, corner_weight=3.0)
    found = reduce_parts(parts, None)
    expected = literal(*answer, labels, weights=(0.5, 3.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_four_devices_of_which_one_has_no_centre_equal_one():
    answer = answers()
    labels = centre_labels(examples(BOXES, negative=[2], padded=[3]), 6)

    def loss(response, offsets, labels, axis=None):
        return reduce_parts(detection_parts(response, offsets, labels), axis)

    alone = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(*answer, labels)
    mesh = Mesh(np.array(jax.devices()[:4]), ("d",))
    split, whole = PartitionSpec("d"), PartitionSpec()

    def shared(response, offsets, labels):
        value, grads = jax.value_and_grad(loss, argnums=(0, 1))(
            response, offsets, labels, "d"
        )
        return jax.lax.psum(value, "d"), grads

    together = jax.jit(
        jax.shard_map(
            shared,
            mesh=mesh,
            in_specs=(split, split, split),
            out_specs=(whole, split),
            check_vma=False,
        )
    )(*answer, labels)
    for one, many in zip(
        jax.tree.leaves(alone), jax.tree.leaves(together), strict=True
    ):
        np.testing.assert_allclose(many, one, rtol=1e-6, atol=1e-7)


def test_a_box_that_is_no_number_makes_the_loss_none():
    response, offsets = answers()
    labels = centre_labels(examples(BOXES), 6)
    broken = labels._replace(box=labels.box.at[1, 2].set(jnp.nan))
    assert isinstance(broken, CentreLabels)
    found = reduce_parts(detection_parts(response, offsets, broken), None)
    assert jnp.isnan(found)
