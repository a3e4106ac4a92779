"""How a module declares the spread of its parameters' first values."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.core.meta
import flax.struct
import jax
from jax.typing import DTypeLike

from dst_jax.typing import Array


class Declared(flax.struct.PyTreeNode, flax.core.meta.AxisMetadata[Any]):
    """A parameter on its way out of a module's `init`, with what was declared of it.

    Modules see the value alone. `models.build` reads the declaration, and draws the
    first values on the host.

    Attributes:
      value: The parameter.
      deviation: Standard deviation of its first values.
      gain: Factor on them.
    """

    value: Any
    deviation: float = flax.struct.field(pytree_node=False)
    gain: float = flax.struct.field(pytree_node=False)

    def unbox(self) -> Any:
        """Returns the parameter."""
        return self.value

    def replace_boxed(self, val: Any) -> "Declared":
        """Returns the same declaration of another value."""
        return self.replace(value=val)

    def add_axis(self, index: int, params: Any) -> "Declared":
        """Returns itself: a deviation has no axes."""
        del index, params
        return self

    def remove_axis(self, index: int, params: Any) -> "Declared":
        """Returns itself: a deviation has no axes."""
        del index, params
        return self


@dataclasses.dataclass(frozen=True)
class Normal:
    """An initialiser that draws from a normal distribution and declares its spread.

    Attributes:
      deviation: Standard deviation of a parameter of the given shape.
      gain: Factor on the values drawn.
    """

    deviation: Callable[[Sequence[int]], float]
    gain: float = 1.0

    def __call__(self, key: Array, shape: Sequence[int], dtype: DTypeLike) -> Declared:
        """Returns first values of `shape` and the declaration."""
        spread = self.deviation(shape)
        values = spread * self.gain * jax.random.normal(key, shape, dtype)
        return Declared(values, spread, self.gain)
