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
from dst_jax.convert.pysot import siamrpnpp_from_pytorch, siamrpnpp_spec
from dst_jax.convert.siamdw import (
    siamdw_backbone_from_pytorch,
    siamdw_backbone_spec,
    siamdw_from_pytorch,
    siamdw_spec,
)
from dst_jax.convert.siamfc_pytorch import siamfc_from_pytorch

StateDict = Mapping[str, np.ndarray]


class Source(NamedTuple):
    """The functions that convert the weights of one project.

    Attributes:
      recognise: Returns the architecture of a state dict if the user names none.
      convert: Returns the variables and the names that were not used.
      scaling: Fields of the architecture's `InputSpec` that these weights need.
      backbone_alone: Whether the head is not converted and gets fresh weights.
    """

    recognise: Callable[[StateDict], TrackerSpec]
    convert: Callable[[StateDict, TrackerSpec], tuple[dict[str, Any], tuple[str, ...]]]
    scaling: Mapping[str, Any] = MappingProxyType({})
    backbone_alone: bool = False


SOURCES: Mapping[str, Source] = {
    "siamfc-pytorch": Source(lambda _: named("siamfc-alexnet"), siamfc_from_pytorch),
    "dasiamrpn": Source(siamrpn_spec, siamrpn_from_pytorch),
    "pysot": Source(siamrpnpp_spec, siamrpnpp_from_pytorch),
    "siamdw": Source(siamdw_spec, siamdw_from_pytorch),
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
