"""Box conversions and overlap, for NumPy and JAX alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst_jax import boxes

SIDES = st.floats(0.5, 100.0)
PLACES = st.floats(-100.0, 100.0)
BOXES = st.tuples(PLACES, PLACES, SIDES, SIDES).map(np.array)


@settings(deadline=None)
@given(BOXES)
def test_conversions_are_inverse(box):
    again = boxes.xywh_to_cxcywh(boxes.cxcywh_to_xywh(box))
    np.testing.assert_allclose(again, box, atol=1e-10)


def test_corners_of_a_box_by_hand():
    box = np.array([5.0, 7.0, 4.0, 6.0])
    np.testing.assert_array_equal(boxes.cxcywh_to_xyxy(box), [3.0, 4.0, 7.0, 10.0])
    np.testing.assert_array_equal(boxes.cxcywh_to_xywh(box), [3.0, 4.0, 4.0, 6.0])


def test_overlap_by_hand():
    a = np.array([2.0, 2.0, 4.0, 4.0])
    b = np.array([4.0, 3.0, 4.0, 4.0])
    # Intersection 2 x 3 = 6; union 16 + 16 - 6 = 26.
    np.testing.assert_allclose(boxes.iou(a, b), 6 / 26)


@settings(deadline=None)
@given(BOXES, BOXES, st.floats(0.1, 10.0), PLACES)
def test_overlap_is_symmetric_and_does_not_depend_on_scale_or_place(a, b, scale, dx):
    value = boxes.iou(a, b)
    np.testing.assert_allclose(boxes.iou(b, a), value, atol=1e-12)
    np.testing.assert_allclose(boxes.iou(a, a), 1.0)
    shift = np.array([dx, -dx, 0.0, 0.0])
    np.testing.assert_allclose(
        boxes.iou(scale * a + shift, scale * b + shift), value, atol=1e-6
    )


def test_an_empty_box_overlaps_nothing():
    empty = np.array([1.0, 1.0, 0.0, 0.0])
    assert boxes.iou(empty, empty) == 0.0
    assert boxes.iou(empty, np.array([1.0, 1.0, 2.0, 2.0])) == 0.0


@pytest.mark.parametrize(
    "function", [boxes.cxcywh_to_xyxy, boxes.xywh_to_cxcywh, boxes.cxcywh_to_xywh]
)
def test_jitted_jax_equals_numpy(function):
    batch = np.random.default_rng(0).uniform(1, 9, (5, 3, 4)).astype(np.float32)
    got = jax.jit(function)(jnp.asarray(batch))
    assert isinstance(got, jax.Array)
    np.testing.assert_allclose(got, function(batch), rtol=1e-6)
    assert function(batch).dtype == np.float32
