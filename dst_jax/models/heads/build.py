"""Builds the module of a head from its spec."""

from typing import NamedTuple, TypeAlias, assert_never

from jax.typing import DTypeLike

from dst_jax.arch.heads import CorrelationHeadSpec, HeadSpec, RegionHeadSpec
from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.heads.channels import HeadChannels
from dst_jax.models.heads.correlation import CorrelationHead
from dst_jax.models.heads.levels import LevelsHead
from dst_jax.models.heads.region import DepthwiseHead, UpChannelHead

Head: TypeAlias = CorrelationHead | UpChannelHead | DepthwiseHead | LevelsHead


class Kinds(NamedTuple):
    """Settings that all parts of a network share.

    Attributes:
      dtype: Type of the computation.
      param_dtype: Type of the parameters.
      axis_name: Device axis over which training synchronises batch normalisation.
    """

    dtype: DTypeLike
    param_dtype: DTypeLike
    axis_name: str | None


def build_head(spec: TrackerSpec, kinds: Kinds) -> Head:
    """Returns the module of a tracker's head."""
    match spec.head:
        case CorrelationHeadSpec() as head:
            return CorrelationHead(head, kinds.param_dtype)
        case RegionHeadSpec(form="up_channel") as head:
            return UpChannelHead(
                head, spec.template_cells, kinds.dtype, kinds.param_dtype
            )
        case RegionHeadSpec() as head:
            backbone = spec.backbone
            norm = backbone.norm_epsilon, backbone.norm_momentum
            make = LevelsHead if len(spec.levels) > 1 else DepthwiseHead
            return make(head, *norm, *kinds)
        case _ as head:
            assert_never(head)


def head_channels(head: HeadSpec) -> dict[str, HeadChannels]:
    """Returns, by name, the layers of a head whose channels follow from its width."""
    match head:
        case CorrelationHeadSpec():
            return CorrelationHead.channels(head)
        case RegionHeadSpec(form="up_channel"):
            return UpChannelHead.channels(head)
        case RegionHeadSpec():
            return DepthwiseHead.channels(head)
        case _:
            assert_never(head)
