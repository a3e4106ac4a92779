"""Reads template crops and random search windows, as OSTrack is trained on them.

Each is the square of the frame that the network sees, at its size: black outside of the
frame, and read bilinearly without smoothing. Windows are drawn in `data.windows`.
"""

import collections.abc
from typing import NamedTuple

import cv2
import numpy as np

from dst_jax.data.examples import (
    HostBatch,
    empty_patches,
    open_packs,
    require_frames,
)
from dst_jax.data.frames import Frame, FrameCache
from dst_jax.data.packs.packed import Pack
from dst_jax.data.pairs import Pair
from dst_jax.data.patches import ROLES, PatchSpec, Role
from dst_jax.data.sequence import Sequence
from dst_jax.data.windows import WindowConfig, draw_windows
from dst_jax.typing import Float, UInt8

# Cells per side of the smallest map of a public network, at 96 px.
_CELLS = 6


class _Square(NamedTuple):
    """A square of a frame, pixels of the frame."""

    centre: Float[np.ndarray, " 2"]
    side: float


class _Image(NamedTuple):
    """A part of a frame in which squares are cut out.

    Attributes:
      pixels: The part, black outside of the frame.
      corner: Place of its upper left corner in the frame, frame pixels.
      scale: Its pixels per frame pixel.
      size: Width and height of the frame.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    corner: Float[np.ndarray, " 2"]
    scale: float
    size: Float[np.ndarray, " 2"]


class WindowReader:
    """Reads both images of pairs; several threads may share a reader.

    Args:
      sequences: Sequences to which the indices of pairs refer, each with a visible
        frame on disk or in a pack.
      spec: Sizes and scales of the crops, whose zooms have no context.
      windows: The spread of search windows.
      seed: Seed of the whole run.
      cache_mb: Megabytes (2^20 bytes) of decoded image files that are kept at most.

    Raises:
      InputError: If a sequence has no frame, or a pack does not serve `spec`.
    """

    def __init__(
        self,
        sequences: collections.abc.Sequence[Sequence],
        spec: PatchSpec,
        windows: WindowConfig,
        *,
        seed: int,
        cache_mb: int,
    ):
        require_frames(sequences)
        self.sequences, self.spec = tuple(sequences), spec
        self._windows, self._seed = windows, seed
        self._frames = FrameCache(limit_bytes=cache_mb * 2**20)
        self._packs = open_packs(sequences, spec)

    def empty(self, count: int) -> HostBatch:
        """Returns uninitialised arrays for `count` examples.

        Args:
          count: Number of examples.

        Returns:
          The arrays of `PatchReader.empty`, and float32 [count] each: `redrawn`, 1 for
          a window that was drawn anew because it saw nothing of the frame, and
          `narrowed`, 1 for one that a pack did not hold.
        """
        batch = empty_patches(self.spec, count)
        for role in ROLES:
            # Windows are black outside of the frame.
            batch[f"{role}_fill_rgb"][:] = 0.0
        for name in ("redrawn", "narrowed"):
            batch[name] = np.empty(count, np.float32)
        return batch

    def read_pair(self, batch: HostBatch, row: int, pair: Pair, number: int) -> None:
        """Writes both images of a pair into row `row` of a batch.

        Args:
          batch: Arrays from `empty`.
          row: Row that is written.
          pair: The pair.
          number: Global number of the example, on which its window depends.

        Raises:
          InputError: If a frame or record cannot be read.
        """
        image, box = self._read(pair.template_sequence, pair.template_frame, "template")
        whole = np.ceil(self._factor("template") * np.sqrt(box[2] * box[3]))
        self._write(batch, row, "template", image, _Square(box[:2], whole), box)
        image, box = self._read(pair.search_sequence, pair.search_frame, "search")
        drawn = draw_windows(
            self._seed,
            range(number, number + 1),
            box[None],
            image.size[None],
            factor=self._factor("search"),
            cells=_CELLS,
            config=self._windows,
        )
        window = _Square(drawn.centre[0], float(drawn.side[0]))
        held = _held(window, image)
        self._write(batch, row, "search", image, held, box)
        batch["redrawn"][row] = drawn.redraws[0] > 0
        batch["narrowed"][row] = held is not window

    def _factor(self, role: Role) -> float:
        """Returns the side of a crop in square roots of the target's area."""
        patch = self.spec.of(role)
        return patch.patch_px / patch.zoom.px_per_side

    def _read(
        self, sequence: int, frame: int, role: Role
    ) -> tuple[_Image, Float[np.ndarray, " 4"]]:
        """Returns the frame, or what a pack holds of it, and the target's box."""
        target = self.sequences[sequence]
        name, box = target.frames[frame], np.asarray(target.boxes[frame], np.float64)
        pack = self._packs.get(target.source)
        if pack is not None:
            return _packed(pack, int(name), role, box), box
        pixels = self._frames.read(name)
        return _Image(pixels, np.zeros(2), 1.0, _size(pixels)), box

    def _write(
        self,
        batch: HostBatch,
        row: int,
        role: Role,
        image: _Image,
        square: _Square,
        box: Float[np.ndarray, " 4"],
    ) -> None:
        side = self.spec.of(role).patch_px
        scale = side / square.side
        corner = square.centre - 0.5 * square.side
        _cut(image, corner, scale, out=batch[f"{role}_patch"][row])
        batch[f"{role}_box"][row, :2] = (box[:2] - corner) * scale
        batch[f"{role}_box"][row, 2:] = box[2:] * scale


