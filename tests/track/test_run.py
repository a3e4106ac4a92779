import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.models import build
from dst_jax.track import (
    SiamFCTracking,
    SiamRPNTracking,
    canvases,
    make_tracker,
    procedure,
    run,
    siamrpn,
)
from tests.track import scenes

both = pytest.mark.parametrize("make", [scenes.tracker, scenes.region_tracker])
# The square covers .022 of the first scene's frame.
SMALL = 0.022


@both
def test_scan_equals_a_loop_of_steps(make):
    frames, boxes = scenes.video(67, start=(40.0, 50.0), velocity=(1.0, 0.0))
    tracker = make()
    result = tracker.track(frames, boxes[0])
    module = build(tracker.spec)
    config = tracker.config
    network = procedure.procedure_of(config), module, tracker.variables

    @jax.jit
    def step(state, frame):
        return procedure.step(*network, state, frame, config=config)

    init = jax.jit(lambda *first: procedure.init(*network, *first, config=config))
    state = init(jnp.asarray(frames[0]), jnp.asarray(boxes[0]))
    looped = [boxes[0]]
    for frame in frames[1:]:
        state, output = step(state, jnp.asarray(frame))
        looped.append(np.asarray(output.box))
    np.testing.assert_allclose(result.boxes, looped, rtol=1e-5, atol=1e-3)


