"""The paper's ablations in miniature: SiamFC on the demonstration's synthetic video.

Run:     dst-jax demo --workdir runs/demo      (for its video and its teacher), then
         dst-jax ablate ablation_mini --teacher runs/demo/teacher/bundles/teacher \
             --workdir runs/ablation --seeds 0 1 2
Expect:  six trainings per seed, which serve the ten rows.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_students
from dst_jax.distill import Sharing
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns the demonstration's students, unsearched, trained on half the pairs.

    They have no bias, and one rate for all rows.
    """
    base = demo_students.experiment()
    students = {"dull": named("mini-dull"), "intelligent": named("mini-half")}
    # The recorded figures were made at this rate, and with this gate.
    optim = dataclasses.replace(base.optim, epochs=2.0, learning_rate=0.03)
    distill = base.distill.with_terms(ks=Sharing(margin=0.2, gate_over="example"))
    return dataclasses.replace(base, students=students, optim=optim, distill=distill)
