"""DLF's table in miniature: SiamDW on the demonstration's video.

Run:     dst-jax demo --family siamdw --workdir runs/demo-dw, then
         dst-jax ablate ablation_mini_siamdw --tables dlf --workdir runs/dlf-table \
             --teacher runs/demo-dw/teacher/bundles/teacher --seeds 0 1 2
         On real video, in the layouts of GOT-10k and COCO, nothing else is needed:
         DATA="--data.sources got10k:A got10k:B coco:C --data.weights .5 .3 .2"
         dst-jax train demo_siamdw_teacher --workdir T $DATA
         dst-jax ablate ablation_mini_siamdw --tables dlf --workdir D \
             --teacher T/bundles/teacher --optim.epochs 3 $DATA --dataset otb:O \
             --seeds 0 1 2
Expect:  six trainings per seed, of both students each, which serve the twelve rows.
"""

import dataclasses

from dst_jax.configs import demo_siamdw_students
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns the demonstration's students, trained on half the pairs."""
    base = demo_siamdw_students.experiment()
    optim = dataclasses.replace(base.optim, epochs=2.0)
    return dataclasses.replace(base, optim=optim)
