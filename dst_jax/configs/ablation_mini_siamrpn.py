"""The paper's ablations in miniature: SiamRPN on the demonstration's synthetic video.

Run:     dst-jax demo --family siamrpn --workdir runs/demo-siamrpn, then
         dst-jax ablate ablation_mini_siamrpn --workdir runs/ablation-siamrpn \
             --teacher runs/demo-siamrpn/teacher/bundles/teacher --seeds 0 1 2
Expect:  eight trainings per seed, which serve the ten rows.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_siamrpn_students
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns the demonstration's students, unsearched, trained on half the pairs."""
    base = demo_siamrpn_students.experiment()
    names = {"dull": "mini-siamrpn-dull", "intelligent": "mini-siamrpn-half"}
    students = {name: named(which) for name, which in names.items()}
    optim = dataclasses.replace(base.optim, epochs=2.0)
    return dataclasses.replace(base, students=students, optim=optim)
