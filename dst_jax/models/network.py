"""The interface of every network: three calls and its spec."""

from typing import Any, Protocol, runtime_checkable

from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.heads.answers import Answer
from dst_jax.models.moment import Moment
from dst_jax.models.output import Output
from dst_jax.typing import Array, Float


@runtime_checkable
class Network(Protocol):
    """A Flax module that follows a target from a template through search images.

    Attributes:
      spec: The architecture.
    """

    spec: TrackerSpec

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns what one of the other calls returns with these variables."""
        ...

    # A memory is any pytree whose leaves have the templates' batch as first axis.
    def remember(self, template: Float[Array, "k h w 3"], *, train: bool) -> Any:
        """Returns the memory of template images, which is made once a video."""
        ...

    def respond(
        self, memory: Any, search: Float[Array, "b h w 3"], *, train: bool
    ) -> Answer:
        """Returns the answer to search images."""
        ...

    def __call__(
        self,
        template: Float[Array, "k h w 3"],
        search: Float[Array, "b u v 3"],
        *,
        train: bool,
        moment: Moment | None,
    ) -> Output:
        """Returns the answer and the taps of pairs of images."""
        ...
