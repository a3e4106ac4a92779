"""Builds a module from a spec and offers typed calls of it.

Flax's `apply` returns `Any | tuple`, so the rest of the package uses these calls.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, assert_never

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import meta
from flax.traverse_util import flatten_dict
from jax.typing import DTypeLike

from dst_jax.arch.backbones.chain import Chain
from dst_jax.arch.backbones.token import TokenBackboneSpec
from dst_jax.arch.spec import TrackerSpec
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.errors import InputError, shortened
from dst_jax.models.heads.answers import Answer, Memory
from dst_jax.models.initial import Declared
from dst_jax.models.moment import Moment
from dst_jax.models.network import Network
from dst_jax.models.onestream import OneStream
from dst_jax.models.output import Output
from dst_jax.models.parts import lies_in
from dst_jax.models.siamese import Siamese
from dst_jax.require import require, require_not_negative, require_one_of
from dst_jax.typing import Array, Float

# Variables are {"params": ..., "batch_stats": ...}, both nested dicts of arrays.
Variables: TypeAlias = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Says how networks of every architecture behave in training.

    Attributes:
      batch_norm: Whether template and search crops are each normalised by their own
        statistics ("image"), as in public trackers, or both by common ones ("pair").
        Inference has one set for both; a region head trained from scratch with
        "image" learns to rely on the difference.
      precision: Type of the computation: that of the parameters ("full") or "bfloat16".
        Softmax, normalisations, answers, taps, losses and parameters stay in float32.
      scan_blocks: Whether equal blocks of a transformer are compiled once, as a loop.
      keep_all_epochs: Epochs in which a transformer keeps the tokens that it
        eliminates later on.
      keep_fall_epochs: Epochs over which the share that it keeps then falls.
      smooth_views: Whether values are smoothed where a network's image is made of a
        larger crop: for crops with context and not for those by area, as in public
        code ("family"), "always" or "never".
      attention: How attention is computed in training: as is usual on the device
        ("auto"), as products over one axis ("plain"), or by JAX's own attention ("xla")
        or cuDNN's ("cudnn", in half precision on NVIDIA's devices).
    """

    batch_norm: Literal["image", "pair"] = "image"
    # The JSON leaves these out at their defaults, so that older runs can go on.
    precision: Literal["full", "bfloat16"] = dataclasses.field(
        default="full", metadata=OMIT_DEFAULT
    )
    scan_blocks: bool = dataclasses.field(default=False, metadata=OMIT_DEFAULT)
    keep_all_epochs: float = dataclasses.field(default=20.0, metadata=OMIT_DEFAULT)
    keep_fall_epochs: float = dataclasses.field(default=80.0, metadata=OMIT_DEFAULT)
    smooth_views: Literal["family", "always", "never"] = dataclasses.field(
        default="family", metadata=OMIT_DEFAULT
    )

    attention: Literal["auto", "plain", "xla", "cudnn"] = dataclasses.field(
        default="auto", metadata=OMIT_DEFAULT
    )

    def __post_init__(self):
        require_one_of(("family", "always", "never"), self, "smooth_views")
        require_one_of(("full", "bfloat16"), self, "precision")
        require_one_of(("auto", "plain", "xla", "cudnn"), self, "attention")
        fits = self.attention != "cudnn" or self.precision == "bfloat16"
        require(fits, self, "attention", 'needs precision="bfloat16"')
        require_not_negative(self, "keep_all_epochs", "keep_fall_epochs")

    @property
    def antialias(self) -> bool | None:
        """Returns the argument of `ops.examples.examples_for`."""
        return {"family": None, "always": True, "never": False}[self.smooth_views]


def build(
    spec: TrackerSpec,
    *,
    dtype: DTypeLike = jnp.float32,
    param_dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    config: ModelConfig = ModelConfig(),
    frozen: tuple[str, ...] = (),
    taps: tuple[str, ...] | None = None,
) -> Siamese | OneStream:
    """Returns the module of `spec`; equal arguments give equal, hashable modules.

    Args:
      spec: The architecture.
      dtype: Type of the computation.
      param_dtype: Type of the parameters.
      axis_name: Device axis over which training synchronises batch normalisation.
      config: Settings for training.
      frozen: Names of parts (`models.parts`), such as "backbone" or "layer1", that do
        not learn: in training they compute as in inference, their statistics stand
        still, and their gradients are zeros for which nothing is computed.
      taps: Names of the maps that are read, such as "q11". None gives all maps, which
        costs nothing unless blocks are scanned: then those that are read are not. The
        last map is always given, and so are all maps of a chain.

    Raises:
      InputError: If a name of `frozen` stands for no part.
    """
    check_parts(spec, frozen, owner="frozen")
    if config.precision == "bfloat16":
        dtype = jnp.bfloat16
    common: Any = {"param_dtype": param_dtype, "axis_name": axis_name, "frozen": frozen}
    match spec.backbone:
        case Chain():
            pairs = config.batch_norm == "pair"
            return Siamese(spec, dtype, pair_norm=pairs, **common)
        case TokenBackboneSpec():
            return OneStream(
                spec,
                dtype,
                taps=taps,
                scanned=config.scan_blocks,
                keep_all_epochs=config.keep_all_epochs,
                keep_fall_epochs=config.keep_fall_epochs,
                attention=None if config.attention == "auto" else config.attention,
                **common,
            )
        case _ as backbone:
            assert_never(backbone)


