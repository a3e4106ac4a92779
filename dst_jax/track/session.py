"""Tracks one frame at a time: `init` takes the target's box, `update` every frame.

Boxes are (x, y, w, h) here, as in files and on the command line: corner and size in
frame pixels, counted from 0 at the top left. `Tracker.track` takes whole videos.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from dst_jax.arch.spec import TrackerSpec
from dst_jax.boxes import cxcywh_to_xywh, xywh_to_cxcywh
from dst_jax.errors import InputError
from dst_jax.models.build import Variables
from dst_jax.track.canvases import canvas_size
from dst_jax.track.confidence import probabilities
from dst_jax.track.config import Tracking
from dst_jax.track.run import Tracker, compiled, make_tracker
from dst_jax.track.state import TrackOutput, TrackState
from dst_jax.track.stream import BoxLike, check_box, check_frame, four_numbers
from dst_jax.typing import Array, Float


class FrameResult(NamedTuple):
    """The result of a session for one frame.

    Attributes:
      box: Corner and size (x, y, w, h) in frame pixels, counted from 0.
      score: Score from 0 to 1, see `TrackOutput`.
      state: `track.TRACKED`, `UNCERTAIN`, `LOST` or `FOUND_AGAIN`; None if no
        threshold is set.
      probability: How probable it is that the box overlaps the target by more than
        half; None if the tracker is not calibrated.
    """

    box: Float[np.ndarray, " 4"]
    score: float
    state: int | None
    probability: float | None = None


@runtime_checkable
class BundleLike(Protocol):
    """The parts of a bundle that a session reads; bundles lie in a layer above."""

    @property
    def spec(self) -> TrackerSpec:
        """Returns the architecture."""
        ...

    @property
    def variables(self) -> Variables:
        """Returns its weights."""
        ...

    @property
    def tracking(self) -> Tracking:
        """Returns its online settings."""
        ...


@dataclasses.dataclass
class _Target:
    """The target that a session follows.

    Attributes:
      step: The compiled step for its search crop.
      state: The tracker's state after the last frame, on the device.
      frame_hw: Height and width of a frame, on the device.
      canvas: Array on which frames are placed, [1, h, w, 3].
      hw: Height and width of a frame.
      read: Number of frames taken so far.
    """

    step: Callable[..., tuple[TrackState, TrackOutput]]
    state: TrackState
    frame_hw: Array
    canvas: np.ndarray
    hw: tuple[int, int]
    read: int = 1


class Session:
    """Follows one target, one frame at a time.

    The boxes are those of `Tracker.track` on the same frames, but as (x, y, w, h). Two
    sessions of one tracker, as `Session(first.tracker)`, share its weights and
    programs. The first `init` and `update` compile; later videos of similar size do
    not.

    Attributes:
      tracker: The tracker, whose own `track` takes and returns (cx, cy, w, h).

    Example:
      A folder of images or a video file, a target of 40 x 60 pixels::

        frames = video_frames("clip.mp4")
        session = dst_jax.load("teacher.bundle")
        session.init(next(frames), (120, 80, 40, 60))
        boxes = [session.update(frame).box for frame in frames]

      OpenCV reads BGR, so give a session `cv2.cvtColor(image, cv2.COLOR_BGR2RGB)`.

      A tracker for the got10k toolkit, which hands over PIL images::

        class Student(got10k.trackers.Tracker):
            def __init__(self):
                super().__init__(name="student", is_deterministic=True)
                self.session = dst_jax.load("student.bundle")

            def init(self, image, box):
                self.session.init(np.asarray(image), box)

            def update(self, image):
                return self.session.update(np.asarray(image)).box

      A tracker for the VOT toolkit, which names one image file after another::

        handle = vot.VOT("rectangle")
        session = dst_jax.load("student.bundle")
        session.init(read_frame(handle.frame()), handle.region())
        while path := handle.frame():
            result = session.update(read_frame(path))
            handle.report(vot.Rectangle(*result.box), result.score)

      `video_frames` and `read_frame` are those of `dst_jax.data`.
    """

    def __init__(self, tracker: Tracker | BundleLike):
        """Makes a session without a target.

        Args:
          tracker: A tracker from `make_tracker`, or a bundle, whose weights are put on
            the device.

        Raises:
          InputError: If `tracker` is neither; the path of a bundle is neither.
        """
        if isinstance(tracker, BundleLike):
            spec, variables = tracker.spec, tracker.variables
            tracker = make_tracker(spec, variables, tracking=tracker.tracking)
        elif not isinstance(tracker, Tracker):
            raise InputError(
                f"Session({tracker!r}): give a tracker or a bundle; "
                "dst_jax.load reads a folder."
            )
        self.tracker = tracker
        self._target: _Target | None = None

    def init(self, image: np.ndarray, box: BoxLike) -> None:
        """Takes the first frame and the target in it, which replaces an earlier one.

        Args:
          image: RGB uint8 [h, w, 3].
          box: Corner and size (x, y, w, h) in frame pixels, counted from 0.

        Raises:
          InputError: If the image is no such array, or the box is not four finite
            numbers, is empty or lies outside of the image. An earlier target stays.
        """
        frame = check_frame(image, "frame 0", first_hw=None)
        height, width, _ = frame.shape
        centred = check_box(xywh_to_cxcywh(four_numbers(box)), height, width)
        canvas = np.zeros((1, *canvas_size(height, width), 3), np.uint8)
        canvas[0, :height, :width] = frame
        frame_hw = np.array([[height, width]], np.int32)
        spec, config = self.tracker.spec, self.tracker.config
        first = compiled(spec, config).init
        state = first(self.tracker.variables, canvas, centred[None], frame_hw)
        search_spec = self.tracker.search_spec(centred, height, width)
        self._target = _Target(
            step=compiled(search_spec, config).step,
            # It is awaited because the next frame is written onto the same canvas.
            state=jax.block_until_ready(state),
            frame_hw=jax.device_put(frame_hw),
            canvas=canvas,
            hw=(height, width),
        )

    def update(self, image: np.ndarray) -> FrameResult:
        """Returns the target's box and score in the next frame.

        Args:
          image: RGB uint8 [h, w, 3] with the first frame's size.

        Raises:
          InputError: If there was no `init`, or the image is no such array.
        """
        target = self._target
        if target is None:
            raise InputError(
                "update without a target; call init(image, box) with the first frame."
            )
        frame = check_frame(image, f"frame {target.read}", first_hw=target.hw)
        height, width = target.hw
        target.canvas[0, :height, :width] = frame
        canvas = jax.device_put(target.canvas)
        state, output = target.step(
            self.tracker.variables, target.state, canvas, target.frame_hw
        )
        # This waits for all three at once; only then may the canvas be written again.
        boxes, scores, states = jax.device_get(output)
        target.state, target.read = state, target.read + 1
        likely = probabilities(scores, self.tracker.config)
        return FrameResult(
            np.asarray(cxcywh_to_xywh(boxes[0].astype(np.float64))),
            float(scores[0]),
            None if states is None else int(states[0]),
            None if likely is None else float(likely[0]),
        )
