"""The two students of the SiamDW demonstration, whose architectures are fixed.

Run:     dst-jax demo --family siamdw --workdir runs/demo-dw  (its last stages)
Expect:  no figure; docs/results.md has those of the demonstrations that were run.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_siamdw_teacher, dlf
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns DLF's terms for miniatures of its two students.

    Data are those of the teacher.
    """
    base = demo_siamdw_teacher.experiment()
    return dataclasses.replace(
        base,
        students={name: named(f"mini-siamdw-{name}") for name in ("l", "s")},
        optim=dataclasses.replace(base.optim, epochs=4.0),
        distill=dlf.experiment().distill,
    )
