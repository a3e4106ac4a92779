import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.models import build, forward
from dst_jax.track import procedure, siamfc
from dst_jax.track.config import SiamFCTracking
from tests.track import scenes

MODULE = build(scenes.SPEC)
CONFIG = SiamFCTracking()
HW = jnp.array([120, 150])


@jax.jit
def update(box, responses):
    box, _, score = siamfc.update_box(MODULE, box, None, responses, HW, config=CONFIG)
    return box, score


def reference_update(box, responses, config, *, stride, search_side, search_px):
    """The published read-out in float64, with OpenCV's cubic resize."""
    cv2 = pytest.importorskip("cv2")
    side = responses.shape[-1] * config.response_upsampling
    fine = np.stack(
        [
            cv2.resize(
                r.astype(np.float64), (side, side), interpolation=cv2.INTER_CUBIC
            )
            for r in responses
        ]
    )
    middle = config.scale_count // 2
    fine[:middle] *= config.scale_penalty
    fine[middle + 1 :] *= config.scale_penalty
    best = np.argmax(fine.max(axis=(1, 2)))
    chosen = fine[best] - fine[best].min()
    chosen /= chosen.sum() + 1e-16
    window = np.outer(np.hanning(side), np.hanning(side))
    window /= window.sum()
    mixed = (1 - config.window_influence) * chosen + config.window_influence * window
    row, column = np.unravel_index(mixed.argmax(), mixed.shape)
    factor = config.scale_step ** (best - middle)
    px = stride / config.response_upsampling * search_side * factor / search_px
    shift = (np.array([column, row]) - (side - 1) / 2) * px
    growth = (1 - config.scale_rate) + config.scale_rate * factor
    return np.concatenate([box[:2] + shift, box[2:] * growth])


@pytest.mark.parametrize("seed", range(4))
def test_update_equals_the_published_read_out(seed):
    rng = np.random.default_rng(seed)
    responses = rng.normal(size=(3, 11, 11)).astype(np.float32)
    box = np.array([70.0, 55.0, 24.0, 18.0], np.float32)
    context = np.sqrt((24 + 21.0) * (18 + 21.0))
    expected = reference_update(
        box, responses, CONFIG, stride=4, search_side=context * 79 / 39, search_px=79
    )
    moved, score = update(box, responses)
    np.testing.assert_allclose(moved, expected, rtol=1e-5)
    assert 0.0 < float(score) < 1.0


@pytest.mark.parametrize(("other", "grows"), [(10.2, False), (10.3, True)])
def test_another_scale_must_beat_the_middle_one_by_the_penalty(other, grows):
    # .9745 * 10.2 = 9.94 is below 10, .9745 * 10.3 = 10.04 above.
    responses = np.zeros((3, 11, 11), np.float32)
    responses[1, 5, 5], responses[2, 5, 5] = 10.0, other
    box = np.array([70.0, 55.0, 24.0, 18.0], np.float32)
    moved, score = update(box, responses)
    growth = 1 + 0.59 * 0.0375 if grows else 1.0
    np.testing.assert_allclose(moved[2:], [24.0 * growth, 18.0 * growth], rtol=1e-6)
    chosen = other if grows else 10.0
    # Of the response as the network gave it, without penalty.
    np.testing.assert_allclose(1 - score, 1 / (1 + np.exp(chosen)), rtol=1e-2)


def test_windows_of_the_crops_own_size_are_slices_of_the_frame():
    frame = np.random.default_rng(2).integers(0, 256, (120, 150, 3), dtype=np.uint8)
    # A square of 19.5 px has a context of 39 px, the template's side; 79 px is the
    # search crop's. Around pixel 60 these are 41..79 and 21..99; around 55, 36..74.
    box = np.array([60.5, 55.5, 19.5, 19.5], np.float32)
    variables = scenes.weights()

    @jax.jit
    def windows(frame, box):
        state = procedure.init(
            procedure.SIAMFC, MODULE, variables, frame, box, config=CONFIG
        )
        return state, siamfc.search_crops(MODULE, state, frame, HW, config=CONFIG)[1]

    state, search = windows(frame, box)
    np.testing.assert_array_equal(search, frame[16:95, 21:100])
    template = frame[None, 36:75, 41:80].astype(np.float32)
    search = np.zeros((1, 79, 79, 3), np.float32)
    taps = jax.jit(lambda x: forward(MODULE, variables, x, search).taps)(template)
    expected = taps["template/conv1"][0]
    np.testing.assert_allclose(state.memory["cls"], expected, rtol=1e-5, atol=1e-2)


def test_crops_beyond_the_frame_have_the_first_frames_mean():
    frame = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    mean = jnp.array([12.4, 99.6, 200.0])
    box = jnp.array([-300.0, 30.0, 20.0, 20.0])
    state = siamfc.TrackState(box, {}, mean)
    cut = jax.jit(lambda *inputs: siamfc.search_crops(MODULE, *inputs, config=CONFIG))
    crops = cut(state, jnp.asarray(frame), jnp.array([60, 80]))
    assert crops.shape == (3, 79, 79, 3)
    expected = np.broadcast_to([12.0, 100.0, 200.0], crops.shape)
    np.testing.assert_array_equal(crops, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_response_that_is_not_finite_leaves_the_box(value):
    responses = np.full((3, 11, 11), value, np.float32)
    box = np.array([70.0, 55.0, 24.0, 18.0], np.float32)
    moved, score = update(box, responses)
    assert float(score) == 0.0
    np.testing.assert_array_equal(moved, box)


@pytest.mark.parametrize(
    ("size", "best"), [((1.0, 4.0), 0), ((1500.0, 900.0), 2), ((0.4, 0.4), 0)]
)
def test_box_sides_stay_within_bounds(size, best):
    responses = np.zeros((3, 11, 11), np.float32)
    responses[best, 5, 5] = 10.0
    box = np.array([75.0, 60.0, *size], np.float32)
    moved, _ = update(box, responses)
    # Growth would take the box beyond 1 px or 10 frames: the sides stay.
    np.testing.assert_allclose(moved[2:], size, rtol=1e-6)


def test_centre_stays_near_the_frame():
    responses = np.zeros((3, 11, 11), np.float32)
    responses[1, 5, 10] = 10.0
    box = np.array([1645.0, 60.0, 900.0, 900.0], np.float32)
    moved, _ = update(box, responses)
    assert float(moved[0]) == 150.0 + 10 * 150.0
