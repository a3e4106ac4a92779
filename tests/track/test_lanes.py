"""Many videos in a few rows of one program are followed as each is alone."""

import dataclasses
import threading
import tracemalloc

import jax
import numpy as np
import pytest

from dst_jax.boxes import cxcywh_to_xywh, xywh_to_cxcywh
from dst_jax.errors import InputError
from dst_jax.track import (
    SIAMDW_PRESETS,
    Session,
    TrackOutput,
    TrackState,
    canvases,
    lanes,
    make_tracker,
    run,
    targets,
)
from dst_jax.track.lanes import Lanes
from dst_jax.track.stream import Stream
from tests.track import scenes
from tests.track.test_ostrack import SPEC as OSTRACK
from tests.track.test_ostrack import weights as ostrack_weights

# Around the length of a chunk, and one frame alone; two canvases, none is square.
SIZES = {"small": {}, "flat": {"height": 100, "width": 158}, "tall": {"height": 190}}
VIDEOS = [(1, "small"), (70, "small"), (3, "flat"), (65, "small"), (2, "flat")]
VIDEOS += [(64, "tall"), (5, "tall"), (1, "tall")]


def scene(length, size, seed):
    moves = {"start": (60.0, 50.0), "velocity": (0.5, 0.25)}
    return scenes.video(length, seed=seed, **moves, **SIZES[size])


FAMILIES = {
    "siamfc": lambda: scenes.tracker(lost_below=0.1),
    "siamrpn": scenes.region_tracker,
    # Its search window is part of the state, and grows.
    "siamdw": lambda: make_tracker(
        scenes.SPEC, scenes.weights(), tracking=SIAMDW_PRESETS["siamdw-otb15"]
    ),
    "ostrack": lambda: make_tracker(OSTRACK, ostrack_weights()),
}


def frame_by_frame(tracker, frames, box):
    """What a session answers, which takes a step at a time, of one video."""
    session, boxes = Session(tracker), [box]
    session.init(frames[0], np.asarray(cxcywh_to_xywh(box)))
    for frame in frames[1:]:
        boxes.append(np.asarray(xywh_to_cxcywh(session.update(frame).box)))
    return np.stack(boxes)


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed_lengths_and_sizes_in_a_batch_give_what_each_frame_by_frame_does(family):
    tracker = FAMILIES[family]()
    scene_of = [scene(*video, seed) for seed, video in enumerate(VIDEOS)]
    videos, boxes = zip(*scene_of, strict=True)
    given = np.stack([one[0] for one in boxes])
    counted = []
    found = dict(tracker.track_each(videos, given, batch=3, tracked=counted.append))
    assert sorted(found) == list(range(len(VIDEOS)))
    for number, (frames, box) in enumerate(zip(videos, given, strict=True)):
        want = frame_by_frame(tracker, frames, box)
        assert found[number].boxes.shape == want.shape
        np.testing.assert_allclose(found[number].boxes, want, rtol=1e-4, atol=1e-2)
        assert found[number].scores[0] == 1.0
        if found[number].states is not None:
            assert found[number].states[0] == 0
    assert sum(counted) == sum(length for length, _ in VIDEOS)


