"""The teacher of the SiamDW demonstration: a miniature of CIResNet.

Run:     dst-jax demo --family siamdw --workdir runs/demo-dw  (its second stage)
Expect:  no figure; docs/results.md has those of the demonstrations that were run.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_teacher
from dst_jax.distill import LabelConfig
from dst_jax.experiment import Experiment
from dst_jax.train import OptimConfig


def experiment() -> Experiment:
    """Returns the plain training of the network "teacher", from nothing.

    Data are those of SiamFC's demonstration; labels and the form of the schedule are
    those of `siamdw_teacher`.
    """
    base = demo_teacher.experiment()
    return dataclasses.replace(
        base,
        students={"teacher": named("mini-siamdw")},
        labels=LabelConfig(radius_px=16.0, label_centre="target"),
        optim=OptimConfig(
            epochs=6.0,
            pairs_per_epoch=1_600,
            learning_rate=1e-2,
            final_learning_rate=1e-4,
            momentum=0.9,
            weight_decay=1e-4,
            clip_norm=10.0,
        ),
    )
