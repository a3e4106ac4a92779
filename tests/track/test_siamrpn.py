import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.models import RegionAnswer, build, forward, remember
from dst_jax.track import procedure, siamrpn
from dst_jax.track.config import SIAMRPN_PRESETS, SiamRPNTracking
from dst_jax.track.state import TrackState
from tests.track import reference, scenes

SPEC = scenes.REGION_SPEC
MODULE = build(SPEC)
CONFIG = SiamRPNTracking()
HW = np.array([120, 150], np.int32)
# Eleven cells of 4 px, anchors of 25x10, 20x20 and 10x20 px in search pixels.
CELLS, MIDDLE = 11, 5


@jax.jit
def update(box, response, offsets):
    answer = RegionAnswer(response, offsets)
    return siamrpn.update_box(MODULE, box, answer, HW, config=CONFIG)


def silence():
    """A response that gives every anchor a probability of e^-20, and no offsets."""
    response = np.zeros((CELLS, CELLS, 3, 2), np.float32)
    response[..., 0] = 20.0
    return response, np.zeros((CELLS, CELLS, 3, 4), np.float32)


def in_public_layout(response):
    return np.asarray(response).transpose(3, 2, 0, 1)


@pytest.mark.parametrize("seed", range(6))
def test_update_equals_the_published_read_out(seed):
    rng = np.random.default_rng(seed)
    response = rng.normal(size=(CELLS, CELLS, 3, 2)).astype(np.float32)
    offsets = rng.normal(size=(CELLS, CELLS, 3, 4)).astype(np.float32) * 0.4
    box = np.array([70.0, 55.0, 24.0, 18.0], np.float32)
    expected, score = reference.read_out(
        box.astype(np.float64),
        in_public_layout(response),
        in_public_layout(offsets),
        HW,
        spec=SPEC,
        config=CONFIG,
    )
    moved, found = update(box, response, offsets)
    np.testing.assert_allclose(moved, expected, rtol=1e-5)
    np.testing.assert_allclose(found, score, rtol=1e-5)


def test_anchors_of_the_reference_are_those_of_the_paper():
    sizes = reference.anchor_sizes((0.33, 0.5, 1, 2, 3), 8, 8)
    assert sizes == [(104, 32), (88, 40), (64, 64), (40, 80), (32, 96)]
    sizes = reference.anchor_sizes(SPEC.head.ratios, 5, 4)
    assert sizes == [(25, 10), (20, 20), (10, 20)]


def test_a_certain_box_enters_the_size_by_the_rate_and_the_centre_in_full():
    # A square of 19.5 px has a context of 39 px: one frame pixel per search pixel.
    box = np.array([70.0, 60.0, 19.5, 19.5], np.float32)
    response, offsets = silence()
    response[MIDDLE, MIDDLE + 1, 1] = -20.0, 20.0
    # 20 px * .1 to the right of a cell 4 px to the right; 39 x 19.5 px.
    offsets[MIDDLE, MIDDLE + 1, 1] = 0.1, -0.2, np.log(1.95), np.log(0.975)
    moved, score = update(box, response, offsets)
    # Context of 39 x 19.5: sqrt((39 + 29.25) (19.5 + 29.25)) = 57.682; of the last
    # box 39: change 1.47902 of size times 2 of shape; e^(-.055 * 1.95804) = .89791.
    rate = 0.295 * 0.89791
    width = 19.5 * (1 - rate) + 39.0 * rate
    np.testing.assert_allclose(moved, [76.0, 56.0, width, 19.5], rtol=1e-5)
    assert float(score) == 1.0


def test_an_unlikely_box_hardly_changes_the_size():
    box = np.array([70.0, 60.0, 19.5, 19.5], np.float32)
    response, offsets = silence()
    response[MIDDLE, MIDDLE, 1] = 0.0, np.log(0.25)
    offsets[MIDDLE, MIDDLE, 1] = 0.0, 0.0, np.log(1.95), np.log(1.95)
    moved, score = update(box, response, offsets)
    # Probability .25 / 1.25 = .2; change 2 of size: e^-.055 = .946485.
    rate = 0.295 * 0.2 * 0.946485
    np.testing.assert_allclose(moved[2:], 19.5 * (1 + rate), rtol=1e-5)
    # The score is the network's own: neither penalty nor window are in it.
    np.testing.assert_allclose(score, 0.2, rtol=1e-5)


