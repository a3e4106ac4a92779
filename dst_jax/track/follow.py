"""Follows one target chunk by chunk, for who may stop before the video ends."""

from collections.abc import Iterator

import numpy as np

from dst_jax.track.run import Tracker, canvas_size, chunk_length, compiled
from dst_jax.track.stream import Frames, Stream
from dst_jax.typing import Array, Float


def follow(
    tracker: Tracker, frames: Frames, box: Float[Array, " 4"]
) -> Iterator[tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, " n"]]]:
    """Yields boxes and scores of the next frames, those of `Tracker.track`.

    A chunk's frames are taken when its boxes are asked for, so that whoever stops has
    wasted no more than what is left of the last one. The programs are those of
    `Tracker.track`.

    Args:
      tracker: The tracker.
      frames: RGB uint8 frames of one size, the first of which shows the target.
      box: The target in the first frame, cxcywh in frame pixels.

    Yields:
      Boxes (cx, cy, w, h) and scores of one chunk, that of the first frame included.

    Raises:
      InputError: If a frame or the box is unfit, see `Tracker.track`.
    """
    stream = Stream(frames, 0, box)
    canvas = canvas_size(*stream.hw)
    length = chunk_length(canvas)
    frame_hw = np.array([stream.hw], np.int32)
    search_spec = tracker.search_spec(stream.box, *stream.hw)
    first = compiled(tracker.spec, tracker.config).init
    chunk = compiled(search_spec, tracker.config).chunk
    state = None
    while True:
        # The buffer is new each time, because the device may read it in place.
        buffer = np.zeros((length, 1, *canvas, 3), np.uint8)
        count = stream.fill(buffer[:, 0])
        if count == 0:
            return
        use = np.arange(length)[:, None] < count
        if state is None:
            boxes = stream.box[None]
            state = first(tracker.variables, buffer[0], boxes, frame_hw)
            use[0] = False
        state, output = chunk(tracker.variables, state, buffer, frame_hw, use)
        yield np.asarray(output.box)[:count, 0], np.asarray(output.score)[:count, 0]
