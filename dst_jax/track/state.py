"""The state of a tracked video, and the output of every step."""

from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
from jaxtyping import Num

from dst_jax.track.config import Tracking
from dst_jax.typing import Array, Bool, Float, Int

TRACKED, UNCERTAIN, LOST = 0, 1, 2
# The first frame after LOST in which a search over several windows has succeeded.
FOUND_AGAIN = 3

FrameSize: TypeAlias = Num[Array, " 2"]


class TrackState(NamedTuple):
    """The state of a video between frames; every field may have a video axis.

    Attributes:
      box: The last box, cxcywh in frame pixels.
      memory: The network's memory of the target in the first frame.
      fill_rgb: Colour that fills crops beyond the frame's border, from the mean colour
        of the first frame.
      search_sides: Sides of the search window at the target's own scale, now and in the
        first frame, frame pixels; None where the window follows from the box.
      lost: Whether the target was lost in the last frame; None where lost targets are
        searched like all others.
    """

    box: Float[Array, "*b 4"]
    memory: Any  # a pytree whose structure is the network's
    fill_rgb: Float[Array, "*b 3"]
    search_sides: Float[Array, "*b 2"] | None = None
    lost: Bool[Array, "*b"] | None = None


class TrackOutput(NamedTuple):
    """The output of a step.

    Attributes:
      box: The new box, cxcywh in frame pixels.
      score: Score from 0 to 1. It is the sigmoid of SiamFC's highest response, or the
        probability that the network gave to the box that SiamRPN chose.
      state: TRACKED, UNCERTAIN or LOST, and with `Tracking.lost_search` FOUND_AGAIN;
        None if no threshold is set.
    """

    box: Float[Array, "*b 4"]
    score: Float[Array, "*b"]
    state: Int[Array, "*b"] | None


def mean_rgb(
    frame: Num[Array, "h w 3"], *, frame_hw: FrameSize | None = None
) -> Float[Array, " 3"]:
    """Returns the mean colour of a frame, without the rest of its canvas."""
    height, width, _ = frame.shape
    hw = jnp.asarray((height, width) if frame_hw is None else frame_hw, jnp.float32)
    rows = jnp.arange(height, dtype=jnp.float32)[:, None, None] < hw[0]
    columns = jnp.arange(width, dtype=jnp.float32)[None, :, None] < hw[1]
    inside = jnp.where(rows & columns, frame.astype(jnp.float32), 0.0)
    # Rows are summed first: a sum over a whole frame would lose digits of float32.
    return (inside.sum(axis=1) / hw[1]).sum(axis=0) / hw[0]


def judge(scores: Float[Array, "*b"], config: Tracking) -> Int[Array, "*b"] | None:
    """Returns TRACKED, UNCERTAIN or LOST by the thresholds; None if none is set."""
    if not config.has_states:
        return None
    states = jnp.full(scores.shape, TRACKED, jnp.int32)
    if config.uncertain_below is not None:
        states = jnp.where(scores < config.uncertain_below, UNCERTAIN, states)
    if config.lost_below is not None:
        states = jnp.where(scores < config.lost_below, LOST, states)
    return states
