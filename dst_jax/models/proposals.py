"""Turns the answers of networks into boxes; no other place decodes them."""

from typing import NamedTuple, assert_never

import jax.numpy as jnp
import numpy as np

from dst_jax.arch.heads import RegionHeadSpec
from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.heads.answers import (
    Answer,
    CellAnswer,
    CentreAnswer,
    RegionAnswer,
)
from dst_jax.ops.anchors import decode, head_anchors
from dst_jax.typing import Array, Float


class Proposals(NamedTuple):
    """Boxes that a network proposes, n for each search image.

    Attributes:
      boxes: (cx, cy, w, h) in pixels of the search image, [b, n, 4]. Cells come row by
        row, and within a cell its anchors in their order.
      scores: Log-odds that the box holds the target, [b, n].
    """

    boxes: Float[Array, "b n 4"]
    scores: Float[Array, "b n"]


def proposals(
    spec: TrackerSpec,
    answer: Answer,
    *,
    search_px: int,
    size: Float[Array, "b 2"] | None = None,
) -> Proposals:
    """Returns all boxes of an answer and their scores, neither chosen nor clipped.

    Args:
      spec: The architecture that answered.
      answer: Its answer to a batch of search images.
      search_px: Side of these images.
      size: Width and height of the last known target, in pixels of the search image.
        A network that proposes no boxes gets a box of this size at each of its cells;
        None gives boxes of size 0.
    """
    batch = answer.response.shape[0]
    match answer:
        case CellAnswer(response=response):
            centres = _cell_centres(spec, response.shape[-1], search_px)
            centres = jnp.broadcast_to(
                centres.astype(response.dtype)[None], (batch, *centres.shape)
            )
            sides = jnp.zeros((batch, 2)) if size is None else jnp.asarray(size)
            sides = jnp.broadcast_to(
                sides[:, None].astype(response.dtype), centres.shape
            )
            boxes = jnp.concatenate([centres, sides], axis=-1)
            return Proposals(boxes, response.reshape(batch, -1))
        case RegionAnswer(response=response, offsets=offsets):
            head, grid = spec.head, spec.grid(search_px)
            assert isinstance(head, RegionHeadSpec)  # no other head gives this answer
            anchors = head_anchors(
                head, side=grid.side, stride=grid.stride, search_px=search_px
            )
            boxes = decode(anchors[None], offsets).reshape(batch, -1, 4)
            # With two classes, the difference of the logits is the log-odds.
            odds = response[..., 1] - response[..., 0]
            return Proposals(boxes, odds.reshape(batch, -1))
        case CentreAnswer(response=response, offsets=offsets):
            side = response.shape[-1]
            cells = jnp.arange(side, dtype=offsets.dtype)
            corners = jnp.stack(jnp.meshgrid(cells, cells), axis=-1)[None]
            centres = (corners + offsets[..., :2]) / side
            boxes = jnp.concatenate([centres, offsets[..., 2:]], axis=-1) * search_px
            return Proposals(boxes.reshape(batch, -1, 4), response.reshape(batch, -1))
        case _:
            assert_never(answer)


def _cell_centres(spec: TrackerSpec, side: int, search_px: int) -> Float[Array, "n 2"]:
    """Returns the centres of response cells, row by row, pixels of the search image."""
    offset = spec.backbone.total_stride * (np.arange(side) - 0.5 * (side - 1))
    along = 0.5 * search_px + offset
    columns, rows = np.meshgrid(along, along)
    return np.stack([columns.ravel(), rows.ravel()], axis=-1)
