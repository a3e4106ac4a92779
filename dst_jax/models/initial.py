"""Modules declare here the spread of their parameters' first values."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.core.meta
import flax.struct
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.typing import Array


class Declared(flax.struct.PyTreeNode, flax.core.meta.AxisMetadata[Any]):
    """A parameter as a module's `init` returns it, with its declaration.

    Modules see the value alone. `models.build` reads the declaration and draws the
    first values on the host.

    Attributes:
      value: The parameter.
      deviation: Standard deviation of its first values, before the gain.
      gain: Factor on the first values.
      mean: Their mean, which is added last.
      uniform: Whether they are drawn from a uniform distribution, not a normal one.
    """

    value: Any
    deviation: float = flax.struct.field(pytree_node=False)
    gain: float = flax.struct.field(pytree_node=False)
    mean: float = flax.struct.field(pytree_node=False, default=0.0)
    uniform: bool = flax.struct.field(pytree_node=False, default=False)

    def unbox(self) -> Any:
        """Returns the parameter."""
        return self.value

    def replace_boxed(self, val: Any) -> "Declared":
        """Returns the same declaration with another value."""
        return self.replace(value=val)

    def add_axis(self, index: int, params: Any) -> "Declared":
        """Returns itself, because a deviation has no axes."""
        del index, params
        return self

    def remove_axis(self, index: int, params: Any) -> "Declared":
        """Returns itself, because a deviation has no axes."""
        del index, params
        return self


@dataclasses.dataclass(frozen=True)
class Normal:
    """An initialiser that draws from a normal distribution and declares its spread.

    Attributes:
      deviation: Function from a parameter's shape to its standard deviation.
      gain: Factor on the drawn values.
      uniform: Whether a uniform distribution of that deviation takes its place.
    """

    deviation: Callable[[Sequence[int]], float]
    gain: float = 1.0
    uniform: bool = False

    def __call__(self, key: Array, shape: Sequence[int], dtype: DTypeLike) -> Declared:
        """Returns first values of `shape` together with the declaration."""
        spread = self.deviation(shape)
        if self.uniform:
            values = jax.random.uniform(key, shape, dtype, -(3**0.5), 3**0.5)
        else:
            values = jax.random.normal(key, shape, dtype)
        values = spread * self.gain * values
        return Declared(values, spread, self.gain, uniform=self.uniform)


@dataclasses.dataclass(frozen=True)
class Constant:
    """An initialiser that gives one number everywhere and declares it.

    Attributes:
      value: The number.
    """

    value: float

    def __call__(self, key: Array, shape: Sequence[int], dtype: DTypeLike) -> Declared:
        """Returns first values of `shape` together with the declaration."""
        del key
        return Declared(jnp.full(shape, self.value, dtype), 0.0, 0.0, self.value)
