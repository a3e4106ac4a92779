"""Takes several videos, or targets of one, through a chunk of frames in one scan."""

from typing import Any

import jax
import jax.numpy as jnp

from dst_jax.models.build import Variables
from dst_jax.models.network import Network
from dst_jax.track.canvases import frames_per_look
from dst_jax.track.config import Tracking
from dst_jax.track.procedure import procedure_of
from dst_jax.track.state import TrackOutput, TrackState
from dst_jax.typing import Array, Bool, Int, UInt8


def track_chunk(
    module: Network,
    variables: Variables,
    state: TrackState,
    frames: UInt8[Array, "t b h w 3"],
    frame_hw: Int[Array, "b 2"],
    use: Bool[Array, "t b"],
    *,
    config: Tracking,
) -> tuple[TrackState, TrackOutput]:
    """Tracks several videos, or targets of one, through a chunk of frames.

    Args:
      module: The network.
      variables: Its weights.
      state: State of each video, or of each target of the only one, before the chunk.
      frames: The chunk, time first.
      frame_hw: Height and width of the frames of each video.
      use: Whether a frame is real and not the first of its video; where it is False
        the box stays.
      config: Online hyper-parameters, whose type decides the procedure.

    Returns:
      The states after the chunk and the outputs of every frame, time first.
    """
    step_many, rows = procedure_of(config).step_many, state.box.shape[0]

    def advance(state: TrackState, frame: Array) -> Any:
        given = (jnp.broadcast_to(x, (rows, *x.shape[1:])) for x in (frame, frame_hw))
        return step_many(module, variables, state, *given, config=config)

    def step(state: TrackState, inputs: Any) -> Any:
        frame, use_now = inputs
        moved, output = advance(state, frame)
        kept = _kept(use_now, state, moved)
        return kept, output._replace(box=kept.box)

    def stay(state: TrackState, inputs: Any) -> Any:
        shape = *inputs[1].shape[:-1], rows
        boxes = jnp.broadcast_to(state.box, (*shape, 4))
        still = jnp.zeros(shape, jnp.int32) if config.has_states else None
        return state, TrackOutput(boxes, jnp.ones(shape, jnp.float32), still)

    def several(state: TrackState, inputs: Any) -> Any:
        return jax.lax.scan(step, state, inputs)

    length = len(use)
    together = frames_per_look(length)
    move = step if together == 1 else several

    def body(state: TrackState, inputs: Any) -> Any:
        # The conditional skips the network for frames that are all padding.
        return jax.lax.cond(inputs[1].any(), move, stay, state, inputs)

    if together == 1:
        return jax.lax.scan(body, state, (frames, use))
    apart = jax.tree.map(
        lambda leaf: leaf.reshape(-1, together, *leaf.shape[1:]), (frames, use)
    )
    state, outputs = jax.lax.scan(body, state, apart)
    return state, jax.tree.map(
        lambda leaf: leaf.reshape(length, *leaf.shape[2:]), outputs
    )


def _kept(use: Bool[Array, " b"], state: TrackState, moved: TrackState) -> TrackState:
    """Returns the new states of the videos in use, and the old ones of the others."""

    def chosen(new: Array | None, old: Array | None) -> Array | None:
        if new is None or old is None:
            return new
        return jnp.where(use.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    names = "box", "search_sides", "lost"
    return moved._replace(
        **{name: chosen(getattr(moved, name), getattr(state, name)) for name in names}
    )
