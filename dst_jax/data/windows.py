"""Draws search windows for the i-th example, a function of (seed, i) (OSTrack).

Their sizes are log-normal and so have no bound: no patch holds every window, as the
patches of other families do. So the window is drawn on the host, before it is cut.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from dst_jax.require import require_between
from dst_jax.typing import Bool, Float, Int

# Windows are redrawn at most so often; then the target stands in the middle.
MOST_REDRAWS = 20
# Blocks of four numbers that Philox counts lie this far apart from one try to the next,
# and from those of `data.pairs`, which count from 0.
_TRY = 1 << 64


@dataclasses.dataclass(frozen=True, slots=True)
class WindowConfig:
    """How far a search window may lie from the target, and how its size varies.

    The defaults are OSTrack's at 384 px; at 256 px and factor 4 it has .25 and 3.

    Attributes:
      scale: Standard deviation of the logarithm of the factors by which width and
        height of the box are multiplied, each by its own.
      shift: Range, in square roots of that box's area, within which the window's centre
        lies around the target's in either axis, half of it to each side.
    """

    scale: float = 0.5
    shift: float = 4.5

    def __post_init__(self):
        require_between(0.0, 2.0, self, "scale")
        require_between(0.0, 100.0, self, "shift")


class Windows(NamedTuple):
    """Square windows of several examples, in pixels of their frames.

    Attributes:
      centre: x and y of their middles.
      side: Their sides, whole numbers.
      box: The targets in their windows, (cx, cy, w, h) in [0, 1] of the window where
        they lie within it.
      redraws: How often each was drawn anew.
    """

    centre: Float[np.ndarray, "n 2"]
    side: Float[np.ndarray, " n"]
    box: Float[np.ndarray, "n 4"]
    redraws: Int[np.ndarray, " n"]


def draw_windows(
    seed: int,
    indices: range,
    boxes: Float[np.ndarray, "n 4"],
    frames: Float[np.ndarray, "n 2"],
    *,
    factor: float,
    cells: int,
    config: WindowConfig = WindowConfig(),
) -> Windows:
    r"""Returns the search windows of these global numbers, which count from 0.

    With N normal and U uniform in [0, 1), each drawn for either axis,

    .. math:: (w', h') = (w e^{s N_1}, h e^{s N_2}), \quad
              side = \lceil f \sqrt{w' h'} \rceil, \quad
              centre = (c_x, c_y) + \sqrt{w' h'} \, c \, (U - \tfrac12)

    A window is redrawn if none of its cells has its middle within the frame. They do
    not depend on how the numbers are grouped into calls.

    Args:
      seed: Seed of the whole run.
      indices: Numbers of the examples, in steps of 1 or more.
      boxes: Targets in their frames, (cx, cy, w, h) in pixels.
      frames: Widths and heights of the frames, pixels.
      factor: f, the side of the window in square roots of the area.
      cells: Cells per side of the network's map.
      config: The spread of sizes and centres.
    """
    boxes = np.asarray(boxes, np.float64)
    centre, side, redraws = boxes[:, :2].copy(), np.zeros(len(boxes)), _zeros(boxes)
    left = np.ones(len(boxes), bool)
    for attempt in range(MOST_REDRAWS + 1):
        chances = _uniform(seed, indices, attempt)
        found, sides = _draw(chances, boxes, factor, config)
        last = attempt == MOST_REDRAWS
        if last:
            found = boxes[:, :2]
        seen = _sees_frame(found, sides, np.asarray(frames), cells) | last
        centre[left], side[left] = found[left], sides[left]
        left &= ~seen
        redraws += left
        if not left.any():
            break
    corner = centre - 0.5 * side[:, None]
    place = np.concatenate([boxes[:, :2] - corner, boxes[:, 2:]], axis=-1)
    return Windows(centre, side, place / side[:, None], redraws)


def _zeros(boxes: Float[np.ndarray, "n 4"]) -> Int[np.ndarray, " n"]:
    return np.zeros(len(boxes), np.int64)


def _draw(
    chances: Float[np.ndarray, "n 4"],
    boxes: Float[np.ndarray, "n 4"],
    factor: float,
    config: WindowConfig,
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Returns centres and sides of random windows, two numbers of four for each."""
    # Box and Muller: two uniform numbers make two independent normal ones.
    radius = np.sqrt(-2.0 * np.log1p(-chances[:, 0]))
    angle = 2.0 * np.pi * chances[:, 1]
    normal = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    sides = boxes[:, 2:] * np.exp(config.scale * normal)
    length = np.sqrt(sides[:, 0] * sides[:, 1])
    shift = length[:, None] * config.shift * (chances[:, 2:] - 0.5)
    # Rounding of the root must not add a pixel to a whole number of them.
    whole = np.maximum(np.ceil(factor * length * (1.0 - 1e-12)), 1.0)
    return boxes[:, :2] + shift, whole


def _sees_frame(
    centre: Float[np.ndarray, "n 2"],
    side: Float[np.ndarray, " n"],
    frames: Any,
    cells: int,
) -> Bool[np.ndarray, " n"]:
    """Returns whether the middle of any cell lies within the frame."""
    steps = (np.arange(cells) + 0.5) / cells - 0.5
    middles = centre[:, :, None] + side[:, None, None] * steps[None, None]
    within = (middles >= 0.0) & (middles < frames[:, :, None])
    return within.any(axis=2).all(axis=1)


def _uniform(seed: int, indices: range, attempt: int) -> Float[np.ndarray, "n 4"]:
    """Returns four numbers in [0, 1) for each example and attempt.

    Philox is driven by a counter, so the numbers of any example can be computed alone.
    """
    first, count = indices.start, len(indices) and indices[-1] - indices.start + 1
    counter = (attempt + 1) * _TRY + first
    bits = np.random.Philox(key=seed, counter=counter)
    return np.random.Generator(bits).random((count, 4))[:: indices.step]
