"""The two students of the OSTrack demonstration: the teacher at 64 and at 48 px.

Run:     dst-jax demo --family ostrack --workdir runs/demo-ot  (its last stages)
Expect:  docs/results.md, "LoReTrack in miniature".
"""

import dataclasses

from dst_jax.configs import demo_ostrack_teacher
from dst_jax.distill import Disc, DistillConfig, Qkv, Task
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns LoReTrack's terms for the teacher's own network at lower resolution."""
    base = demo_ostrack_teacher.experiment()
    return dataclasses.replace(
        base,
        students={f"px{px}": demo_ostrack_teacher.network(px) for px in (64, 48)},
        optim=dataclasses.replace(base.optim, epochs=6.0, hold_epochs=5.0),
        distill=DistillConfig(
            {"gt": Task(), "qkv": Qkv(), "disc": Disc(saliency="quantile")}
        ),
    )
