"""Settings that all modules of a network share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax.typing import DTypeLike

from dst_jax.models.parts import lies_in_any


class Kinds(NamedTuple):
    """Settings that all modules of a network share.

    Attributes:
      dtype: Type of the computation.
      param_dtype: Type of the parameters.
      axis_name: Device axis over which training synchronises batch normalisation.
      norm_epsilon: Constant added to the variance in batch normalisation.
      norm_momentum: Share of the old running statistic that an update keeps.
      frozen: Names of the parts that do not learn.
    """

    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None
    norm_epsilon: float
    norm_momentum: float
    frozen: tuple[str, ...] = ()

    def holds(self, path: Sequence[str]) -> bool:
        """Returns whether the module or parameter of a path is frozen."""
        return lies_in_any(path, self.frozen)

    def learnt(self, path: Sequence[str], value: Any) -> Any:
        """Returns a parameter, as a constant for the gradient where it is frozen."""
        return jax.lax.stop_gradient(value) if self.holds(path) else value