@pytest.mark.parametrize(("logit", "wins"), [(0.0, False), (2.0, True)])
def test_a_box_far_off_must_outweigh_the_window(logit, wins):
    # The Hann window of 11 cells is (1 - cos 72 deg) / 2 = .345492 two cells from
    # its border. Middle: .58 * .1 * 1 + .42 = .478. There: .58 p + .42 * .345492.
    box = np.array([70.0, 60.0, 20.0, 20.0], np.float32)
    response, offsets = silence()
    response[MIDDLE, MIDDLE, 1] = 0.0, np.log(1 / 9)
    response[MIDDLE, 2, 1] = 0.0, logit
    moved, _ = update(box, response, offsets)
    # p = .5: .435; p = .881: .656. Three cells of 4 search px, 40 / 39 px each.
    shift = -12 * 40 / 39 if wins else 0.0
    np.testing.assert_allclose(moved[:2], [70.0 + shift, 60.0], atol=1e-3)


def test_penalty_by_hand():
    # 20 x 10: sqrt((20 + 15) (10 + 15)) = 29.5804 by 20: 1.47902, shape 2.
    # 5 x 5: half the size. 10 x 20: the inverse shape costs the same.
    sizes = np.array([[20, 10], [10, 10], [5, 5], [10, 20]], np.float32)
    penalty = siamrpn.shape_penalty(sizes, np.array([10, 10], np.float32), k=0.5)
    expected = np.exp([-0.5 * 1.95804, 0.0, -0.5, -0.5 * 1.95804])
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("box", "cell", "offset", "expected"),
    [
        # The centre stays in the frame.
        ([5.0, 3.0, 40.0, 40.0], (0, 0), (0, 0, 0, 0), [0.0, 0.0]),
        ([148.0, 119.0, 40.0, 40.0], (10, 10), (0, 0, 0, 0), [150.0, 120.0]),
    ],
)
def test_centre_stays_in_the_frame(box, cell, offset, expected):
    response, offsets = silence()
    response[(*cell, 1)] = -20.0, 20.0
    offsets[(*cell, 1)] = offset
    moved, _ = update(np.array(box, np.float32), response, offsets)
    np.testing.assert_array_equal(moved[:2], expected)


