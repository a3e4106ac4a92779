"""Labels of cells and anchors from the ground truth, one file per family."""

from dst_jax.distill.labels.anchors import AnchorLabels as AnchorLabels
from dst_jax.distill.labels.cells import CellLabels as CellLabels
from dst_jax.distill.labels.centre import CentreLabels as CentreLabels
from dst_jax.distill.labels.centre import centre_labels as centre_labels
from dst_jax.distill.labels.config import LabelConfig as LabelConfig
from dst_jax.distill.labels.make import Labels as Labels
from dst_jax.distill.labels.make import make_labels as make_labels
