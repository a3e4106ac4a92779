"""SiamDW-RPN: CIResNet22 under SiamRPN's head of 512 channels, by its public recipe.

Run:     dst-jax train siamdw_rpn_teacher --workdir runs/teacher \
             --backbone teacher=backbone.bundle \
             --data.sources ytbb:DIR vid:DIR coco:DIR det:DIR
         The backbone is that of `siamdw_teacher`.
Expect:  this recipe has not been run to its end. Others got an OTB AUC of .404 and .53
         with the public code.
Deviates: as `siamdw_teacher`. Public code blurs by a Gaussian, here along rows and
         columns. It names crops of 271 px and trains on 255, as here. By a slip its
         decay is 5e-4 until the first block thaws, at a tenth of the run, and 1e-4
         after it; --optim.early-weight-decay None has the latter throughout.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import siamdw_teacher
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import LabelConfig, TaskConfig
from dst_jax.experiment import Experiment
from dst_jax.ops.anchors import AssignConfig
from dst_jax.track.config import SiamRPNTracking


def experiment() -> Experiment:
    """Returns `siamdw_teacher` with the other head, its data and its plain L1."""
    base = siamdw_teacher.experiment()
    return dataclasses.replace(
        base,
        students={"teacher": named("siamdw-rpn")},
        data=DataConfig(
            sources=(
                "ytbb:data/ytbb",
                "vid:data/vid",
                "coco:data/coco",
                "det:data/det",
            ),
            weights=(2.0, 2.0, 1.0, 1.0),
            # In annotated frames; the last two are stills.
            max_gaps=(3, 100, 1, 1),
            batch=32,
        ),
        augment=dataclasses.replace(base.augment, blur=0.2),
        labels=LabelConfig(assign=AssignConfig(positives=16, total=64)),
        task=TaskConfig(regression_beta=0.0),
        optim=dataclasses.replace(base.optim, early_weight_decay=5e-4),
        tracking=SiamRPNTracking(small_search_cells=0),
    )
