"""Searches a lost target in several windows around the place where it was lost.

It holds for every family, because it only calls the family's own step from other
places: windows keep the size and scale that the network knows. Neighbouring windows
overlap by half, since all families trust the edge of a window less than its middle.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Num

from dst_jax.models.build import Variables
from dst_jax.models.network import Network
from dst_jax.track.config import Tracking
from dst_jax.track.state import FOUND_AGAIN, LOST, TrackOutput, TrackState
from dst_jax.typing import Array, Bool, Float

# Takes several videos through a frame, see `Procedure.step_many`.
Step: TypeAlias = Callable[..., tuple[TrackState, TrackOutput]]


class _Move(NamedTuple):
    """What a step decides of each video."""

    box: Float[Array, "b 4"]
    search_sides: Float[Array, "b 2"] | None
    score: Float[Array, " b"]


def step_many(
    step: Step,
    module: Network,
    variables: Variables,
    state: TrackState,
    frames: Num[Array, "b h w 3"],
    frame_hw: Num[Array, "b 2"],
    *,
    config: Tracking,
) -> tuple[TrackState, TrackOutput]:
    """Returns states and outputs of several videos after their next frame.

    All take the family's own step, and what is lost does so from other places too. What
    is neither lost nor uncertain then is FOUND_AGAIN where it was. Else the box of the
    highest score elsewhere is taken if that is enough, FOUND_AGAIN too. Else all is as
    without the search.

    Args:
      step: The family's step.
      module: The network.
      variables: Its weights.
      state: One state per video, which says what is lost.
      frames: RGB 0-255, one frame per video, on canvases of one size.
      frame_hw: Height and width of each frame in its canvas.
      config: Online hyper-parameters.
    """
    lost = state.lost
    assert lost is not None and config.lost_below is not None

    def advance(state: TrackState) -> tuple[_Move, TrackState, Array | None]:
        given = module, variables, state, frames, frame_hw
        moved, output = step(*given, config=config)
        return _Move(moved.box, moved.search_sides, output.score), moved, output.state

    def around() -> _Move:
        def one(shift: Array) -> _Move:
            return advance(_shifted(module, state, shift, frame_hw))[0]

        # One window after the other: the frames are not copied for each.
        shifts = jnp.asarray(window_shifts(config.lost_search))
        return _best(own, jax.lax.map(one, shifts))

    own, moved, judged = advance(state)
    assert judged is not None
    # The other windows cost nothing while no video of the batch is lost.
    best = jax.lax.cond(lost.any(), around, lambda: own)
    sure = max(config.lost_below, config.uncertain_below or 0.0)
    here = lost & (own.score >= sure)
    # Of many windows the best is high by chance, so that more may be asked of it.
    enough = sure if config.found_above is None else config.found_above
    elsewhere = lost & ~here & (best.score >= enough)
    taken = _where(elsewhere, best, own)
    said = jnp.where(here | elsewhere, FOUND_AGAIN, judged)
    moved = moved._replace(
        box=taken.box, search_sides=taken.search_sides, lost=said == LOST
    )
    return moved, TrackOutput(taken.box, taken.score, said)


def window_shifts(width: int) -> Float[np.ndarray, "n 2"]:
    """Returns where further windows lie, in sides of one: half a side apart.

    Args:
      width: Widths of a window that they cover together with the middle one.

    Example:
      >>> window_shifts(2).tolist()[:4]
      [[-0.5, -0.5], [0.0, -0.5], [0.5, -0.5], [-0.5, 0.0]]
    """
    steps = 0.5 * np.arange(1 - width, width, dtype=np.float32)
    shifts = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return shifts[(shifts != 0.0).any(axis=1)]


def _shifted(
    module: Network, state: TrackState, shift: Array, frame_hw: Num[Array, "b 2"]
) -> TrackState:
    """Returns states whose boxes are shifted by sides of windows, within the frame."""
    box, sides = state.box, state.search_sides
    side = module.spec.input.search_side(box[:, 2:]) if sides is None else sides[:, 0]
    most = frame_hw[:, ::-1].astype(box.dtype)
    centre = jnp.clip(box[:, :2] + shift[None] * side[:, None], 0.0, most)
    return state._replace(box=jnp.concatenate([centre, box[:, 2:]], axis=1))


def _best(own: _Move, others: _Move) -> _Move:
    """Returns the moves of the highest score, of each video for itself."""
    every: Any = jax.tree.map(
        lambda one, more: jnp.concatenate([one[None], more]), own, others
    )
    best = every.score.argmax(axis=0)
    return jax.tree.map(lambda leaf: leaf[best, jnp.arange(len(best))], every)


def _where(which: Bool[Array, " b"], one: _Move, other: _Move) -> _Move:
    """Returns by video one move or the other."""

    def chosen(a: Array, b: Array) -> Array:
        return jnp.where(which.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(chosen, one, other)
