"""What every network offers, whatever is inside: three calls and its spec."""

from typing import Any, Protocol

from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.heads.answers import Answer
from dst_jax.models.siamese import Output
from dst_jax.typing import Array, Float


class Network(Protocol):
    """A Flax module that follows a target from a template through search images.

    Attributes:
      spec: The architecture.
    """

    spec: TrackerSpec

    # What it remembers is a pytree of its own; leaves have the templates' batch first.
    def remember(self, template: Float[Array, "k h w 3"], *, train: bool) -> Any:
        """Returns what the network keeps of templates, once a video."""
        ...

    def respond(
        self, memory: Any, search: Float[Array, "b h w 3"], *, train: bool
    ) -> Answer:
        """Returns what the network says of search images."""
        ...

    def __call__(
        self,
        template: Float[Array, "k h w 3"],
        search: Float[Array, "b u v 3"],
        *,
        train: bool,
    ) -> Output:
        """Returns the answer and the taps of a pair."""
        ...
