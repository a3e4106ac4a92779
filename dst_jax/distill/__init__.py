"""The joint objective of all students under a teacher, and the terms of its sum."""

from dst_jax.distill.config import ROWS as ROWS
from dst_jax.distill.config import DistillConfig as DistillConfig
from dst_jax.distill.config import with_row as with_row
from dst_jax.distill.fit import check_fit as check_fit
from dst_jax.distill.fit import needs_teacher as needs_teacher
from dst_jax.distill.labels import LabelConfig as LabelConfig
from dst_jax.distill.labels import make_labels as make_labels
from dst_jax.distill.objective import Metrics as Metrics
from dst_jax.distill.objective import Objective as Objective
from dst_jax.distill.objective import Setting as Setting
from dst_jax.distill.objective import make_objective as make_objective
from dst_jax.distill.parts import Part as Part
from dst_jax.distill.parts import Parts as Parts
from dst_jax.distill.parts import mean_over_all as mean_over_all
from dst_jax.distill.parts import mean_over_examples as mean_over_examples
from dst_jax.distill.parts import psum as psum
from dst_jax.distill.parts import reduce_parts as reduce_parts
from dst_jax.distill.task import TaskConfig as TaskConfig
from dst_jax.distill.task import task_parts as task_parts
from dst_jax.distill.term import Term as Term
from dst_jax.distill.term import View as View
from dst_jax.distill.terms import Hard as Hard
from dst_jax.distill.terms import Response as Response
from dst_jax.distill.terms import Sharing as Sharing
from dst_jax.distill.terms import Soft as Soft
from dst_jax.distill.terms import Task as Task