def test_a_frame_that_is_not_a_rows_own_leaves_its_whole_state_alone():
    config = dataclasses.replace(
        SIAMDW_PRESETS["siamdw-otb15"], scale_step=2.0, scale_rate=1.0
    )
    tracker = make_tracker(scenes.SPEC, scenes.weights(), tracking=config)
    first, box = scenes.paint((75, 60)), np.float32([[75, 60, 20, 20]])
    rows, columns = np.mgrid[0:120, 0:150]
    grown = first[60 + (rows - 60) // 2, 75 + (columns - 75) // 2]  # twice as large
    frames = np.zeros((1, 2, 160, 160, 3), np.uint8)
    frames[0, :, :120, :150] = grown
    canvas = np.zeros((1, 160, 160, 3), np.uint8)
    canvas[0, :120, :150] = first
    functions = run.compiled(tracker.spec, tracker.config)
    one = functions.init(tracker.variables, canvas, box, np.int32([[120, 150]]))
    before = jax.tree.map(lambda leaf: np.repeat(leaf, 2, axis=0), one)
    after, _ = functions.chunk(
        *(tracker.variables, before, frames),
        *(np.int32([[120, 150]] * 2), np.array([[True, False]])),
    )
    assert after.search_sides[0, 0] > 1.5 * before.search_sides[0, 0]
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(new[1], old[1])


def bad_at(frames, number):
    """A video one of whose frames cannot be read."""
    for i, frame in enumerate(frames):
        if i == number:
            raise InputError(f"frame {number} is broken")
        yield frame


def test_an_unfit_video_is_told_and_the_others_go_on():
    tracker = scenes.tracker(lost_below=0.1)
    good, boxes = scenes.video(70, start=(60.0, 50.0), velocity=(0.5, 0.25))
    videos = [bad_at(good, 66), good, [], bad_at(good, 64), good[:3], good]
    given = np.tile(boxes[0], (6, 1))
    given[5, 2] = np.nan
    found = dict(tracker.track_each(videos, given, batch=2))
    said = {n: str(one) for n, one in found.items() if isinstance(one, InputError)}
    assert sorted(said) == [0, 2, 3, 5]
    assert (said[0], said[3]) == ("frame 66 is broken", "frame 64 is broken")
    assert "video 2 has no frame" in said[2] and "not finite" in said[5]
    alone = tracker.track(good, boxes[0])
    np.testing.assert_allclose(found[1].boxes, alone.boxes, atol=1e-2)
    np.testing.assert_allclose(found[4].boxes, alone.boxes[:3], atol=1e-2)
    with pytest.raises(InputError, match="frame 66 is broken"):
        tracker.track_many([bad_at(good, 66), good], given[:2], batch=2)


class Counting:
    """A program that counts its calls, whose boxes are known without any tracking."""

    def __init__(self):
        self.events, self.rows = [], []

    def init(self, frames, boxes, frame_hw):
        assert frames.shape == (1, 160, 160, 3) and frame_hw.tolist() == [[8, 9]]
        return TrackState(boxes, (), np.zeros((1, 3), np.float32))

    def chunk(self, state, frames, frame_hw, use):
        number = len(self.rows)
        self.events.append(f"sent {number}")
        self.rows.append((use.sum(axis=0).tolist(), frames[:, :, 0, 0, 0].copy()))
        boxes = np.repeat(frames[:, :, 0, 0, :1].astype(np.float32), 4, axis=2)
        return state, TrackOutput(Told(boxes, self, number), np.ones(use.shape), None)


class Told:
    """An array on the device, which says when it is waited for."""

    def __init__(self, values, program, number):
        self._values, self._program, self._number = values, program, number

    def __array__(self, dtype=None, copy=None):
        self._program.events.append(f"got {self._number}")
        return self._values


def numbered(number, length):
    """A video of one colour a frame: 10, 11, 12 and so on is the second one."""
    for frame in range(length):
        yield np.full((8, 9, 3), 10 * number + frame, np.uint8)


def streams(lengths, *, opened=None):
    for number, length in enumerate(lengths):
        if opened is not None:
            opened.append(number)
        yield Stream(numbered(number, length), number, np.float32([4, 4, 2, 2]))


def test_a_row_takes_the_next_video_as_soon_as_its_own_has_ended():
    program = Counting()
    rows = Lanes(program.init, program.chunk, (4, 2, 160, 160))
    found = dict(rows.follow(streams([9, 2, 4, 1, 5]), tracked=lambda _: None))
    # Row 0 has 9 frames of video 0, row 1 videos 1, 2 and 3; first frames take no step.
    used = [rows for rows, _ in program.rows]
    assert used == [[3, 1], [4, 3], [1, 0], [3, 0], [1, 0]]
    assert [len(found[n].boxes) for n in range(5)] == [9, 2, 4, 1, 5]
    for number, one in found.items():
        want = 10.0 * number + np.arange(len(one.boxes))
        np.testing.assert_array_equal(one.boxes[:, 0], want)


def test_two_chunks_are_on_the_device_while_the_next_is_filled():
    program = Counting()
    rows = Lanes(program.init, program.chunk, (4, 1, 160, 160))
    assert len(dict(rows.follow(streams([16]), tracked=lambda _: None))) == 1
    assert program.events == [
        *("sent 0", "sent 1", "got 0", "sent 2", "got 1", "sent 3", "got 2", "got 3")
    ]


def test_videos_are_opened_when_their_turn_comes_and_closed_when_nobody_goes_on():
    opened, threads = [], threading.active_count()
    rows = Lanes(Counting().init, Counting().chunk, (4, 2, 160, 160))
    results = rows.follow(streams([2] * 50, opened=opened), tracked=lambda _: None)
    next(results)
    results.close()
    assert len(opened) <= 8
    assert threading.active_count() == threads


def test_a_video_that_is_stopped_leaves_its_row_to_the_next_one():
    program, closed = Counting(), []

    def watched(number, length):
        try:
            yield from numbered(number, length)
        finally:
            closed.append(number)

    waiting = [
        Stream(watched(number, length), number, np.float32([4, 4, 2, 2]))
        for number, length in enumerate([12, 9, 3])
    ]
    rows = Lanes(program.init, program.chunk, (4, 2, 160, 160))
    seen = []
    for part in rows.follow_parts(lambda: waiting.pop(0) if waiting else None):
        boxes = part.found.boxes[:, 0].astype(int).tolist()
        seen.append((boxes, part.searched, part.ends))
        if boxes[-1] == 7:  # video 0 in its second chunk
            part.stream.stop()
            waiting.append(Stream(watched(5, 2), 5, np.float32([4, 4, 2, 2])))
    # Row 0 takes up video 2 and row 1 the new one, for which it was opened.
    assert seen == [
        ([0, 1, 2, 3], 1, False),
        ([10, 11, 12, 13], 1, False),
        ([4, 5, 6, 7], 0, False),
        ([14, 15, 16, 17], 0, False),
        ([20, 21, 22], 1, True),
        ([18], 0, True),
        ([50, 51], 1, True),
    ]
    assert closed[0] == 0 and sorted(closed) == [0, 1, 2, 5]
    # Nothing of video 0 went to the device after the part that stopped it.
    assert [rows for rows, _ in program.rows] == [[3, 3], [4, 4], [2, 1], [1, 0]]


def test_frames_that_travel_at_their_own_size_give_the_same_boxes(monkeypatch):
    tracker = scenes.tracker(scale_count=1)
    # Two rows of different sizes on one canvas, and a third that comes after them.
    made = [
        scene(5, "small", 0),
        scene(3, "flat", 1),
        scenes.video(4, start=(60.0, 50.0), height=111, width=97),
    ]
    videos, boxes = zip(*made, strict=True)
    given, sent = np.stack([one[0] for one in boxes]), []

    def watched(sizes, canvas):
        sent.append(canvases.travelling_size(sizes, canvas))
        return sent[-1]

    monkeypatch.setattr(lanes, "travelling_size", watched)
    home = tracker.track_many(videos, given, batch=2)
    assert set(sent) == {(160, 160)}
    sent.clear()
    monkeypatch.setattr(canvases, "_AT_HOME", ())
    away = tracker.track_many(videos, given, batch=2)
    assert sent == [(120, 158), (111, 97)]
    for one, other in zip(home, away, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)


@pytest.fixture
def as_elsewhere(monkeypatch):
    """Has a CPU go the ways of an accelerator; programs are compiled for these."""

    def begin():
        for name in ("_PER_LOOK", "_PER_START"):
            monkeypatch.setattr(canvases, name, {})
        monkeypatch.setattr(canvases, "_AT_HOME", ())
        run.compiled.cache_clear()

    yield begin
    run.compiled.cache_clear()


@pytest.mark.parametrize(
    "family",
    ["siamfc", *(pytest.param(f, marks=pytest.mark.slow) for f in [*FAMILIES][1:])],
)
def test_videos_that_begin_together_and_eight_frames_a_look_give_the_same_boxes(
    family, as_elsewhere
):
    # Three begin together, then one that is filled up to three, then two.
    made = [scene(length, "small", seed) for seed, length in enumerate([70, 9, 66, 66])]
    made += [scene(7, "flat", 4), scene(1, "flat", 5)]
    videos, boxes = zip(*made, strict=True)
    given = np.stack([one[0] for one in boxes])
    tracker = FAMILIES[family]()
    home = tracker.track_many(videos, given, batch=3)
    as_elsewhere()
    assert canvases.frames_per_look(64) == 8 and canvases.frames_per_look(4) == 4
    assert canvases.frames_per_look(1) == 1  # a live frame
    away = tracker.track_many(videos, given, batch=3)
    for one, other in zip(home, away, strict=True):
        assert len(one.boxes) == len(other.boxes)
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        np.testing.assert_array_equal(one.states, other.states)
    functions = run.compiled(tracker.spec, tracker.config)
    assert functions.init._cache_size() == functions.chunk._cache_size() == 1


def test_targets_that_begin_together_get_the_boxes_that_each_gets_alone(as_elsewhere):
    frames, boxes = scenes.video(11, start=(60.0, 50.0), velocity=(0.5, 0.25))
    shifts = np.float32([[0, 0, 0, 0], [3, 2, 1, 0], [-2, 1, 0, 2], [1, -3, 2, 2]])
    given = np.concatenate([boxes[0] + shifts, boxes[0] - shifts, boxes[:1] + 1])
    tracker = scenes.tracker(scale_count=1)
    alone = [tracker.track(frames, box).boxes for box in given]
    as_elsewhere()
    (part,) = targets.follow_targets(tracker, frames, given)
    np.testing.assert_array_equal(part.frames, np.stack(frames))
    np.testing.assert_allclose(part.boxes, np.stack(alone, axis=1), atol=1e-2)
    # Nine are eight and then one, which is filled up to eight.
    assert run.compiled(tracker.spec, tracker.config).init._cache_size() == 1


@pytest.mark.parametrize("batch", [1, 3])
def test_memory_does_not_grow_with_the_lengths_of_videos(batch):
    lengths = [3000, 1, 64, 5, 63, 65, 200, 2]
    frame, box = scenes.paint((70, 60)), np.float32([70, 60, 20, 20])
    tracker = scenes.tracker(scale_count=1)
    tracker.track_many([[frame] * 2] * batch, np.tile(box, (batch, 1)), batch=batch)
    videos = [(frame.copy() for _ in range(length)) for length in lengths]
    tracemalloc.start()
    try:
        given = np.tile(box, (8, 1))
        found = dict(tracker.track_each(videos, given, batch=batch))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(found[n].boxes) for n in range(8)] == lengths
    for one in found.values():  # the square stands still
        np.testing.assert_allclose(one.boxes, np.tile(box, (len(one.boxes), 1)), atol=1)
    # Three buffers of a chunk; all frames would be 180 MB.
    chunk = canvases.chunk_length((160, 160), batch=batch) * batch * 160 * 160 * 3
    assert peak < 3.5 * chunk + 2**20


