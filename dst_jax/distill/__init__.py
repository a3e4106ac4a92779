"""The joint objective of teacher and students."""

from dst_jax.distill.objective import Metrics as Metrics
from dst_jax.distill.objective import Objective as Objective
from dst_jax.distill.objective import check_fit as check_fit
from dst_jax.distill.objective import family_of as family_of
from dst_jax.distill.objective import make_objective as make_objective
from dst_jax.distill.terms import psum as psum
from dst_jax.distill.weights import ROWS as ROWS
from dst_jax.distill.weights import DistillConfig as DistillConfig
from dst_jax.distill.weights import with_row as with_row
