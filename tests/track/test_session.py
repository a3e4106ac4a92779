"""A session gives the boxes of `Tracker.track`, frame by frame, at a step each."""

import inspect
import re
import types

import cv2
import jax
import numpy as np
import pytest

import dst_jax
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.data import read_frame, video_frames
from dst_jax.errors import InputError
from dst_jax.track import Session, SiamFCTracking, run
from tests.track import scenes

FRAMES, TRUE = scenes.video(6, velocity=(2.0, 1.0))
# The square's corner and size in the first frame: its centre is (70, 60).
BOX = (60, 50, 20, 20)


def corner_boxes(boxes):
    """By hand: the corner lies half a size before the centre."""
    cx, cy, w, h = boxes.T
    return np.stack([cx - w / 2, cy - h / 2, w, h], axis=1)


def follow(session, frames, box):
    session.init(frames[0], box)
    return [session.update(frame) for frame in frames[1:]]


@pytest.mark.parametrize(
    "tracker",
    [
        scenes.tracker(lost_below=0.3, uncertain_below=0.9),
        scenes.region_tracker(lost_below=0.3, uncertain_below=0.9),
        # The square covers .022 of the frame: the search crop is the larger one.
        scenes.region_tracker(small_target_share=0.023, lost_below=0.9),
    ],
    ids=["siamfc", "siamrpn", "small"],
)
def test_boxes_scores_and_states_are_those_of_the_whole_video(tracker):
    frames, boxes = scenes.video(67, start=(40.0, 50.0), velocity=(1.0, 0.0))
    # Two frames without the target: scores fall.
    frames[30:32] = [np.full_like(frames[0], 90)] * 2
    whole = tracker.track(frames, boxes[0])
    results = follow(Session(tracker), frames, (30, 40, 20, 20))
    found = np.stack([result.box for result in results])
    np.testing.assert_allclose(found, corner_boxes(whole.boxes[1:]), atol=1e-3)
    scores = [result.score for result in results]
    np.testing.assert_allclose(scores, whole.scores[1:], atol=1e-5)
    assert [result.state for result in results] == whole.states[1:].tolist()
    assert len({result.state for result in results}) > 1


def test_without_thresholds_there_is_no_state():
    results = follow(Session(scenes.tracker()), FRAMES[:2], BOX)
    assert [result.state for result in results] == [None]


@pytest.mark.parametrize(
    "tracker",
    [
        # Settings of their own, so that no other test has compiled them.
        scenes.tracker(scale_rate=0.5),
        scenes.region_tracker(small_target_share=0.023, size_rate=0.3),
    ],
    ids=["siamfc", "small"],
)
def test_frames_and_a_second_video_of_similar_size_compile_nothing(tracker):
    follow(Session(tracker), FRAMES, BOX)
    narrow, _ = scenes.video(4, height=118, width=148, velocity=(1.0, 0.0))
    follow(Session(tracker), narrow, BOX)
    first = run.compiled(tracker.spec, tracker.config)
    search_spec = tracker.search_spec(TRUE[0], 120, 150)
    step = run.compiled(search_spec, tracker.config)
    assert first.init._cache_size() == step.step._cache_size() == 1
    # No chunk of 64 frames for one.
    assert first.chunk._cache_size() == step.chunk._cache_size() == 0


def test_the_frame_goes_up_the_result_comes_down_and_nothing_else(monkeypatch):
    session = Session(scenes.tracker(lost_below=0.1))
    follow(session, FRAMES[:3], BOX)
    moved = []
    for name in ("device_put", "device_get"):
        original = getattr(jax, name)

        def counted(value, original=original, name=name):
            moved.append(name)
            return original(value)

        monkeypatch.setattr(jax, name, counted)
    # Whatever is not asked for by name is refused.
    with jax.transfer_guard("disallow"):
        session.update(FRAMES[3])
    assert moved == ["device_put", "device_get"]


def test_a_new_init_takes_another_target_in_a_video_of_another_size():
    tracker = scenes.tracker()
    frames, _ = scenes.video(4, start=(200.0, 60.0), seed=1, width=330)
    box = (190, 50, 20, 20)
    session = Session(tracker)
    follow(session, FRAMES, BOX)
    again = follow(session, frames, box)
    fresh = follow(Session(tracker), frames, box)
    for result, expected in zip(again, fresh, strict=True):
        np.testing.assert_array_equal(result.box, expected.box)
        # The square stands still.
        np.testing.assert_allclose(result.box[:2], box[:2], atol=1.0)


def test_a_refused_init_or_frame_leaves_the_target():
    session = Session(scenes.tracker())
    expected = [result.box for result in follow(session, FRAMES, BOX)]
    session.init(FRAMES[0], BOX)
    found = [session.update(FRAMES[1]).box]
    with pytest.raises(InputError):
        session.init(FRAMES[2], (900, 0, 20, 20))
    with pytest.raises(InputError):
        session.update(FRAMES[2][:-1])
    found += [session.update(frame).box for frame in FRAMES[2:]]
    np.testing.assert_array_equal(found, expected)


def test_sessions_of_one_tracker_do_not_disturb_each_other():
    first = Session(scenes.tracker())
    second = Session(first.tracker)
    still, _ = scenes.video(6, start=(40.0, 50.0), seed=1)
    first.init(FRAMES[0], BOX)
    second.init(still[0], (30, 40, 20, 20))
    for moving, standing in zip(FRAMES[1:], still[1:], strict=True):
        one, two = first.update(moving), second.update(standing)
    # Five frames of (2, 1) px each.
    np.testing.assert_allclose(one.box[:2], (70, 55), atol=3.0)
    np.testing.assert_allclose(two.box[:2], (30, 40), atol=1.0)