@pytest.mark.parametrize(
    ("size", "offset", "expected"),
    [
        ([10.0, 10.5], (0, 0, -2, -2), [10.0, 10.0]),
        ([140.0, 110.0], (0, 0, 2, 2), [150.0, 120.0]),
        ([4.0, 300.0], (0, 0, 0, 0), [10.0, 120.0]),
    ],
)
def test_sides_stay_between_ten_pixels_and_the_frames(size, offset, expected):
    response, offsets = silence()
    response[MIDDLE, MIDDLE, 1] = -20.0, 20.0
    offsets[MIDDLE, MIDDLE, 1] = offset
    box = np.array([75.0, 60.0, *size], np.float32)
    moved, _ = update(box, response, offsets)
    np.testing.assert_array_equal(moved[2:], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_answer_that_is_not_finite_leaves_the_box(value, which):
    box = np.array([70.0, 55.0, 24.0, 18.0], np.float32)
    whole, one = silence(), silence()
    whole[which][:] = value
    one[which][2, 3, 0, 1] = value
    for answer in (whole, one):
        moved, score = update(box, *answer)
        assert float(score) == 0.0
        np.testing.assert_array_equal(moved, box)


def test_box_without_end_is_not_chosen():
    box = np.array([70.0, 60.0, 19.5, 19.5], np.float32)
    response, offsets = silence()
    response[MIDDLE, MIDDLE, :] = -20.0, 20.0
    offsets[MIDDLE, MIDDLE, 0] = 0.0, 0.0, 200.0, 200.0
    moved, score = update(box, response, offsets)
    assert float(score) == 1.0
    np.testing.assert_allclose(moved[:2], box[:2], atol=1e-4)
    assert np.isfinite(moved).all()


def test_windows_of_the_crops_own_size_are_slices_of_the_frame():
    frame = np.random.default_rng(2).integers(0, 256, (120, 150, 3), dtype=np.uint8)
    # Context of 39 px, the template's side. Corners: round(61 - 40 / 2) = 41 and
    # round(57 - 20) = 37; of the search window 61 - 40 = 21 and 57 - 40 = 17.
    box = np.array([61.0, 57.0, 19.5, 19.5], np.float32)
    variables = scenes.region_weights()

    @jax.jit
    def windows(frame, box):
        state = procedure.init(
            procedure.SIAMRPN, MODULE, variables, frame, box, config=CONFIG
        )
        return state, siamrpn.search_crop(MODULE, state, frame, HW)

    state, search = windows(frame, box)
    np.testing.assert_array_equal(search, frame[17:96, 21:100])
    np.testing.assert_array_equal(
        search, reference.subwindow(frame, box[:2], 79, 79, np.zeros(3))
    )
    template = frame[None, 37:76, 41:80].astype(np.float32)
    expected = jax.jit(lambda x: remember(MODULE, variables, x))(template)
    for name, kernel in expected.items():
        largest = np.abs(kernel).max()
        np.testing.assert_allclose(
            state.memory[name], kernel[0], rtol=1e-4, atol=1e-5 * largest
        )
    mean = frame.astype(np.float64).mean(axis=(0, 1))
    np.testing.assert_array_equal(state.fill_rgb, np.floor(mean))


@pytest.mark.parametrize("box", [[5.25, 110.5, 17, 31], [149, 2, 60, 40]])
def test_windows_over_the_border_equal_opencvs(box):
    frame = np.random.default_rng(3).integers(0, 256, (120, 150, 3), dtype=np.uint8)
    colour = np.array([12.0, 99.0, 200.0], np.float32)
    state = TrackState(np.array(box, np.float32), {}, colour)
    found = jax.jit(lambda s: siamrpn.search_crop(MODULE, s, jnp.asarray(frame), HW))
    side = round(reference.context_side(*box[2:]) * 79 / 39)
    expected = reference.subwindow(frame, box[:2], 79, side, colour)
    np.testing.assert_array_equal(found(state), expected)


@pytest.mark.parametrize(
    ("side", "preset", "search_px"),
    # 2 px^2 of 500 are the .004 of the public code, which is not below it.
    [(2.0, "big", 271), (1.9, "big", 287), (1.9, "vot", 271), (1.9, "otb", 271)],
)
def test_small_targets_get_a_larger_search_crop(side, preset, search_px):
    spec = arch.named("siamrpn-big")
    box = np.array([9.0, 9.0, side, 1.0], np.float32)
    config = SIAMRPN_PRESETS[preset]
    sized = siamrpn.sized_for(spec, box, (20, 25), config)
    assert sized.input.search_px == search_px
    assert sized.response_side(search_px) == {271: 19, 287: 21}[search_px]
    crops = dataclasses.replace(sized.input, search_px=271)
    assert dataclasses.replace(sized, input=crops) == spec


@pytest.mark.parametrize("small", [False, True])
def test_boxes_equal_those_of_the_restated_tracker(small):
    frames, boxes = scenes.video(25, start=(45.0, 50.0), velocity=(2.0, 1.0))
    # The square covers .022 of the frame.
    config = SiamRPNTracking(small_target_share=0.03 if small else 0.004)
    variables = scenes.region_weights()
    answer = jax.jit(lambda z, x: forward(MODULE, variables, z, x))

    def network(template, search):
        assert search.shape[0] == (87 if small else 79)
        crops = (crop[None].astype(np.float32) for crop in (template, search))
        response, offsets = answer(*crops).answer
        return in_public_layout(response[0]), in_public_layout(offsets[0])

    expected, scores = reference.track(
        frames, boxes[0], network, spec=SPEC, config=config
    )
    tracker = scenes.region_tracker(small_target_share=config.small_target_share)
    result = tracker.track(frames, boxes[0])
    distance = np.linalg.norm(result.boxes[:, :2] - expected[:, :2], axis=1)
    assert distance.mean() <= 0.05
    np.testing.assert_allclose(result.boxes[:, 2:], expected[:, 2:], atol=0.05)
    np.testing.assert_allclose(result.scores, scores, atol=1e-3)
    # It follows: 24 frames of 2 and 1 px.
    np.testing.assert_allclose(result.boxes[-1, :2], boxes[-1, :2], atol=6.0)
