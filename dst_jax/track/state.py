"""What a video carries from frame to frame, and what every step says."""

from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
from jaxtyping import Num

from dst_jax.track.config import Tracking
from dst_jax.typing import Array, Float, Int

TRACKED, UNCERTAIN, LOST = 0, 1, 2

FrameSize: TypeAlias = Num[Array, " 2"]


class TrackState(NamedTuple):
    """What a video carries from frame to frame; every field may have a video axis.

    Attributes:
      box: cxcywh, frame pixels.
      memory: What the network keeps of the first frame's target, once a video.
      fill_rgb: Mean colour of the first frame, seen beyond the frame's border.
    """

    box: Float[Array, "*b 4"]
    memory: Any  # a pytree of the network's own
    fill_rgb: Float[Array, "*b 3"]


class TrackOutput(NamedTuple):
    """What a step says.

    Attributes:
      box: cxcywh, frame pixels.
      score: 0 to 1: the sigmoid of SiamFC's highest response, or the probability
        of the box that SiamRPN chose, as the network gave it.
      state: TRACKED, UNCERTAIN or LOST; None if no threshold is set.
    """

    box: Float[Array, "*b 4"]
    score: Float[Array, "*b"]
    state: Int[Array, "*b"] | None


def mean_rgb(
    frame: Num[Array, "h w 3"], *, frame_hw: FrameSize | None = None
) -> Float[Array, " 3"]:
    """Returns the mean colour of the frame proper, without the rest of its canvas."""
    height, width, _ = frame.shape
    hw = jnp.asarray((height, width) if frame_hw is None else frame_hw, jnp.float32)
    rows = jnp.arange(height, dtype=jnp.float32)[:, None, None] < hw[0]
    columns = jnp.arange(width, dtype=jnp.float32)[None, :, None] < hw[1]
    inside = jnp.where(rows & columns, frame.astype(jnp.float32), 0.0)
    # Row by row first: sums of a whole frame would lose the last digits of float32.
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
