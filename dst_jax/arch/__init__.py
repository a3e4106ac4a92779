"""Architectures as values; imports no array library."""

from dst_jax.arch.backbones.chain import Chain as Chain
from dst_jax.arch.backbones.chain import ConvSpec as ConvSpec
from dst_jax.arch.backbones.chain import MapShape as MapShape
from dst_jax.arch.backbones.chain import PoolSpec as PoolSpec
from dst_jax.arch.cost import Cost as Cost
from dst_jax.arch.cost import LayerCost as LayerCost
from dst_jax.arch.cost import tracker_cost as tracker_cost
from dst_jax.arch.edit import scale_widths as scale_widths
from dst_jax.arch.edit import shrink_kernel as shrink_kernel
from dst_jax.arch.edit import width_multiples as width_multiples
from dst_jax.arch.edit import with_widths as with_widths
from dst_jax.arch.heads import CorrelationHeadSpec as CorrelationHeadSpec
from dst_jax.arch.heads import HeadSpec as HeadSpec
from dst_jax.arch.heads import RegionHeadSpec as RegionHeadSpec
from dst_jax.arch.ids import spec_from_json as spec_from_json
from dst_jax.arch.ids import spec_id as spec_id
from dst_jax.arch.ids import spec_to_json as spec_to_json
from dst_jax.arch.spec import Grid as Grid
from dst_jax.arch.spec import InputSpec as InputSpec
from dst_jax.arch.spec import TrackerSpec as TrackerSpec
from dst_jax.arch.zoo import ZOO as ZOO
from dst_jax.arch.zoo import named as named
from dst_jax.arch.zoo import read_spec as read_spec
