"""From a spec to a module, and the typed calls that everybody else uses.

Flax's `apply` returns `Any | tuple`; it is called here and nowhere else.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from dst_jax.arch.spec import RegionHeadSpec, TrackerSpec
from dst_jax.models.heads import Answer, Kernels
from dst_jax.models.layers import kernel_deviation
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
    pair_norm: bool = False,
) -> Siamese:
    """Returns the module of `spec`; equal arguments give equal, hashable modules."""
    return Siamese(spec, dtype, param_dtype, axis_name, pair_norm)


def init_variables(
    key: Array, spec: TrackerSpec, *, param_dtype: DTypeLike = jnp.float32
) -> dict[str, Any]:
    """Returns freshly initialised parameters and running statistics.

    The numbers are drawn on the host: XLA needs seconds to compile a generator for
    every kernel, and NumPy's are the same on every platform. The kernels that an
    up-channel head makes of templates start small: sums over hundreds of products
    would give logits of 20 and boxes far off their anchors.

    Args:
      key: Randomness of the kernels.
      spec: The architecture.
      param_dtype: Of the parameters.

    Returns:
      {"params": ..., "batch_stats": ...}, arrays on the host.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    scale = _head_scale(spec)

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        match path[-1].key:
            case "kernel":
                values = kernel_deviation(leaf.shape) * rng.standard_normal(leaf.shape)
                if path[1].key == "head":
                    values = values * scale.get(path[2].key, 1.0)
            case "scale" | "var":
                values = np.ones(leaf.shape)
            case _:
                values = np.zeros(leaf.shape)
        return values.astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(
        draw, variable_shapes(spec, param_dtype=param_dtype)
    )


def _head_scale(spec: TrackerSpec) -> dict[str, float]:
    """Factors of the first weights of a head's parts, where they are not 1.

    With them the first logits have a spread of about 1, the first offsets of a tenth.
    """
    head = spec.head
    if not isinstance(head, RegionHeadSpec) or head.form != "up_channel":
        return {}
    side = spec.feature_side(spec.input.template_px) - head.kernel + 1
    unit = (side * side * head.features) ** -0.5
    return {"cls1": unit, "r1": 0.1 * unit}


def variable_shapes(
    spec: TrackerSpec, *, param_dtype: DTypeLike = jnp.float32
) -> dict[str, Any]:
    """Shapes and types of all variables; nothing is computed."""
    sides = spec.input.template_px, spec.input.train_search_px
    images = [jax.ShapeDtypeStruct((1, side, side, 3), param_dtype) for side in sides]
    module = build(spec, dtype=param_dtype, param_dtype=param_dtype)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *images)
    # linen makes statistics float32 whatever the parameters are, which then clash
    # with float64 activations.
    wide = np.promote_types(param_dtype, np.float32)
    stats = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, wide),
        shapes.get("batch_stats", {}),
    )
    return {"params": shapes["params"], "batch_stats": stats}


def embed(
    module: Siamese, variables: Variables, images: Float[Array, "b h w 3"]
) -> Features:
    """Stage features of RGB images 0-255, in inference mode."""
    return module.apply(variables, images, method=Siamese.embed)  # pyright: ignore[reportReturnType]


def kernels(module: Siamese, variables: Variables, template: Features) -> Kernels:
    """What the head correlates with, of embedded templates: needed once a video."""
    return module.apply(variables, template, method=Siamese.kernels)  # pyright: ignore[reportReturnType]


def respond(
    module: Siamese, variables: Variables, kernels: Kernels, search: Features
) -> Answer:
    """The head's answer to embedded search images; the kernels' batch may be 1."""
    return module.apply(variables, kernels, search, method=Siamese.respond)  # pyright: ignore[reportReturnType]


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