def _size(frame: Frame) -> Float[np.ndarray, " 2"]:
    return np.array([frame.shape[1], frame.shape[0]], np.float64)


def _packed(
    pack: Pack, record: int, role: Role, box: Float[np.ndarray, " 4"]
) -> _Image:
    """Returns the patch of a record, whose surroundings of the frame become black."""
    pixels, (height, width) = pack.read_whole(record, role)
    side, scale = len(pixels), pack.serves.of(role).scale(box)
    corner = box[:2] - 0.5 * side / scale
    for axis, length in ((1, width), (0, height)):
        middles = corner[1 - axis] + (np.arange(side) + 0.5) / scale
        outside = (middles < 0.0) | (middles >= length)
        pixels[(slice(None), outside) if axis else outside] = 0
    return _Image(pixels, corner, scale, np.array([width, height], np.float64))


def _held(window: _Square, image: _Image) -> _Square:
    """Returns the window, or a narrower one if the image lacks a part of it.

    What lies outside of the frame is black anyway and need not be held.
    """
    low = image.corner
    high = low + np.array(image.pixels.shape[1::-1]) / image.scale
    half = 0.5 * window.side
    wanted_low = np.maximum(window.centre - half, 0.0)
    wanted_high = np.minimum(window.centre + half, image.size)
    if (wanted_low >= low - 1e-6).all() and (wanted_high <= high + 1e-6).all():
        return window
    side = min(window.side, *(high - low))
    centre = np.clip(window.centre, low + 0.5 * side, high - 0.5 * side)
    return _Square(centre, side)


def _cut(
    image: _Image,
    corner: Float[np.ndarray, " 2"],
    scale: float,
    *,
    out: UInt8[np.ndarray, "p p 3"],
) -> None:
    """Writes the square that begins at `corner`, at `scale` per frame pixel."""
    ratio = scale / image.scale
    # OpenCV counts from pixel centres, so index = continuous - 0.5 in both.
    offset = (image.corner - corner) * scale + 0.5 * ratio - 0.5
    out[:] = cv2.warpAffine(
        image.pixels,
        np.array([[ratio, 0.0, offset[0]], [0.0, ratio, offset[1]]]),
        (len(out), len(out)),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0.0, 0.0, 0.0),
    )
