"""What training tells a network beside the images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dst_jax.typing import Array, Float, Int, Scalar


class Moment(NamedTuple):
    """The moment of a run at which a network is trained.

    Attributes:
      key: Key of the step's random choices, equal on all devices.
      number: Number of each example in the whole run.
      epoch: Epoch of the run, a real number.
    """

    key: Array
    number: Int[Array, " b"]
    epoch: Scalar

    def uniform(self, count: tuple[int, ...]) -> Float[Array, "b ..."]:
        """Returns numbers from [0, 1) of shape `count` for each example.

        They depend on key and number alone, not on the place in the batch.
        """

        def draw(number: Array) -> Array:
            return jax.random.uniform(jax.random.fold_in(self.key, number), count)

        return jax.vmap(draw)(jnp.asarray(self.number))


def share_kept(epoch: Scalar, last: float, *, start: float, over: float) -> Scalar:
    r"""Returns the share of tokens that is kept at an epoch of training.

    .. math:: \rho(e) = \rho + (1 - \rho) \frac{1 + \cos(\pi x)}{2}, \quad
              x = \min\Big(\max\Big(\frac{e - start}{over}, 0\Big), 1\Big)

    Args:
      epoch: e.
      last: rho, the share in the end and in tracking.
      start: Epoch until which all are kept.
      over: Epochs over which the share falls; 0 lets it fall at once.

    Example:
      >>> round(share_kept(jnp.float32(60.0), 0.7, start=20.0, over=80.0).item(), 4)
      0.85
    """
    epoch = jnp.asarray(epoch)
    if over:
        along = jnp.clip((epoch - start) / over, 0.0, 1.0)
    else:
        along = (epoch >= start).astype(epoch.dtype)
    return last + (1.0 - last) * 0.5 * (1.0 + jnp.cos(jnp.pi * along))
