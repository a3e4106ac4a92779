"""The teacher of the OSTrack demonstration: a miniature at 96 px, with convolutions.

Run:     dst-jax demo --family ostrack --workdir runs/demo-ot  (its second stage)
Expect:  docs/results.md, "LoReTrack in miniature".
"""

import dataclasses

from dst_jax.arch import TrackerSpec, named, with_conv_stem, with_prior
from dst_jax.configs import demo_teacher
from dst_jax.data.windows import WindowConfig
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.track import OSTrackTracking
from dst_jax.train import OptimConfig


def network(px: int) -> TrackerSpec:
    """Returns the miniature at a search size, as it learns quickly from nothing.

    OSTrack makes tokens by one linear layer, and every cell's score begins at .5. Small
    transformers learn slowly from nothing, so the miniature alone makes tokens by
    convolutions, and its scores begin at .1.
    """
    return with_prior(with_conv_stem(named(f"mini-ostrack-{px}")), 0.1)


def experiment() -> Experiment:
    """Returns the plain training of the network "teacher", from nothing.

    Video is that of SiamFC's demonstration. The public recipe starts from weights of
    MAE and takes a tenth of the rate in the backbone; from nothing, all learns at one.
    """
    base = demo_teacher.experiment()
    return dataclasses.replace(
        base,
        students={"teacher": network(96)},
        data=dataclasses.replace(
            base.data, order="causal", windows=WindowConfig(scale=0.25, shift=3.0)
        ),
        augment=AugmentConfig(
            stretch=0.0,
            search_shift_px=0.0,
            flip=0.5,
            flip_each=0.5,
            brightness=0.2,
        ),
        optim=OptimConfig(
            epochs=10.0,
            hold_epochs=8.0,
            fall="step",
            pairs_per_epoch=1_600,
            method="adamw",
            learning_rate=1e-3,
            final_learning_rate=1e-4,
            weight_decay=1e-4,
            clip_norm=1.0,
        ),
        tracking=OSTrackTracking(),
    )
