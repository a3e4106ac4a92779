"""Converts weights of other projects into variables; each project has a file."""

from dst_jax.convert.dasiamrpn import siamrpn_from_pytorch as siamrpn_from_pytorch
from dst_jax.convert.dasiamrpn import siamrpn_spec as siamrpn_spec
from dst_jax.convert.imagenet_resnet import resnet_from_pytorch as resnet_from_pytorch
from dst_jax.convert.imagenet_resnet import resnet_spec as resnet_spec
from dst_jax.convert.imagenet_resnet import with_scaling as with_scaling
from dst_jax.convert.ostrack import ostrack_from_pytorch as ostrack_from_pytorch
from dst_jax.convert.ostrack import ostrack_spec as ostrack_spec
from dst_jax.convert.ostrack import vit_from_pytorch as vit_from_pytorch
from dst_jax.convert.ostrack import vit_spec as vit_spec
from dst_jax.convert.ostrack import with_positions_of as with_positions_of
from dst_jax.convert.positions import resized_positions as resized_positions
from dst_jax.convert.pysot import siamrpnpp_from_pytorch as siamrpnpp_from_pytorch
from dst_jax.convert.pysot import siamrpnpp_spec as siamrpnpp_spec
from dst_jax.convert.siamdw import (
    siamdw_backbone_from_pytorch as siamdw_backbone_from_pytorch,
)
from dst_jax.convert.siamdw import siamdw_backbone_spec as siamdw_backbone_spec
from dst_jax.convert.siamdw import siamdw_from_pytorch as siamdw_from_pytorch
from dst_jax.convert.siamdw import siamdw_spec as siamdw_spec
from dst_jax.convert.siamfc_pytorch import siamfc_from_pytorch as siamfc_from_pytorch
from dst_jax.convert.sources import SOURCES as SOURCES
from dst_jax.convert.sources import Source as Source
from dst_jax.convert.weights_file import read_state_dict as read_state_dict
