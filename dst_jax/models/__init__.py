"""Builds Flax networks from specs and turns their answers into boxes."""

from dst_jax.models.build import ModelConfig as ModelConfig
from dst_jax.models.build import Variables as Variables
from dst_jax.models.build import build as build
from dst_jax.models.build import check_parts as check_parts
from dst_jax.models.build import forward as forward
from dst_jax.models.build import forward_train as forward_train
from dst_jax.models.build import init_variables as init_variables
from dst_jax.models.build import parameter_paths as parameter_paths
from dst_jax.models.build import remember as remember
from dst_jax.models.build import respond as respond
from dst_jax.models.build import variable_shapes as variable_shapes
from dst_jax.models.heads.answers import Answer as Answer
from dst_jax.models.heads.answers import CellAnswer as CellAnswer
from dst_jax.models.heads.answers import CentreAnswer as CentreAnswer
from dst_jax.models.heads.answers import Memory as Memory
from dst_jax.models.heads.answers import RegionAnswer as RegionAnswer
from dst_jax.models.moment import Moment as Moment
from dst_jax.models.moment import share_kept as share_kept
from dst_jax.models.network import Network as Network
from dst_jax.models.onestream import OneStream as OneStream
from dst_jax.models.output import Output as Output
from dst_jax.models.parts import lies_in as lies_in
from dst_jax.models.proposals import Proposals as Proposals
from dst_jax.models.proposals import proposals as proposals
from dst_jax.models.siamese import Siamese as Siamese
