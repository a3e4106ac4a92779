"""Anchor boxes of a region proposal head: their grid, targets and encoding.

An anchor is one of k fixed boxes around every cell of the response map. The network
says for each whether it holds the target and how the target's box differs from it.
Boxes are (cx, cy, w, h) in pixels of the search crop; a grid is [n, n, k, 4], rows
first, so that it lies on a response map [n, n, ...].
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch.heads import RegionHeadSpec
from dst_jax.boxes import iou
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.errors import InputError
from dst_jax.require import require, require_at_least, require_positive, require_share
from dst_jax.typing import Array, Bool, Float, Int, Scalar


@dataclasses.dataclass(frozen=True, slots=True)
class AnchorConfig:
    """The boxes around one cell: SiamRPN's five, by default.

    Attributes:
      ratios: Height over width of each anchor, before rounding.
      scale: Number by which the sides of a box of stride^2 pixels are multiplied.
      stride: Search pixels from one cell to the next.
    """

    ratios: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)
    scale: float = 8.0
    stride: int = 8

    def __post_init__(self):
        require_at_least(1, self, "stride")
        require_positive(self, "scale")
        positive = all(0.0 < ratio < math.inf for ratio in self.ratios)
        some_positive = bool(self.ratios) and positive
        require(some_positive, self, "ratios", "give at least one, all positive")
        have_area = min(min(size) for size in self.sizes) > 0.0
        text = "one is so flat or narrow that a side rounds to 0; bring it nearer 1"
        require(have_area, self, "ratios", text)

    @property
    def sizes(self) -> tuple[tuple[float, float], ...]:
        """Returns width and height of each anchor, in pixels.

        Both are cut to whole numbers before they are scaled, as in all public
        versions of SiamRPN: trained networks regress from exactly these boxes.

        Example:
          >>> AnchorConfig().sizes[:2]
          ((104.0, 32.0), (88.0, 40.0))
        """
        widths = [int(math.sqrt(self.stride**2 / ratio)) for ratio in self.ratios]
        pairs = zip(widths, self.ratios, strict=True)
        return tuple((w * self.scale, int(w * r) * self.scale) for w, r in pairs)


@dataclasses.dataclass(frozen=True, slots=True)
class AssignConfig:
    """Which anchors learn from a pair, with the defaults of pysot.

    Attributes:
      positive_iou: IoU with the target above which an anchor is positive.
      negative_iou: IoU with the target below which an anchor is negative; anchors
        between the two bounds are ignored.
      positives: Most positive anchors kept per pair.
      negatives: Most negative anchors kept per pair, however few the positives are.
      total: Number of anchors kept per pair: negatives fill up what the positives
        leave of it, and `negatives` is not read. None keeps to `negatives`.
      window_cells: Side in cells, odd, of the square around a distractor from which
        a negative pair draws its anchors.
      window_negatives: Number of anchors that a negative pair draws there.
    """

    positive_iou: float = 0.6
    negative_iou: float = 0.3
    positives: int = 16
    negatives: int = 48
    window_cells: int = 7
    window_negatives: int = 16
    # Stored only where it is given, which keeps the identities of older runs.
    total: int | None = dataclasses.field(default=None, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        counts = ("positives", "negatives", "window_cells", "window_negatives")
        require_at_least(1, self, *counts)
        odd = self.window_cells % 2 == 1
        require(odd, self, "window_cells", "must be odd, for example 7")
        fits = self.total is None or self.total > self.positives
        require(fits, self, "total", f"must exceed the {self.positives} positives")
        require_share(self, "positive_iou", "negative_iou")
        ordered = self.negative_iou <= self.positive_iou
        require(ordered, self, "negative_iou", "must not exceed positive_iou")


class Assignment(NamedTuple):
    """What every anchor of one pair learns.

    Attributes:
      label: Class as int32: 1 target, 0 background, -1 ignored.
      delta: The target's box, encoded, at each kept positive; 0 elsewhere.
      weight: 1 / (number of kept positives) at each of them, 0 elsewhere, so that the
        sum is 1, or 0 if there are none.
    """

    label: Int[Array, "n n k"]
    delta: Float[Array, "n n k 4"]
    weight: Float[Array, "n n k"]


# A frozen value with nothing to vary may be shared as a default.
_ANCHORS = AnchorConfig()
_ASSIGN = AssignConfig()


def anchor_grid(
    side: int, search_px: int, *, config: AnchorConfig = _ANCHORS
) -> Float[Array, "n n k 4"]:
    """Returns the anchors of a square response map, in pixels of the search crop.

    Cell i has its centre at search_px / 2 + (i - side // 2) * stride, in continuous
    pixels (pixel i covers [i, i + 1)). For an odd side the middle cell lies in the
    middle of the crop; for an even one the grid leans half a cell to the upper left.

    pysot writes search_px // 2 - (side // 2) * 8 + 8 i and counts from the centre of
    the first pixel; with half a pixel added, this is the same point for every odd crop.
    DaSiamRPN's division is that of Python 2. Under Python 3 its grid starts at -76 and
    not at -72 for 19 cells, with every anchor 4 px away from where it was trained.

    Args:
      side: n, the cells per side of the response map.
      search_px: Side of the search crop; 0 puts the origin in its middle.
      config: The anchors of one cell.

    Returns:
      float32 boxes (cx, cy, w, h): rows, columns, anchors.

    Raises:
      InputError: If `side` is below 1 or `search_px` negative.

    Example:
      >>> anchor_grid(19, 271)[0, 18].tolist()[2]
      [207.5, 63.5, 64.0, 64.0]

    References:
      Li et al., "High performance visual tracking with Siamese region proposal
      network", CVPR 2018.
    """
    if side < 1:
        raise InputError(f"side={side}: must be at least 1 cell.")
    if search_px < 0:
        raise InputError(f"search_px={search_px}: must be at least 0 px.")
    # The networks were trained with this floor, which counts in whole cells.
    at = 0.5 * search_px + config.stride * (np.arange(side) - side // 2)
    sizes = np.array(config.sizes)
    grid = np.empty((side, side, len(sizes), 4), np.float32)
    grid[..., 0], grid[..., 1] = at[None, :, None], at[:, None, None]
    grid[..., 2:] = sizes
    return jnp.asarray(grid)


def head_anchors(
    head: RegionHeadSpec, *, side: int, stride: int, search_px: int
) -> Float[Array, "n n k 4"]:
    """Returns the anchors of a region head over a search image.

    Args:
      head: The head, which has ratios and scales.
      side: Cells per side of the response.
      stride: Search pixels per cell.
      search_px: Side of the search image, pixels.

    Returns:
      Boxes (cx, cy, w, h) as from `anchor_grid`; the anchors of a cell are ordered by
      scale, and by ratio within a scale.
    """
    grids = [
        anchor_grid(side, search_px, config=AnchorConfig(head.ratios, scale, stride))
        for scale in map(float, head.scales)
    ]
    return jnp.concatenate(grids, axis=2)


def encode(
    anchors: Float[Array, "*#a 4"], boxes: Float[Array, "*#a 4"]
) -> Float[Array, "... 4"]:
    r"""Returns boxes in the measure of their anchors, as the network regresses them.

    .. math:: \left(\frac{t_x - c_x}{w}, \frac{t_y - c_y}{h},
              \log\frac{t_w}{w}, \log\frac{t_h}{h}\right)

    Args:
      anchors: (cx, cy, w, h), sides above 0.
      boxes: (tx, ty, tw, th) in the same pixels; any leading axes broadcast.

    Returns:
      The "normalized coordinates" of the paper's eq. (5); they are not finite for a
      box without area.

    Example:
      >>> encode(jnp.array([50.0, 50.0, 64.0, 32.0]), jnp.array([66.0, 42.0, 64, 32]))
      Array([ 0.25, -0.25,  0.  ,  0.  ], dtype=float32)

    References:
      Li et al., CVPR 2018, eq. (7)-(8) there; Liu et al., arXiv 1907.10586, eq. (5).
    """
    anchors, boxes = _spread(anchors, boxes)
    shift = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    growth = jnp.log(boxes[..., 2:] / anchors[..., 2:])
    return jnp.concatenate([shift, growth], axis=-1)


def decode(
    anchors: Float[Array, "*#a 4"], deltas: Float[Array, "*#a 4"]
) -> Float[Array, "... 4"]:
    """Returns boxes from what the network regressed: the inverse of `encode`.

    Args:
      anchors: (cx, cy, w, h), sides above 0.
      deltas: Regressed values; any leading axes broadcast.

    Returns:
      Boxes (cx, cy, w, h) in the anchors' pixels, sides above 0; nothing is clipped.

    Example:
      >>> decode(jnp.array([50.0, 50.0, 64.0, 32.0]), jnp.array([0.25, -0.25, 0, 0]))
      Array([66., 42., 64., 32.], dtype=float32)
    """
    anchors, deltas = _spread(anchors, deltas)
    centre = deltas[..., :2] * anchors[..., 2:] + anchors[..., :2]
    return jnp.concatenate(
        [centre, jnp.exp(deltas[..., 2:]) * anchors[..., 2:]], axis=-1
    )


def assign(
    key: Array,
    anchors: Float[Array, "n n k 4"],
    box: Float[Array, " 4"],
    *,
    is_negative: bool | Bool[Array, ""] | Scalar = False,
    config: AssignConfig = _ASSIGN,
) -> Assignment:
    """Returns labels and regression targets of one pair; `vmap` it over a batch.

    If the search crop shows the target, anchors are positive or negative by their
    overlap with it, and a few of each kind are kept at random. If it does not (a
    negative pair), it shows another object, a distractor. A few random anchors around
    that become negatives, and nothing is regressed. By default 16 single anchors are
    drawn out of 7 x 7 x k.

    pysot puts that window one cell to the lower right of the distractor (its index is
    side // 2 + ceil(offset / stride + 0.5)), and so do we. Where the window would lie
    off the map, we move its middle to the nearest cell, so that it is never empty.

    Args:
      key: Key of this example; the same key keeps the same anchors.
      anchors: Anchors from `anchor_grid`.
      box: The target, or the distractor of a negative pair, in the anchors' pixels.
        A box without area, or of NaN, overlaps nothing; a NaN distractor has no window.
      is_negative: Whether the template shows another object; a bool, or 0 and 1.
      config: Bounds of the overlap and numbers of anchors.

    Returns:
      Labels, deltas and weights of every anchor; all are finite whatever the box.

    Raises:
      InputError: If the grid has a single cell.

    Example:
      >>> keys = jax.random.split(jax.random.key(0), 2)
      >>> boxes = jnp.array([[135.5, 135.5, 64.0, 64.0]] * 2)
      >>> grid, negative = anchor_grid(19, 271), jnp.array([False, True])
      >>> batch = jax.vmap(lambda k, b, n: assign(k, grid, b, is_negative=n))
      >>> label = jax.jit(batch)(keys, boxes, negative).label
      >>> [(int((m == 1).sum()), int((m == 0).sum())) for m in label]
      [(9, 48), (0, 16)]

    References:
      Li et al., CVPR 2018 (bounds, 16 positives of 64); negative pairs after Zhu et
      al., "Distractor-aware Siamese networks", ECCV 2018.
    """
    anchors = jnp.asarray(anchors)
    target = jnp.broadcast_to(jnp.asarray(box), anchors.shape)
    overlap = iou(anchors, target)
    absent = jnp.asarray(is_negative).astype(bool)
    positive = (overlap > config.positive_iou) & ~absent
    window = _near_distractor(anchors, jnp.asarray(box), config.window_cells)
    negative = jnp.where(absent, window, overlap < config.negative_iou)
    keys = jax.random.split(key)
    positive = _sample(keys[0], positive, config.positives, config.positives)
    most, beside = config.negatives, jnp.asarray(config.negatives)
    if config.total is not None:
        most, beside = config.total, config.total - jnp.sum(positive)
    allowed = jnp.where(absent, config.window_negatives, beside)
    most = max(most, config.window_negatives)
    negative = _sample(keys[1], negative, most, allowed)
    label = jnp.where(positive, 1, jnp.where(negative, 0, -1)).astype(jnp.int32)
    delta = jnp.where(positive[..., None], encode(anchors, target), 0.0)
    weight = positive.astype(anchors.dtype)
    return Assignment(label, delta, weight / jnp.maximum(jnp.sum(weight), 1.0))


def _spread(*arrays: Array) -> list[Array]:
    """Returns arrays of one shape; jax may be set to refuse implicit rank promotion."""
    shape = jnp.broadcast_shapes(*(array.shape for array in arrays))
    return [jnp.broadcast_to(array, shape) for array in arrays]


def _near_distractor(anchors: Array, box: Array, cells: int) -> Array:
    """Returns which anchors lie in the window of a negative pair; none do for NaN."""
    side, _, k, _ = anchors.shape
    if side < 2:
        raise InputError(f"anchors of {side} cell: give a grid of at least 2 x 2.")
    stride = anchors[0, 1, 0, 0] - anchors[0, 0, 0, 0]
    # The offset is counted from cell 0, which contributes pysot's side // 2.
    middle = jnp.ceil((box[:2] - anchors[0, 0, 0, :2]) / stride + 0.5)
    middle = jnp.clip(middle, 0, side - 1)
    index = jnp.arange(side, dtype=middle.dtype)
    columns, rows = (jnp.abs(index - middle[i]) <= cells // 2 for i in (0, 1))
    near = rows[:, None, None] & columns[None, :, None]
    return jnp.broadcast_to(near, (side, side, k))


def _sample(key: Array, candidates: Array, most: int, allowed: Array | int) -> Array:
    """Keeps `allowed` (at most `most`, which is static) candidates at random."""
    flat = candidates.ravel()
    most = min(most, flat.size)
    priority = jnp.where(flat, jax.random.uniform(key, flat.shape), -1.0)
    # Places are kept rather than all above a threshold, because equal priorities would
    # let one too many through.
    priority, place = jax.lax.top_k(priority, most)
    kept = (priority >= 0.0) & (jnp.arange(most) < allowed)
    return jnp.zeros_like(flat).at[place].set(kept).reshape(candidates.shape)
