"""From a spec to a module, and the typed calls that everybody else uses.

Flax's `apply` returns `Any | tuple`; it is called here and nowhere else.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.siamese import Features, Output, Siamese
from dst_jax.typing import Array, Float

# {"params": ..., "batch_stats": ...}, both nested dicts of arrays.
Variables: TypeAlias = Mapping[str, Any]


def build(
    spec: TrackerSpec,
    *,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
) -> Siamese:
    """Returns the module of `spec`; equal arguments give equal, hashable modules."""
    return Siamese(spec, dtype=dtype, param_dtype=param_dtype, axis_name=axis_name)


def init_variables(
    key: Array, spec: TrackerSpec, *, param_dtype: DTypeLike = jnp.float32
) -> dict[str, Any]:
    """Returns freshly initialised parameters and running statistics.

    Args:
      key: Randomness of the kernels.
      spec: The architecture.
      param_dtype: Of the parameters.

    Returns:
      {"params": ..., "batch_stats": ...}.
    """
    template = jnp.zeros((1, spec.input.template_px, spec.input.template_px, 3))
    search = jnp.zeros((1, spec.input.train_search_px, spec.input.train_search_px, 3))
    module = build(spec, dtype=param_dtype, param_dtype=param_dtype)
    init = jax.jit(lambda key: module.init(key, template, search))
    variables = init(key)
    return {
        "params": variables["params"],
        "batch_stats": variables.get("batch_stats", {}),
    }


def embed(
    module: Siamese, variables: Variables, images: Float[Array, "b h w 3"]
) -> Features:
    """Stage features of RGB images 0-255, in inference mode."""
    return module.apply(variables, images, method=Siamese.embed)  # pyright: ignore[reportReturnType]


def respond(
    module: Siamese, variables: Variables, template: Features, search: Features
) -> Output:
    """The response to embedded images; the template's batch may be 1."""
    response = module.apply(variables, template, search, method=Siamese.respond)
    return Output(response, template, search)  # pyright: ignore[reportArgumentType]


def forward(
    module: Siamese,
    variables: Variables,
    template: Float[Array, "k h w 3"],
    search: Float[Array, "b u v 3"],
) -> Output:
    """Embeds and responds, in inference mode."""
    return module.apply(variables, template, search)  # pyright: ignore[reportReturnType]


def forward_train(
    module: Siamese,
    variables: Variables,
    template: Float[Array, "b h w 3"],
    search: Float[Array, "b u v 3"],
) -> tuple[Output, dict[str, Any]]:
    """Embeds and responds in training mode; returns new running statistics too."""
    output, mutated = module.apply(
        variables, template, search, train=True, mutable=["batch_stats"]
    )
    return output, mutated.get("batch_stats", {})  # pyright: ignore[reportReturnType]
