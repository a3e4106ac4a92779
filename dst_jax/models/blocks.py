"""Blocks of a transformer: their parameters, and what is computed with these.

A module declares a block's parameters and returns them as values, so that blocks of
equal form may be computed one by one or, with their values stacked, in one loop.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from dst_jax.arch.backbones.token import TokenBackboneSpec
from dst_jax.models.initial import Normal
from dst_jax.models.kinds import Kinds
from dst_jax.ops.attention import Formulation, attention
from dst_jax.ops.precision import at_least_single
from dst_jax.typing import Array, Bool, Float


def _twentieth(shape: Sequence[int]) -> float:
    """Returns the standard deviation of fresh linear layers and positions."""
    del shape
    return 0.02


# Public code cuts this distribution at -2 and 2, which are 100 deviations away.
FIRST = Normal(_twentieth)


class LinearValues(NamedTuple):
    """Parameters of a linear layer.

    Attributes:
      kernel: Weights, [inputs, outputs].
      bias: Constants, [outputs].
    """

    kernel: Array
    bias: Array

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n e"]:
        """Returns the layer's outputs, in the type of `x`."""
        made = jnp.asarray(x) @ self.kernel.astype(x.dtype)
        return made + self.bias.astype(x.dtype)[None, None]


class NormValues(NamedTuple):
    """Parameters of a layer normalisation.

    Attributes:
      scale: Factors, [d].
      bias: Constants, [d].
    """

    scale: Array
    bias: Array

    def __call__(
        self, x: Float[Array, "b n d"], *, epsilon: float
    ) -> Float[Array, "b n d"]:
        """Returns the tokens with mean 0 and deviation 1, scaled and shifted.

        Args:
          x: Tokens.
          epsilon: Constant that is added to the variance.

        Returns:
          Tokens in float32 at least.
        """
        exact = at_least_single(x.dtype)
        x = x.astype(exact)
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        unit = centred * jax.lax.rsqrt(variance + epsilon)
        scale, bias = (one.astype(exact)[None, None] for one in self)
        return unit * scale + bias


class BlockValues(NamedTuple):
    """Parameters of a block, under the names of their modules."""

    norm1: NormValues
    qkv: LinearValues
    proj: LinearValues
    norm2: NormValues
    fc1: LinearValues
    fc2: LinearValues


class Linear(nn.Module):
    """Parameters of a linear layer.

    Attributes:
      inputs: Channels that it reads.
      outputs: Channels that it gives.
      kinds: Settings that all modules share.
    """

    inputs: int
    outputs: int
    kinds: Kinds

    @nn.compact
    def __call__(self) -> LinearValues:
        """Returns the parameters, which are constants where the layer is frozen."""
        shape, dtype = (self.inputs, self.outputs), self.kinds.param_dtype
        kernel: Any = self.param("kernel", FIRST, shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.outputs,), dtype)
        learnt = self.kinds.learnt
        return LinearValues(
            learnt((*self.path, "kernel"), kernel), learnt((*self.path, "bias"), bias)
        )


class Norm(nn.Module):
    """Parameters of a layer normalisation.

    Attributes:
      width: Channels.
      kinds: Settings that all modules share.
    """

    width: int
    kinds: Kinds

    @nn.compact
    def __call__(self) -> NormValues:
        """Returns the parameters, which are constants where the layer is frozen."""
        shape, dtype = (self.width,), self.kinds.param_dtype
        scale = self.param("scale", nn.initializers.ones, shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, dtype)
        learnt = self.kinds.learnt
        return NormValues(
            learnt((*self.path, "scale"), scale), learnt((*self.path, "bias"), bias)
        )


class Block(nn.Module):
    """Parameters of a block.

    Attributes:
      spec: The backbone.
      kinds: Settings that all modules share.
    """

    spec: TokenBackboneSpec
    kinds: Kinds

    @nn.compact
    def __call__(self) -> BlockValues:
        """Returns the parameters."""
        width, kinds = self.spec.width, self.kinds
        inner = self.spec.mlp * width
        return BlockValues(
            norm1=Norm(width, kinds, name="norm1")(),
            qkv=Linear(width, 3 * width, kinds, name="qkv")(),
            proj=Linear(width, width, kinds, name="proj")(),
            norm2=Norm(width, kinds, name="norm2")(),
            fc1=Linear(width, inner, kinds, name="fc1")(),
            fc2=Linear(inner, width, kinds, name="fc2")(),
        )


class Projected(NamedTuple):
    """Queries, keys and values of all tokens, with the heads side by side.

    Attributes:
      q: Queries before their scaling, [b, n, d].
      k: Keys.
      v: Values.
    """

    q: Array
    k: Array
    v: Array


def attend(
    block: BlockValues,
    tokens: Float[Array, "b n d"],
    spec: TokenBackboneSpec,
    *,
    kept: Bool[Array, "b n"] | None = None,
    path: Float[Array, " b"] | None = None,
    formulation: Formulation | None = None,
) -> tuple[Float[Array, "b n d"], Projected]:
    """Returns the tokens after the first half of a block, the attention.

    Args:
      block: Parameters of the block.
      tokens: Tokens of both images.
      spec: The backbone.
      kept: Whether others attend to a token; None means that they do.
      path: Factor of each example on what is added, 0 where it drops; None means 1.
      formulation: That of `ops.attention`.

    Returns:
      The tokens, and their queries, keys and values.
    """
    shown = block.norm1(tokens, epsilon=spec.norm_epsilon).astype(tokens.dtype)
    found = Projected(*jnp.split(block.qkv(shown), 3, axis=-1))
    gathered = attention(*found, heads=spec.heads, kept=kept, formulation=formulation)
    return tokens + _along(path, block.proj(gathered)), found


def feed(
    block: BlockValues,
    tokens: Float[Array, "b n d"],
    spec: TokenBackboneSpec,
    *,
    path: Float[Array, " b"] | None = None,
) -> Float[Array, "b n d"]:
    """Returns the tokens after the second half of a block, which reads each alone.

    Args:
      block: Parameters of the block.
      tokens: Tokens of both images.
      spec: The backbone.
      path: Factor of each example on what is added; None means 1.
    """
    shown = block.norm2(tokens, epsilon=spec.norm_epsilon).astype(tokens.dtype)
    inside = jax.nn.gelu(block.fc1(shown), approximate=False)
    return tokens + _along(path, block.fc2(inside))


def _along(path: Array | None, added: Array) -> Array:
    return added if path is None else path[:, None, None].astype(added.dtype) * added
