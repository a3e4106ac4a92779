"""Builds the module of a head from its spec."""

from typing import TypeAlias, assert_never

from dst_jax.arch.heads import (
    CentreHeadSpec,
    CorrelationHeadSpec,
    HeadSpec,
    RegionHeadSpec,
)
from dst_jax.arch.spec import TrackerSpec
from dst_jax.models.heads.centre import CentreHead
from dst_jax.models.heads.channels import HeadChannels
from dst_jax.models.heads.correlation import CorrelationHead
from dst_jax.models.heads.levels import LevelsHead
from dst_jax.models.heads.region import DepthwiseHead, UpChannelHead
from dst_jax.models.kinds import Kinds

Head: TypeAlias = (
    CorrelationHead | UpChannelHead | DepthwiseHead | LevelsHead | CentreHead
)


def build_head(spec: TrackerSpec, kinds: Kinds) -> Head:
    """Returns the module of a tracker's head."""
    match spec.head:
        case CorrelationHeadSpec() as head:
            return CorrelationHead(head, kinds)
        case RegionHeadSpec(form="up_channel") as head:
            return UpChannelHead(head, kinds, spec.template_cells)
        case RegionHeadSpec() as head:
            make = LevelsHead if len(spec.levels) > 1 else DepthwiseHead
            return make(head, kinds)
        case CentreHeadSpec() as head:
            return CentreHead(head, kinds)
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
        case CentreHeadSpec():
            return CentreHead.channels(head)
        case _:
            assert_never(head)
