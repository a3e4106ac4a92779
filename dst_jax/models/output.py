"""What every network takes and gives: scaled images, answers and taps."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from dst_jax.arch.spec import InputSpec
from dst_jax.models.heads.answers import Answer
from dst_jax.typing import Array, Float


class Output(NamedTuple):
    """The result of a forward pass.

    Attributes:
      answer: The network's answer to the search images.
      taps: Feature maps that a term may look at, under the names "template/MAP" and
        "search/MAP", for example "search/conv5", "search/layer3" or "search/norm". The
        names of a network's maps are those of `TrackerSpec.maps`.
    """

    answer: Answer
    taps: Mapping[str, Float[Array, "_ _ _ _"]]


def scaled(
    images: Float[Array, "b h w 3"], convention: InputSpec
) -> Float[Array, "b h w 3"]:
    """Returns images of RGB 0-255 as the network's convention scales them."""
    mean = jnp.asarray(convention.mean, images.dtype)[None, None, None]
    std = jnp.asarray(convention.std, images.dtype)[None, None, None]
    return (images * convention.scale - mean) / std