@both
def test_batch_rows_equal_single_videos(make):
    first = scenes.video(9, velocity=(2.0, 1.0))
    second = scenes.video(5, start=(50.0, 40.0), seed=1, height=100, width=158)
    third = scenes.video(1, seed=2)
    videos, boxes = zip(first, second, third, strict=True)
    tracker = make(lost_below=0.1)
    given = np.stack([b[0] for b in boxes])
    batched = tracker.track_many(videos, given, batch=2)
    for row, frames, box in zip(batched, videos, given, strict=True):
        single = tracker.track(frames, box)
        assert len(row.boxes) == len(frames) == len(row.states)
        np.testing.assert_allclose(row.boxes, single.boxes, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(row.scores, single.scores, atol=1e-4)


def test_every_length_runs_on_one_compilation():
    # A config of its own, so that no other test has compiled it before.
    tracker = scenes.tracker(scale_count=1, window_influence=0.27)
    frames, boxes = scenes.video(2)
    for length in (1, 63, 64, 65, 500):
        result = tracker.track((frames[t % 2] for t in range(length)), boxes[0])
        assert result.boxes.shape == (length, 4)
        assert np.isfinite(result.boxes).all() and np.isfinite(result.scores).all()
    smaller, boxes = scenes.video(3, height=101, width=140)
    tracker.track(smaller, boxes[0])
    functions = run.compiled(tracker.spec, tracker.config)
    assert functions.init._cache_size() == 1
    assert functions.chunk._cache_size() == 1


def test_videos_of_two_crop_sizes_are_batched_apart():
    # Wider frames, in which the square covers less: the third needs the larger crop.
    sizes = ({}, {"height": 100}, {"width": 158}, {"height": 110})
    scene = [
        scenes.video(3 + n, seed=n, velocity=(1.0, 2.0), **size)
        for n, size in enumerate(sizes)
    ]
    videos, boxes = zip(*scene, strict=True)
    given = np.stack([b[0] for b in boxes])
    tracker = scenes.region_tracker(small_target_share=SMALL)
    shares = [400 / (f[0].shape[0] * f[0].shape[1]) for f in videos]
    assert [share < SMALL for share in shares] == [False, False, True, False]
    batched = tracker.track_many(videos, given, batch=2)
    for row, frames, box in zip(batched, videos, given, strict=True):
        single = tracker.track(frames, box)
        assert len(row.boxes) == len(frames)
        np.testing.assert_allclose(row.boxes, single.boxes, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(row.scores, single.scores, atol=1e-4)


def test_a_second_small_target_compiles_nothing():
    tracker = scenes.region_tracker(small_target_share=SMALL, penalty_k=0.05)
    frames, boxes = scenes.video(2)
    small, small_boxes = scenes.video(3, width=158)
    for length in (2, 64, 65):
        tracker.track((frames[t % 2] for t in range(length)), boxes[0])
        tracker.track((small[t % 2] for t in range(length)), small_boxes[0])
    wide = siamrpn.sized_for(
        tracker.spec, small_boxes[0], (120, 158), config=tracker.config
    )
    assert wide != tracker.spec
    functions = run.compiled(tracker.spec, tracker.config)
    assert functions.init._cache_size() == 1
    assert functions.chunk._cache_size() == 1
    functions = run.compiled(wide, tracker.config)
    # The template is cut by the program of the other size.
    assert functions.init._cache_size() == 0
    assert functions.chunk._cache_size() == 1


def test_settings_of_the_other_family_are_refused():
    with pytest.raises(InputError, match=r"anchors of ratios .* give SiamRPNTracking"):
        make_tracker(scenes.REGION_SPEC, {}, tracking=SiamFCTracking())
    with pytest.raises(InputError, match="one logit per cell; give SiamFCTracking"):
        make_tracker(scenes.SPEC, {}, tracking=SiamRPNTracking())
    assert make_tracker(scenes.REGION_SPEC, {}).config == SiamRPNTracking()
    assert make_tracker(scenes.SPEC, {}).config == SiamFCTracking()


@both
def test_static_target_stays_put(make):
    frames, boxes = scenes.video(20)
    result = make().track(frames, boxes[0])
    np.testing.assert_array_equal(result.boxes[0], boxes[0])
    # Half a sample of the up-sampled map, and the scale's own rounding, remain.
    np.testing.assert_allclose(result.boxes[:, :2], boxes[:, :2], atol=1.0)
    np.testing.assert_allclose(result.boxes[:, 2:], boxes[:, 2:], rtol=0.05)


@both
@pytest.mark.parametrize("velocity", [(2.0, 0.0), (-2.0, 0.0), (0.0, 2.0), (0.0, -2.0)])
def test_moved_target_is_followed(make, velocity):
    frames, boxes = scenes.video(12, velocity=velocity)
    result = make().track(frames, boxes[0])
    np.testing.assert_allclose(result.boxes[:, :2], boxes[:, :2], atol=3.0)
    moved = result.boxes[-1, :2] - result.boxes[0, :2]
    np.testing.assert_allclose(moved, 11 * np.array(velocity), atol=3.0)


@both
def test_canvas_padding_has_no_influence(make, monkeypatch):
    frames, boxes = scenes.video(4, start=(14.0, 60.0), velocity=(-1.0, 0.0))
    small = make().track(frames, boxes[0])
    monkeypatch.setattr(canvases, "CANVAS_SIDES", (320,))
    large = make().track(frames, boxes[0])
    np.testing.assert_allclose(large.boxes, small.boxes, rtol=1e-5, atol=1e-3)


def test_video_of_one_frame_gives_the_given_box():
    frames, boxes = scenes.video(1)
    result = scenes.tracker().track(frames, boxes[0])
    np.testing.assert_array_equal(result.boxes, boxes)
    assert result.scores.tolist() == [1.0] and result.states is None


@pytest.mark.parametrize(
    ("backend", "most", "small"), [("cpu", 16, 16), ("gpu", 192, 64)]
)
def test_large_canvases_have_shorter_chunks(backend, most, small, monkeypatch):
    monkeypatch.setattr(canvases.jax, "default_backend", lambda: backend)
    assert canvases.chunk_length((160, 320)) == 64
    assert canvases.chunk_length((480, 640)) == small
    assert canvases.chunk_length((5120, 7680)) == 1
    length = canvases.chunk_length((1280, 1920))
    assert 1 <= length < 64
    assert length * 3 * 1280 * 1920 <= most * 2**20


BOX = np.array([75.0, 60.0, 20.0, 20.0], np.float32)
FRAME = scenes.paint((75, 60))


@pytest.mark.parametrize(
    ("frames", "box", "message"),
    [
        ([], BOX, "no frame"),
        ([FRAME], BOX * np.float32([1, 1, 0, 1]), "empty"),
        ([FRAME], BOX * np.float32([1, np.nan, 1, 1]), "not finite"),
        ([FRAME], BOX + np.float32([400, 0, 0, 0]), "outside"),
        ([FRAME.astype(np.float32)], BOX, "float32"),
        ([FRAME[..., 0]], BOX, "shape"),
        ([FRAME, FRAME[:-1]], BOX, "one size"),
    ],
)
def test_bad_input_is_named(frames, box, message):
    with pytest.raises(InputError, match=message):
        scenes.tracker().track(frames, box)


@both
@pytest.mark.parametrize(
    ("hw", "level", "box"),
    [
        ((5, 7), None, (3.5, 2.5, 2.0, 2.0)),
        ((1, 1), None, (0.5, 0.5, 1.0, 1.0)),
        ((120, 150), 0, (70.0, 60.0, 20.0, 20.0)),
        ((120, 150), 255, (70.0, 60.0, 20.0, 20.0)),
        ((120, 150), None, (70.0, 60.0, 140.0, 0.5)),
        ((120, 150), None, (70.0, 60.0, 0.01, 0.01)),
        ((4, 600), None, (300.0, 2.0, 500.0, 3.0)),
    ],
    ids=["tiny", "pixel", "black", "white", "thin", "speck", "strip"],
)
def test_nothing_explodes_on_tiny_or_blank_video_or_a_box_like_a_hair(
    make, hw, level, box
):
    shape = (4, *hw, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    frames = noise if level is None else np.full(shape, level, np.uint8)
    boxes = make().track(frames, np.float32(box)).boxes
    assert np.isfinite(boxes).all() and (boxes[:, 2:] > 0).all()
    np.testing.assert_allclose(boxes[0], box)
    # A box may grow with its frame and leave it by a little, never without end.
    longest = max(*hw, 10)
    assert boxes[:, 2:].max() <= 10 * longest
    assert (boxes[:, :2] > -longest).all() and (boxes[:, :2] < 2 * longest).all()