def test_frames_may_come_in_one_array_that_is_written_again():
    session, buffer = Session(scenes.tracker()), FRAMES[0].copy()
    session.init(buffer, BOX)
    found = []
    for frame in FRAMES[1:]:
        buffer[:] = frame
        found.append(session.update(buffer).box)
        buffer[:] = 0
    np.testing.assert_allclose(found, corner_boxes(TRUE[1:]), atol=3.0)


def test_a_bundle_is_followed_with_its_own_settings():
    tracking = SiamFCTracking(lost_below=1.0)
    session = Session(Bundle(scenes.SPEC, scenes.weights(), tracking, {}))
    assert session.tracker.config == tracking
    (result,) = follow(session, FRAMES[:2], BOX)
    # Below a score of 1 everything counts as lost.
    assert result.state == dst_jax.track.LOST


@pytest.mark.parametrize(
    ("image", "box", "message"),
    [
        (FRAMES[0], (60, 50, 0, 20), r"box \(x=60, y=50, w=0, h=20\) is empty"),
        (FRAMES[0], (60, float("nan"), 20, 20), "is not finite; give four numbers"),
        (FRAMES[0], (150, 50, 20, 20), "outside the first frame of 150x120 px"),
        (FRAMES[0], (60, 50, 20), r"box \(60, 50, 20\) is no box; give four numbers"),
        (FRAMES[0] / 255, BOX, r"frame 0 is float64 of shape \(120, 150, 3\); give"),
        (FRAMES[0][..., 0], BOX, r"frame 0 is uint8 of shape \(120, 150\); give RGB"),
        (np.zeros((90, 7681, 3), np.uint8), BOX, "a frame of 90x7681 px does not fit"),
    ],
)
def test_a_bad_first_frame_or_box_is_told_in_one_line(image, box, message):
    with pytest.raises(InputError, match=message) as caught:
        Session(scenes.tracker()).init(image, box)
    assert "\n" not in str(caught.value)


def test_bad_later_frames_are_told_in_one_line():
    session = Session(scenes.tracker())
    with pytest.raises(InputError, match=r"without a target; call init\(image, box\)"):
        session.update(FRAMES[0])
    follow(session, FRAMES[:3], BOX)
    with pytest.raises(InputError, match=r"frame 3 has \(119, 150\) px, the first one"):
        session.update(FRAMES[3][:-1])
    with pytest.raises(InputError, match="frame 3 is int64 of shape"):
        session.update(FRAMES[3].astype(np.int64))


@pytest.mark.parametrize("later", [FRAMES[1][:-1], FRAMES[1].astype(np.float32)])
def test_the_words_are_those_of_the_whole_video(later):
    tracker = scenes.tracker()
    with pytest.raises(InputError) as whole:
        tracker.track([FRAMES[0], later], TRUE[0])
    with pytest.raises(InputError) as single:
        follow(Session(tracker), [FRAMES[0], later], BOX)
    assert str(single.value) == str(whole.value).replace(" of video 0", "")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the docstring's bundles and frames are."""
    bundle = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {})
    for name in ("teacher.bundle", "student.bundle"):
        save_bundle(bundle, tmp_path / name)
    (tmp_path / "clip.mp4").mkdir()
    start = (140.0, 110.0)
    frames, _ = scenes.video(5, start=start, velocity=(2.0, 1.0), height=140, width=220)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"clip.mp4/{number}.png"), frame[..., ::-1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


class ToolkitTracker:
    """What got10k's base class and its loop do."""

    def __init__(self, name, is_deterministic):
        self.name = name

    def forward(self, images, box):
        self.init(images[0], box)
        return [np.array(box), *(self.update(image) for image in images[1:])]


class Handle:
    """What VOT's handle does: a region, image files one after another, reports."""

    def __init__(self, kind):
        assert kind == "rectangle"
        self.paths = [f"clip.mp4/{number}.png" for number in range(5)]
        self.reports = []
        Handle.last = self

    def region(self):
        return Rectangle(130.0, 100.0, 20.0, 20.0)

    def frame(self):
        return self.paths.pop(0) if self.paths else None

    def report(self, region, confidence):
        self.reports.append((region, confidence))


Rectangle = type("Rectangle", (tuple,), {"__new__": lambda c, *v: tuple.__new__(c, v)})


def test_the_examples_of_the_docstring_follow_the_target(folder):
    text = inspect.getdoc(Session)
    blocks = re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", text)
    assert len(blocks) == 3
    names = {
        "dst_jax": dst_jax,
        "np": np,
        "video_frames": video_frames,
        "read_frame": read_frame,
        "got10k": types.SimpleNamespace(
            trackers=types.SimpleNamespace(Tracker=ToolkitTracker)
        ),
        "vot": types.SimpleNamespace(VOT=Handle, Rectangle=Rectangle),
    }
    for block in blocks:
        exec(inspect.cleandoc("\n" + block), names)
    images = [read_frame(f"clip.mp4/{number}.png") for number in range(5)]
    toolkit = names["Student"]().forward(images, np.array([130.0, 100.0, 20.0, 20.0]))
    expected = [(130 + 2 * t, 100 + t, 20, 20) for t in range(5)]
    np.testing.assert_allclose(toolkit, expected, atol=3.0)
    reported = [region for region, _ in Handle.last.reports]
    np.testing.assert_allclose(reported, expected[1:], atol=3.0)
    assert all(0.0 <= score <= 1.0 for _, score in Handle.last.reports)
    assert len(names["boxes"]) == 4
