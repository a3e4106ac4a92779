"""The teacher of the SiamRPN demonstration: a miniature on synthetic video.

Run:     dst-jax demo --family siamrpn --workdir runs/demo-siamrpn  (its second stage)
Expect:  docs/results.md, "SiamRPN in miniature".
"""

import dataclasses

from dst_jax.arch import named, scale_widths
from dst_jax.configs import demo_teacher
from dst_jax.distill import DistillConfig, with_row
from dst_jax.experiment import Experiment
from dst_jax.models import ModelConfig
from dst_jax.ops.augment import AugmentConfig
from dst_jax.track import SiamRPNTracking


def experiment() -> Experiment:
    """Returns the plain training of the network "teacher".

    Crops are moved and scaled, which boxes need. The optimizer is Adam, because
    gradient descent at a rate that learns in hundreds of steps multiplies the loss of a
    fresh region head in its first steps.
    """
    base = demo_teacher.experiment()
    optim = dataclasses.replace(
        base.optim, method="adam", learning_rate=1e-3, final_learning_rate=5e-5
    )
    return dataclasses.replace(
        base,
        students={"teacher": scale_widths(named("mini-siamrpn"), 1.5)},
        data=dataclasses.replace(base.data, negative_share=0.05),
        augment=AugmentConfig(search_stretch=0.18, search_shift_px=24.0, flip=0.5),
        distill=with_row(DistillConfig(), "NOKD"),
        model=ModelConfig(batch_norm="pair"),
        optim=optim,
        tracking=SiamRPNTracking(),
    )
