"""Several targets of a video at once, part by part, are followed as each is alone."""

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking, make_tracker, run
from dst_jax.track.targets import follow_targets
from tests.track import scenes

COUNT = 70  # a part has 64 frames here


def two_squares(count):
    """Frames with two squares that part, and their boxes (cxcywh)."""
    left, boxes = scenes.video(count, start=(40.0, 30.0), velocity=(0.5, 0.25))
    right, others = scenes.video(count, start=(110.0, 90.0), velocity=(-0.25, 0.0))
    for frame, other, (cx, cy, _, _) in zip(left, right, others, strict=True):
        x, y = int(cx) - 10, int(cy) - 10
        frame[y : y + 20, x : x + 20] = other[y : y + 20, x : x + 20, ::-1]
    return left, np.stack([boxes[0], others[0]])


FRAMES, BOXES = two_squares(COUNT)


def joined(parts):
    parts = list(parts)
    states = parts[0].states is not None
    return [
        np.concatenate([part[i] for part in parts]) for i in (1, 2, *([3] * states))
    ]


@pytest.mark.parametrize(
    "tracker",
    [
        scenes.tracker(lost_below=0.3, uncertain_below=0.9),
        # A target of .022 of the frame gets a larger search crop than the other.
        scenes.region_tracker(small_target_share=0.023, lost_below=0.9),
    ],
    ids=["siamfc", "two sizes of search crops"],
)
def test_each_target_gets_the_boxes_that_it_gets_alone(tracker):
    given = BOXES.copy()
    if tracker.spec is scenes.REGION_SPEC:
        given[1, 2:] = 24.0
        specs = {tracker.search_spec(box, 120, 150) for box in given}
        assert len(specs) == 2
    boxes, scores, states = joined(follow_targets(tracker, FRAMES, given))
    assert boxes.shape == (COUNT, 2, 4)
    for target, box in enumerate(given):
        alone = tracker.track(FRAMES, box)
        np.testing.assert_allclose(boxes[:, target], alone.boxes, atol=1e-3)
        np.testing.assert_allclose(scores[:, target], alone.scores, atol=1e-5)
        np.testing.assert_array_equal(states[:, target], alone.states)


def test_both_squares_are_followed():
    (boxes, _) = joined(follow_targets(scenes.tracker(), FRAMES, BOXES))
    steps = np.arange(COUNT)[:, None]
    paths = (40, 30) + steps * (0.5, 0.25), (110, 90) + steps * (-0.25, 0)
    expected = np.stack(paths)
    np.testing.assert_allclose(boxes[..., :2].swapaxes(0, 1), expected, atol=3.0)


def test_targets_are_one_program_and_begin_with_that_of_one():
    # Settings of their own, so that no other test has compiled them.
    tracker = scenes.tracker(scale_rate=0.47)
    joined(follow_targets(tracker, FRAMES[:3], BOXES))
    functions = run.compiled(tracker.spec, tracker.config)
    assert functions.chunk._cache_size() == functions.init._cache_size() == 1
    joined(follow_targets(tracker, FRAMES[:9], BOXES[::-1]))
    assert functions.chunk._cache_size() == functions.init._cache_size() == 1


def test_a_live_frame_is_answered_before_the_next_is_read():
    taken = []

    def camera():
        for number, frame in enumerate(FRAMES[:4]):
            taken.append(number)
            yield frame

    for number, part in enumerate(
        follow_targets(scenes.tracker(), camera(), BOXES, live=True)
    ):
        # The first frame is asked for its size before it is tracked.
        assert taken[-1] == number and len(part.frames) == 1
        np.testing.assert_array_equal(part.frames[0], FRAMES[number])
    assert number == 3


def test_a_part_is_read_while_the_one_before_is_tracked(monkeypatch):
    monkeypatch.setattr("dst_jax.track.targets.chunk_length", lambda canvas: 4)
    read = []

    def watched():
        for number, frame in enumerate(FRAMES):
            read.append(number)
            yield frame

    part = next(follow_targets(scenes.tracker(), watched(), BOXES))
    assert len(part.boxes) == 4
    assert len(read) == 8


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("error", [OSError("no"), InputError("no"), KeyboardInterrupt])
@pytest.mark.parametrize("frames", [1, 66])
def test_what_was_read_before_a_video_stops_is_tracked(live, error, frames):
    def stops():
        yield from FRAMES[:frames]
        raise error

    seen = []
    with pytest.raises(BaseException) as raised:
        for part in follow_targets(scenes.tracker(), stops(), BOXES, live=live):
            seen += [*part.boxes[:, 0]]
    assert raised.value is error or raised.type is error
    expected = scenes.tracker().track(FRAMES[:frames], BOXES[0]).boxes
    np.testing.assert_allclose(seen, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((0, 4)), "no box is given; give one for each target"),
        ([[40, 30, 20, 20], [40, 30, 0, 20]], r"\(x=40, y=20, w=0, h=20\) is empty"),
        ([[40, 30, 20, 20], [900, 30, 9, 9]], "outside the first frame of 150x120 px"),
    ],
)
def test_each_box_is_checked(boxes, message):
    with pytest.raises(InputError, match=message):
        next(follow_targets(scenes.tracker(), FRAMES[:2], np.float32(boxes)))


def test_a_damaged_network_answers_for_every_target():
    nan = {"params": scenes.weights()["params"], "batch_stats": {}}
    kernel = nan["params"]["backbone"]["conv1"]["conv"]["kernel"]
    nan["params"]["backbone"]["conv1"]["conv"]["kernel"] = np.full_like(kernel, np.nan)
    tracker = make_tracker(scenes.SPEC, nan, tracking=SiamFCTracking())
    _, scores = joined(follow_targets(tracker, FRAMES[:3], BOXES))
    np.testing.assert_array_equal(scores, [[1, 1], [0, 0], [0, 0]])
