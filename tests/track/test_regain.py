"""A lost target is looked for in several windows, and found again where it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.models import build, init_variables
from dst_jax.track import (
    FOUND_AGAIN,
    LOST,
    TRACKED,
    OSTrackTracking,
    Session,
    canvases,
    make_tracker,
    procedure,
    regain,
)
from dst_jax.track.targets import follow_targets
from tests import networks
from tests.track import scenes

START = (50.0, 60.0)
# A window has 40 + 40 px around a square of 20 px: the square is out of the first one.
AWAY = (100.0, 60.0)
# The square scores .73 and above, the empty scene .5.
THRESHOLD = 0.65


def vanishing():
    """Frames: two with the square, three without, three with it in another place."""
    empty = np.full_like(scenes.paint(START), 90)
    shown = [scenes.paint(place) for place in [START] * 2 + [AWAY] * 3]
    return np.stack([*shown[:2], empty, empty, empty, *shown[2:]])


FRAMES = vanishing()
BOX = np.float32([*START, 20, 20])


def tracker(family="siamfc", **options):
    make = scenes.tracker if family == "siamfc" else scenes.region_tracker
    return make(lost_below=THRESHOLD, **options)


@pytest.mark.parametrize("family", ["siamfc", "siamrpn"])
def test_a_target_that_comes_back_elsewhere_is_found_again(family):
    plain = tracker(family).track(FRAMES, BOX)
    wide = tracker(family, lost_search=3).track(FRAMES, BOX)
    away = np.float32([*AWAY, 20, 20])
    # Its own window does not reach the square, and nothing else is like it.
    assert np.abs(plain.boxes[-1, :2] - AWAY).max() > 20.0
    assert plain.states[5:].tolist() == [LOST] * 3
    assert wide.states.tolist() == [0, 0, LOST, LOST, LOST, FOUND_AGAIN, 0, 0]
    np.testing.assert_allclose(wide.boxes[-1, :2], away[:2], atol=3.0)
    np.testing.assert_allclose(wide.boxes[-1, 2:], away[2:], rtol=0.2)
    # Until it is found nothing differs.
    np.testing.assert_array_equal(wide.boxes[:5], plain.boxes[:5])
    np.testing.assert_array_equal(wide.scores[:5], plain.scores[:5])


def test_a_first_frame_beside_others_that_are_searched_loses_nobody(monkeypatch):
    """The third video takes up the row of the second while the first goes on.

    In an empty scene all scores are those of a lost target, and any is enough here to
    find it again: a target that was lost in its first frame would be found in the next.
    """
    monkeypatch.setattr(canvases, "CHUNK_FRAMES", 2)
    ready = scenes.tracker(lost_below=0.99, lost_search=2, found_above=0.0)
    empty = FRAMES[2]
    videos = [np.stack([empty] * count) for count in (8, 2, 3)]
    *_, third = ready.track_many(videos, np.stack([BOX] * 3), batch=2)
    assert third.states[1:].tolist() == [LOST, FOUND_AGAIN]


def test_sessions_and_several_targets_find_it_like_whole_videos():
    ready = tracker(lost_search=3)
    whole = ready.track(FRAMES, BOX)
    session = Session(ready)
    session.init(FRAMES[0], BOX - np.float32([10, 10, 0, 0]))
    results = [session.update(frame) for frame in FRAMES[1:]]
    assert [result.state for result in results] == whole.states[1:].tolist()
    (part,) = follow_targets(
        ready, FRAMES, np.stack([BOX, BOX + np.float32([1, 0, 0, 0])])
    )
    np.testing.assert_array_equal(part.states[:, 0], whole.states)
    np.testing.assert_allclose(part.boxes[:, 0], whole.boxes, atol=1e-3)


def test_each_video_of_a_batch_is_searched_for_itself():
    still = np.stack([scenes.paint(START)] * len(FRAMES))
    ready = tracker(lost_search=3)
    both = ready.track_many([FRAMES, still], np.stack([BOX, BOX]), batch=2)
    assert both[0].states.tolist() == ready.track(FRAMES, BOX).states.tolist()
    assert both[1].states.tolist() == [TRACKED] * len(FRAMES)
    np.testing.assert_allclose(both[1].boxes[-1], BOX, atol=1.0)


def test_one_that_is_only_uncertain_is_not_found():
    unsure = tracker(lost_search=3, uncertain_below=1.0).track(FRAMES, BOX)
    plain = tracker().track(FRAMES, BOX)
    np.testing.assert_array_equal(unsure.boxes, plain.boxes)
    assert unsure.states[1:].tolist() == [1, LOST, LOST, LOST, LOST, LOST, LOST]


def test_elsewhere_more_may_be_asked_of_a_score():
    sure = tracker(lost_search=3, found_above=1.0).track(FRAMES, BOX)
    np.testing.assert_array_equal(sure.boxes, tracker().track(FRAMES, BOX).boxes)
    assert FOUND_AGAIN not in sure.states


def test_where_it_was_last_a_target_is_found_again_as_it_would_be_tracked():
    frames = [FRAMES[0], FRAMES[1], FRAMES[2], FRAMES[1], FRAMES[1]]
    plain = tracker().track(frames, BOX)
    assert plain.states.tolist() == [TRACKED, TRACKED, LOST, TRACKED, TRACKED]
    wide = tracker(lost_search=2, found_above=1.0).track(frames, BOX)
    assert wide.states.tolist() == [TRACKED, TRACKED, LOST, FOUND_AGAIN, TRACKED]
    np.testing.assert_array_equal(wide.boxes, plain.boxes)


def test_windows_that_grow_by_themselves_keep_their_side_when_lost():
    siamdw = {"search_bounds": (0.2, 5.0), "peak_origin": "public"}
    found = tracker(lost_search=3, **siamdw).track(FRAMES, BOX)
    assert found.states.tolist() == [0, 0, LOST, LOST, LOST, FOUND_AGAIN, 0, 0]
    np.testing.assert_allclose(found.boxes[-1, :2], AWAY, atol=4.0)


def score_from(spec, weights, box, dx, dy):
    """The score of one step from a shifted box, its centre kept in the frame."""
    height, width = FRAMES.shape[1:3]
    module, config = build(spec), OSTrackTracking()
    start = procedure.init(
        procedure.OSTRACK, module, weights, FRAMES[0], jnp.asarray(BOX), config=config
    )
    centre = np.clip([box[0] + dx, box[1] + dy], 0.0, [width, height])
    state = start._replace(box=jnp.float32([*centre, *box[2:]]))
    moved = procedure.step(
        procedure.OSTRACK, module, weights, state, FRAMES[2], config=config
    )
    return float(moved[1].score)


def test_a_transformers_lost_target_is_searched_too():
    spec = networks.one_stream(32)
    weights = init_variables(jax.random.key(0), spec)
    plain = make_tracker(spec, weights).track(FRAMES[:3], BOX)
    # Lost after the second frame, whose score is the lowest that is too low.
    low = float(np.nextafter(plain.scores[1], np.float32(1.0)))
    tracking = OSTrackTracking(
        lost_below=low, uncertain_below=1.0, lost_search=2, found_above=0.0
    )
    found = make_tracker(spec, weights, tracking=tracking).track(FRAMES[:3], BOX)
    np.testing.assert_array_equal(found.boxes[:2], plain.boxes[:2])
    # Of untrained answers in nine windows the best one is taken, by hand: the same
    # step from each of the places.
    assert found.states.tolist() == [TRACKED, LOST, FOUND_AGAIN]
    side = float(spec.input.search_side(found.boxes[1, 2:]))
    shifts = (-0.5 * side, 0.0, 0.5 * side)
    scores = [
        score_from(spec, weights, found.boxes[1], dx, dy)
        for dx in shifts
        for dy in shifts
    ]
    assert found.scores[2] == pytest.approx(max(scores), abs=1e-5)
    assert max(scores) > scores[4]


def test_windows_lie_half_a_side_apart_and_cover_the_width():
    shifts = regain.window_shifts(3)
    assert len(shifts) == 24 and not (shifts == 0).all(axis=1).any()
    assert sorted(set(shifts[:, 0].tolist())) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    # With half a window on either side they cover 3 sides.
    assert shifts.max() + 0.5 - (shifts.min() - 0.5) == 3.0
