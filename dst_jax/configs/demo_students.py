"""The demonstration's two students: one searched, both distilled.

Run:     dst-jax demo --workdir runs/demo  (its last stages)
Expect:  on two CPU cores, a minute or two for the search, two or three for each row.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_teacher
from dst_jax.distill import DistillConfig
from dst_jax.experiment import Experiment
from dst_jax.search import SearchConfig


def experiment() -> Experiment:
    """A short search for the dull student, then TSsKD; data and steps the teacher's.

    The demonstration puts what it finds in the place of "mini-dull".
    """
    base = demo_teacher.experiment()
    students = {"dull": named("mini-dull"), "intelligent": named("mini-half")}
    search = SearchConfig(
        steps=5, pairs=96, epochs=1.0, batch=16, validation_pairs=64, proposals=5
    )
    return dataclasses.replace(
        base, students=students, distill=DistillConfig(), search=search
    )
