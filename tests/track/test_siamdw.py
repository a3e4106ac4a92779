"""SiamDW's conventions of tracking, against its tracker restated in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.models import build, remember, respond
from dst_jax.track import SIAMDW_PRESETS, SiamFCTracking, make_tracker, siamfc
from tests.track import scenes, siamdw_reference

MODULE = build(scenes.SPEC)
PRESET = SIAMDW_PRESETS["siamdw-otb15"]
HW = jnp.array([120, 150])


def network(spec, variables):
    """Our network as the restated tracker asks it."""

    @jax.jit
    def ask(template, crops):
        template, crops = template.astype(jnp.float32), crops.astype(jnp.float32)
        memory = remember(build(spec), variables, template[None])
        return respond(build(spec), variables, memory, crops).response

    return lambda template, crops: np.asarray(ask(template, crops))


@pytest.mark.parametrize("name", ["siamdw-otb15", "siamdw-otb13"])
def test_boxes_are_those_of_the_restated_tracker(name):
    frames, boxes = scenes.video(40, start=(40.0, 50.0), velocity=(2.0, 1.0))
    variables, config = scenes.weights(), SIAMDW_PRESETS[name]
    expected = siamdw_reference.track(
        frames,
        boxes[0],
        network(scenes.SPEC, variables),
        spec=scenes.SPEC,
        config=config,
    )
    result = make_tracker(scenes.SPEC, variables, tracking=config).track(
        frames, boxes[0]
    )
    assert np.abs(result.boxes - expected).mean() <= 1.0
    # It is the target that both follow.
    assert np.abs(expected[-1, :2] - boxes[-1, :2]).max() <= 6.0


def move(box, sides, responses, **changes):
    config = dataclasses.replace(SiamFCTracking(), **changes)
    box = jnp.array(box, jnp.float32)
    sides = None if sides is None else jnp.array(sides, jnp.float32)
    run = jax.jit(lambda *x: siamfc.update_box(MODULE, *x, HW, config=config))
    return run(box, sides, responses)


def peaks(scale, row=5, column=5):
    responses = np.zeros((3, 11, 11), np.float32)
    responses[scale, row, column] = 10.0
    return responses


def test_the_public_origin_lies_half_a_sample_behind_the_middle():
    box = [70.0, 55.0, 24.0, 18.0]
    ours, public = (
        np.asarray(move(box, None, peaks(1), peak_origin=origin)[0])
        for origin in ("middle", "public")
    )
    context = np.sqrt((24 + 21.0) * (18 + 21.0))
    # Half of one of 16 samples in a cell of 4 px of the crop.
    half = 0.5 * 4 / 16 * context / 39
    np.testing.assert_allclose(ours - public, [half, half, 0, 0], atol=1e-4)


def test_the_public_shift_is_measured_at_the_middle_scale():
    box = [70.0, 55.0, 24.0, 18.0]
    wide = {"scale_step": 1.5, "window_influence": 0.0, "scale_rate": 0.0}
    ours, public = (
        float(move(box, None, peaks(2, column=7), peak_origin=origin, **wide)[0][0])
        for origin in ("middle", "public")
    )
    # 2 cells of 16 samples to the right, the peak's sample is 8 of the cell's 16.
    per_sample = 4 / 16 * np.sqrt((24 + 21.0) * (18 + 21.0)) / 39
    np.testing.assert_allclose(public - 70.0, 31.5 * per_sample, atol=per_sample)
    np.testing.assert_allclose(ours - 70.0, 1.5 * 32 * per_sample, atol=per_sample)


def test_the_window_grows_no_further_than_its_bounds():
    wide = {"scale_step": 2.0, "scale_rate": 1.0, "search_bounds": (0.2, 5.0)}
    box = [70.0, 55.0, 24.0, 18.0]
    for scale, sides, aim in (
        (2, (80.0, 40.0), 160.0),
        (2, (120.0, 40.0), 200.0),
        (0, (10.0, 40.0), 8.0),
    ):
        _, found, _ = move(box, sides, peaks(scale), **wide)
        np.testing.assert_allclose(found, [aim, 40.0], rtol=1e-6)


def test_the_first_window_belongs_to_a_template_of_whole_pixels():
    box = jnp.array([70.0, 55.0, 24.0, 18.0])
    sides = siamfc.first_sides(scenes.SPEC.input, box, PRESET)
    # sqrt(45 * 39) = 41.89 px, so 42 px.
    np.testing.assert_allclose(sides, [42 * 79 / 39] * 2, rtol=1e-6)
    assert siamfc.first_sides(scenes.SPEC.input, box, SiamFCTracking()) is None


def test_boxes_are_kept_in_the_frame():
    clip = {"clip_to_frame": True, "min_side_px": 10.0}
    clip |= {"scale_step": 2.0, "scale_rate": 1.0}
    moved, _, _ = move([149.0, 60.0, 100.0, 70.0], None, peaks(2, 5, 10), **clip)
    np.testing.assert_allclose(moved, [150.0, moved[1], 150.0, 120.0], rtol=1e-6)
    moved, _, _ = move([75.0, 60.0, 12.0, 40.0], None, peaks(0), **clip)
    np.testing.assert_allclose(moved[2:], [10.0, 20.0], rtol=1e-6)


def test_a_least_side_alone_keeps_the_shape():
    grow = {"scale_step": 2.0, "scale_rate": 1.0, "min_side_px": 8.0}
    moved, _, _ = move([75.0, 60.0, 12.0, 40.0], None, peaks(0), **grow)
    np.testing.assert_allclose(moved[2:], [8.0, 40.0 * 8 / 12], rtol=1e-6)


def test_a_response_that_is_not_finite_leaves_the_window():
    responses = np.full((3, 11, 11), np.nan, np.float32)
    box = [70.0, 55.0, 24.0, 18.0]
    moved, sides, _ = move(box, (80.0, 40.0), responses, search_bounds=(0.2, 5.0))
    np.testing.assert_array_equal(moved, np.float32(box))
    np.testing.assert_array_equal(sides, [80.0, 40.0])
