"""Flax modules built from specs."""

from dst_jax.models.build import Variables as Variables
from dst_jax.models.build import build as build
from dst_jax.models.build import embed as embed
from dst_jax.models.build import forward as forward
from dst_jax.models.build import forward_train as forward_train
from dst_jax.models.build import init_variables as init_variables
from dst_jax.models.build import kernels as kernels
from dst_jax.models.build import respond as respond
from dst_jax.models.build import variable_shapes as variable_shapes
from dst_jax.models.heads import Answer as Answer
from dst_jax.models.heads import Kernels as Kernels
from dst_jax.models.siamese import Features as Features
from dst_jax.models.siamese import Output as Output
from dst_jax.models.siamese import Siamese as Siamese
