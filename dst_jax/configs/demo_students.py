"""The demonstration's two students, distilled from the miniature teacher.

Run:     dst-jax demo --workdir runs/demo  (its last stages)
Expect:  about two minutes on two CPU cores for each row.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_teacher
from dst_jax.distill import DistillConfig
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """TSsKD of a dull and an intelligent student; data and steps as the teacher's."""
    base = demo_teacher.experiment()
    students = {"dull": named("mini-dull"), "intelligent": named("mini-half")}
    distill = DistillConfig(label_radius_px=base.distill.label_radius_px)
    return dataclasses.replace(base, students=students, distill=distill)
