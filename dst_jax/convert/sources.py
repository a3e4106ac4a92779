"""The projects whose weights the package can convert, by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dst_jax.arch import TrackerSpec, named
from dst_jax.convert.dasiamrpn import siamrpn_from_pytorch, siamrpn_spec
from dst_jax.convert.imagenet_resnet import (
    RGB_SCALING,
    resnet_from_pytorch,
    resnet_spec,
)
from dst_jax.convert.ostrack import (
    ostrack_from_pytorch,
    ostrack_spec,
    vit_from_pytorch,
    vit_spec,
    with_positions_of,
)
from dst_jax.convert.pysot import siamrpnpp_from_pytorch, siamrpnpp_spec
from dst_jax.convert.siamdw import (
    siamdw_backbone_from_pytorch,
    siamdw_backbone_spec,
    siamdw_from_pytorch,
    siamdw_spec,
)
from dst_jax.convert.siamfc_pytorch import siamfc_from_pytorch
from dst_jax.errors import InputError

StateDict = Mapping[str, np.ndarray]


class Source(NamedTuple):
    """The functions that convert the weights of one project.

    Attributes:
      recognise: Returns the architecture of a state dict if the user names none.
      convert: Returns the variables and the names that were not used.
      scaling: Fields of the architecture's `InputSpec` that these weights need.
      backbone_alone: Whether the head is not converted and gets fresh weights.
      by_factor: Returns the architecture of a state dict whose search crops show the
        target's size so many times; None where the project has one rule.
      resize: Returns a state dict whose positions fit other crops; None where there are
        no positions.
      note: What is said after the conversion.
    """

    recognise: Callable[[StateDict], TrackerSpec]
    convert: Callable[[StateDict, TrackerSpec], tuple[dict[str, Any], tuple[str, ...]]]
    scaling: Mapping[str, Any] = MappingProxyType({})
    backbone_alone: bool = False
    by_factor: Callable[[StateDict, float], TrackerSpec] | None = None
    resize: Callable[[StateDict, TrackerSpec], dict[str, np.ndarray]] | None = None
    note: str = ""


def _unsaid(state: StateDict) -> TrackerSpec:
    """Raises InputError, because the file does not say how wide search crops are."""
    del state
    raise InputError(
        "the weights do not say how much a search crop shows; give --search-factor 4 "
        "(OSTrack at 256 px) or 5 (at 384 px, and LoReTrack), or --architecture."
    )


SOURCES: Mapping[str, Source] = {
    "siamfc-pytorch": Source(lambda _: named("siamfc-alexnet"), siamfc_from_pytorch),
    "dasiamrpn": Source(siamrpn_spec, siamrpn_from_pytorch),
    "pysot": Source(siamrpnpp_spec, siamrpnpp_from_pytorch),
    "siamdw": Source(siamdw_spec, siamdw_from_pytorch),
    "ostrack": Source(
        _unsaid,
        ostrack_from_pytorch,
        by_factor=ostrack_spec,
        resize=with_positions_of,
        note="its training cannot be resumed: public checkpoints are not read with "
        "their optimizer; begin one with dst-jax distill --init NAME=",
    ),
    "mae": Source(vit_spec, vit_from_pytorch, backbone_alone=True),
    "imagenet-resnet": Source(
        resnet_spec, resnet_from_pytorch, RGB_SCALING, backbone_alone=True
    ),
    "imagenet-resnet-bgr": Source(
        resnet_spec, resnet_from_pytorch, backbone_alone=True
    ),
    "imagenet-siamdw": Source(
        siamdw_backbone_spec, siamdw_backbone_from_pytorch, backbone_alone=True
    ),
}
