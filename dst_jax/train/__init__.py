"""Training: the only folder that knows about devices, optimizers and checkpoints."""

from dst_jax.train.candidates import over_candidates as over_candidates
from dst_jax.train.candidates import places_for as places_for
from dst_jax.train.candidates import quick_compilation as quick_compilation
from dst_jax.train.checkpoint import Best as Best
from dst_jax.train.checkpoint import Checkpoints as Checkpoints
from dst_jax.train.checkpoint import Snapshot as Snapshot
from dst_jax.train.checkpoint import first_best as first_best
from dst_jax.train.checkpoint import student_variables as student_variables
from dst_jax.train.loop import Interrupted as Interrupted
from dst_jax.train.loop import LoopConfig as LoopConfig
from dst_jax.train.loop import Run as Run
from dst_jax.train.loop import fit as fit
from dst_jax.train.optim import OptimConfig as OptimConfig
from dst_jax.train.optim import make_optimizer as make_optimizer
from dst_jax.train.parallel import AXIS_NAME as AXIS_NAME
from dst_jax.train.parallel import check_batch as check_batch
from dst_jax.train.parallel import data_parallel as data_parallel
from dst_jax.train.parallel import sharded as sharded
from dst_jax.train.state import TrainState as TrainState
from dst_jax.train.state import init_state as init_state
from dst_jax.train.step import Crops as Crops
from dst_jax.train.step import StepMetrics as StepMetrics
from dst_jax.train.step import make_train_step as make_train_step
from dst_jax.train.validate import make_validate as make_validate
from dst_jax.train.writers import MetricWriter as MetricWriter
from dst_jax.train.writers import read_metrics as read_metrics