def in_4k(frames, corner_xy):
    """A video as a part of one of 2160 x 3840 px, frame by frame."""
    x, y = corner_xy
    for frame in frames:
        whole = np.full((2160, 3840, 3), 99, np.uint8)
        whole[y : y + frame.shape[0], x : x + frame.shape[1]] = frame
        yield whole


def test_a_target_in_4k_is_followed_as_in_the_part_around_it_with_little_memory():
    tracker = scenes.tracker(scale_count=1)
    frames, boxes = scenes.video(9, velocity=(1.0, 0.0))
    alone, shift = tracker.track(frames, boxes[0]), np.float32([2500, 1700, 0, 0])
    tracemalloc.start()
    try:
        large = tracker.track(in_4k(frames, (2500, 1700)), boxes[0] + shift)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The window never reaches the border of the part; positions round at 1e-4 here.
    np.testing.assert_allclose(large.boxes - shift, alone.boxes, atol=0.6)
    # Three buffers of one canvas, a frame at hand and the next; nine would be 265 MB.
    assert peak < 3 * 2560 * 3840 * 3 + 3.2 * 2160 * 3840 * 3


def test_few_videos_of_4k_are_tracked_at_a_time():
    assert canvases.row_count((240, 360), batch=16) == 16
    rows = canvases.row_count((2560, 3840), batch=16)
    assert 1 < rows < 16 and rows * 2560 * 3840 * 3 <= 192 * 2**20
    assert canvases.row_count((5120, 7680), batch=16) == 1
