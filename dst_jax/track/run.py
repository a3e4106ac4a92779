"""Tracks whole videos in chunks of frames, compiled once for all lengths.

Frames lie on canvases of a few sizes, with their real size traced, and the last chunk
is padded: a second video of a similar size compiles nothing, and memory stays small.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch.spec import TrackerSpec
from dst_jax.errors import InputError
from dst_jax.models.build import Variables, build
from dst_jax.ops import kernels
from dst_jax.track.canvases import (
    canvas_size,
    chunk_length,
    default_batch,
    row_count,
    starts_together,
)
from dst_jax.track.chunk import track_chunk
from dst_jax.track.config import Tracking
from dst_jax.track.lanes import Lanes, TrackResult
from dst_jax.track.procedure import (
    default_tracking,
    init,
    procedure_of,
    require_matching,
)
from dst_jax.track.state import TrackOutput, TrackState
from dst_jax.track.stream import Frames, Stream
from dst_jax.typing import Array, Float


class Program(NamedTuple):
    """What one compiled program takes.

    Attributes:
      spec: The architecture, with the search crop for the targets.
      canvas: Height and width of the canvas of a frame.
    """

    spec: TrackerSpec
    canvas: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Tracker:
    """A tracker that is ready to run; `make_tracker` makes it.

    It takes and returns boxes as (cx, cy, w, h), as everywhere inside the package. A
    `Session` takes and returns (x, y, w, h).

    Attributes:
      spec: The architecture.
      variables: Its weights, on the device.
      config: Online hyper-parameters.
    """

    spec: TrackerSpec
    variables: Variables
    config: Tracking

    def track(self, frames: Frames, box: Float[Array, " 4"]) -> TrackResult:
        """Follows the target at `box` (cxcywh) of the first frame through a video.

        Args:
          frames: RGB uint8 frames of one size.
          box: The target in the first frame, frame pixels.

        Returns:
          Boxes and scores of all frames.

        Raises:
          InputError: If there is no frame, a frame is no RGB uint8 image or has another
            size than the first, or the box is not finite, empty or outside of the
            first frame.
        """
        return self.track_many([frames], np.asarray(box)[None])[0]

    def track_many(
        self,
        videos: Sequence[Frames],
        boxes: Float[Array, "n 4"],
        *,
        batch: int | None = None,
        tracked: Callable[[int], None] = lambda _: None,
    ) -> list[TrackResult]:
        """Follows a target in each of several videos, `batch` of them at a time.

        Args:
          videos: The argument of `track_each`.
          boxes: The argument of `track_each`.
          batch: The argument of `track_each`.
          tracked: The argument of `track_each`.

        Returns:
          Boxes and scores of every video, in the order of `videos`.

        Raises:
          InputError: If a video or box is faulty, see `track`.
        """
        results: dict[int, TrackResult] = {}
        each = self.track_each(videos, boxes, batch=batch, tracked=tracked)
        for number, found in each:
            if isinstance(found, InputError):
                raise found
            results[number] = found
        return [results[number] for number in range(len(videos))]

    def track_each(
        self,
        videos: Sequence[Frames],
        boxes: Float[Array, "n 4"],
        *,
        batch: int | None = None,
        tracked: Callable[[int], None] = lambda _: None,
    ) -> Iterator[tuple[int, TrackResult | InputError]]:
        """Follows a target in each of several videos and yields each as it ends.

        Videos that follow each other share a batch if their frames have one canvas and
        their search crops one size, so that a list ordered by these is the fastest; and
        of these the longest first. A video is opened when its turn comes.

        Args:
          videos: Iterables of frames; each is consumed once, chunk by chunk, by a
            thread.
          boxes: The target in each first frame, cxcywh in frame pixels.
          batch: Number of videos at a time, which is less where their canvases would
            take too much memory; None for `default_batch`.
          tracked: Function that is told how many frames more have their boxes.

        Yields:
          Number of a video among `videos`, and its boxes and scores or, where `track`
          would raise an error, that error.
        """
        size = min(batch or default_batch(), max(len(videos), 1))
        unfit: list[tuple[int, InputError]] = []

        def opened() -> Iterator[Stream]:
            for number, (frames, box) in enumerate(zip(videos, boxes, strict=True)):
                try:
                    stream = Stream(frames, number, box)
                    canvas_size(*stream.hw)
                except InputError as error:
                    unfit.append((number, error))
                else:
                    yield stream

        def program_of(stream: Stream) -> Program:
            return self.program(stream.box, *stream.hw)

        for program, streams in itertools.groupby(opened(), key=program_of):
            lanes = self.lanes(program, batch=size)
            yield from lanes.follow(streams, tracked=tracked)
        yield from unfit

    def program(self, box: Float[Array, " 4"], height: int, width: int) -> Program:
        """Returns what videos have in common that one compiled program tracks.

        Args:
          box: The target in the first frame, cxcywh in frame pixels.
          height: Height of the frames.
          width: Width of the frames.

        Raises:
          InputError: If the frames are larger than the largest canvas.
        """
        canvas = canvas_size(height, width)
        return Program(self.search_spec(box, height, width), canvas)

    def lanes(self, program: Program, *, batch: int) -> Lanes:
        """Returns the rows of a compiled program.

        Args:
          program: What its videos have in common.
          batch: Number of rows, which is less where canvases take too much memory.
        """
        spec, canvas = program
        rows = row_count(canvas, batch=batch)
        return Lanes(
            # The template does not depend on the search crop: all videos share `init`.
            partial(compiled(self.spec, self.config).init, self.variables),
            partial(compiled(spec, self.config).chunk, self.variables),
            (chunk_length(canvas, batch=rows), rows, *canvas),
        )

    def search_spec(
        self, box: Float[Array, " 4"], height: int, width: int
    ) -> TrackerSpec:
        """Returns the architecture with the search crop for a video's target.

        Videos with equal results on equal canvases share a compiled program.

        Args:
          box: The target in the first frame, cxcywh in frame pixels.
          height: Height of the frames.
          width: Width of the frames.
        """
        sized = procedure_of(self.config).search_spec
        return sized(self.spec, box, (height, width), self.config)


def make_tracker(
    spec: TrackerSpec, variables: Variables, *, tracking: Tracking | None = None
) -> Tracker:
    """Returns a tracker with its weights on the device; equal ones share programs.

    Args:
      spec: The architecture.
      variables: Its weights.
      tracking: Online settings of the head's family; None for its defaults.

    Raises:
      InputError: If the settings are those of another family.
    """
    tracking = tracking or default_tracking(spec)
    require_matching(spec, tracking)
    return Tracker(spec, jax.device_put(variables), tracking)


class Compiled(NamedTuple):
    """The jitted functions of one architecture and its settings.

    Attributes:
      init: Function (variables, frames, boxes, frame_hw) to the states of new videos.
      chunk: Function (variables, state, frames, frame_hw, use), see `track_chunk`.
      step: Function (variables, state, frames, frame_hw) for one frame of each video.
    """

    init: Callable[..., TrackState]
    chunk: Callable[..., tuple[TrackState, TrackOutput]]
    step: Callable[..., tuple[TrackState, TrackOutput]]


@lru_cache(maxsize=64)
def compiled(spec: TrackerSpec, config: Tracking) -> Compiled:
    """Returns the jitted functions that track a batch of videos.

    Equal arguments give the same functions.
    """
    module = build(spec)
    procedure = procedure_of(config)

    def first(variables: Any, frames: Any, boxes: Any, frame_hw: Any) -> Any:
        def one(frame: Array, box: Array, hw: Array) -> TrackState:
            given = module, variables, frame, box
            return init(procedure, *given, config=config, frame_hw=hw)

        given = frames, boxes, frame_hw
        if starts_together(len(boxes)) > 1:
            return jax.vmap(one)(*given)
        # This is a loop because a vmapped convolution runs on one thread on a CPU.
        rows = [one(*row) for row in zip(*given, strict=True)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)

    def chunk(variables: Any, state: Any, frames: Any, frame_hw: Any, use: Any) -> Any:
        return track_chunk(
            module, variables, state, frames, frame_hw, use, config=config
        )

    def step(variables: Any, state: Any, frames: Any, frame_hw: Any) -> Any:
        return procedure.step_many(
            module, variables, state, frames, frame_hw, config=config
        )

    fast = partial(kernels.compiled, kernels=kernels.kernels_for(spec))
    return Compiled(fast(first), fast(chunk), fast(step))