def check_parts(spec: TrackerSpec, parts: Iterable[str], *, owner: str) -> None:
    """Checks that each name stands for a part that has parameters.

    Args:
      spec: The architecture.
      parts: Names of parts, see `models.parts`.
      owner: What the names were given to, for the message.

    Raises:
      InputError: If a name stands for no part of the network.
    """
    for part in parts:
        if not any(lies_in(path, part) for path in parameter_paths(spec)):
            stages = ", ".join(spec.backbone.stage_names)
            raise InputError(
                f"{owner}: {shortened(part)} names no part of the network; there are "
                f"backbone, {stages}, head, and what lies in these, such as "
                f"{'/'.join(parameter_paths(spec)[0][:3])}."
            )


@functools.lru_cache(maxsize=64)
def parameter_paths(spec: TrackerSpec) -> tuple[tuple[str, ...], ...]:
    """Returns the paths of all parameters of a network, as keys from the root."""
    shapes: Any = variable_shapes(spec)["params"]
    return tuple(flatten_dict(shapes))


def init_variables(
    key: Array, spec: TrackerSpec, *, param_dtype: DTypeLike = jnp.float32
) -> dict[str, Any]:
    """Returns freshly initialised parameters and running statistics.

    The numbers are drawn on the host: XLA needs seconds to compile a generator for
    every kernel, and NumPy's are the same on every platform. The modules declare how
    their parameters are drawn (`models.initial`). Without a declaration, scales and
    variances begin at 1 and everything else at 0.

    Args:
      key: Randomness of the kernels.
      spec: The architecture.
      param_dtype: Type of the parameters.

    Returns:
      {"params": ..., "batch_stats": ...}, arrays on the host.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))

    def draw(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        if isinstance(leaf, Declared):
            shape, dtype = leaf.value.shape, leaf.value.dtype
            if leaf.uniform:
                unit = rng.uniform(-(3.0**0.5), 3.0**0.5, shape)
            else:
                unit = rng.standard_normal(shape)
            values = leaf.deviation * unit * leaf.gain
            return (values + leaf.mean).astype(dtype)
        ones = path[-1].key in ("scale", "var")
        return (np.ones if ones else np.zeros)(leaf.shape, leaf.dtype)

    declared = _declared_shapes(spec, param_dtype=param_dtype)
    return jax.tree_util.tree_map_with_path(draw, declared, is_leaf=_is_declared)


def variable_shapes(
    spec: TrackerSpec, *, param_dtype: DTypeLike = jnp.float32
) -> dict[str, Any]:
    """Returns shapes and types of all variables without computing any."""
    return meta.unbox(_declared_shapes(spec, param_dtype=param_dtype))


def _is_declared(leaf: Any) -> bool:
    return isinstance(leaf, Declared)


def _declared_shapes(spec: TrackerSpec, *, param_dtype: DTypeLike) -> dict[str, Any]:
    """Returns shapes and types of all variables with the modules' declarations."""
    sides = spec.input.template_px, spec.input.train_search_px
    images = [jax.ShapeDtypeStruct((1, side, side, 3), param_dtype) for side in sides]
    module = build(spec, dtype=param_dtype, param_dtype=param_dtype)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *images)
    # Flax makes statistics float32 whatever the type of the parameters is, which does
    # not fit float64 activations.
    wide = np.promote_types(param_dtype, np.float32)
    stats = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, wide),
        shapes.get("batch_stats", {}),
    )
    return {"params": shapes["params"], "batch_stats": stats}


def remember(
    module: Network, variables: Variables, template: Float[Array, "k h w 3"]
) -> Memory:
    """Returns the memory of template images, RGB 0-255; one call serves a video."""
    return module.apply(variables, template, method="remember")  # pyright: ignore[reportReturnType]


def respond(
    module: Network,
    variables: Variables,
    memory: Memory,
    search: Float[Array, "b h w 3"],
) -> Answer:
    """Returns the answer to search images, RGB 0-255; the memory's batch may be 1."""
    return module.apply(variables, memory, search, method="respond")  # pyright: ignore[reportReturnType]


def forward(
    module: Network,
    variables: Variables,
    template: Float[Array, "k h w 3"],
    search: Float[Array, "b u v 3"],
) -> Output:
    """Returns answer and taps of pairs of images, RGB 0-255, in inference mode."""
    return module.apply(variables, template, search)  # pyright: ignore[reportReturnType]


def forward_train(
    module: Network,
    variables: Variables,
    template: Float[Array, "b h w 3"],
    search: Float[Array, "b u v 3"],
    *,
    moment: Moment | None = None,
) -> tuple[Output, dict[str, Any]]:
    """Returns answer and taps in training mode, and the new running statistics.

    Args:
      module: The network.
      variables: Its variables.
      template: Template images, RGB 0-255.
      search: Search images, RGB 0-255.
      moment: Moment of the training, for what a network draws at random or does only
        from some epoch on; None for neither.
    """
    output, mutated = module.apply(
        variables, template, search, train=True, moment=moment, mutable=["batch_stats"]
    )
    return output, mutated.get("batch_stats", {})  # pyright: ignore[reportReturnType]
