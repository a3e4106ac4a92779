"""Table 6 of the paper in miniature: SiamRPN++ on the demonstration's video.

Run:     dst-jax demo --family siamrpnpp --workdir runs/demo-pp, then
         dst-jax ablate ablation_mini_siamrpnpp --tables 6 --workdir runs/table6 \
             --teacher runs/demo-pp/teacher/bundles/teacher --seeds 0 1 2
         --tables 4 gives the rows of Table 4 on the student with basic blocks, "r18".
Expect:  two trainings per seed, of both students each, which serve the four rows of
         students; Table 4 has six more, of one student each.
"""

import dataclasses

from dst_jax.configs import demo_siamrpnpp_students
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns the demonstration's students, trained on half the pairs."""
    base = demo_siamrpnpp_students.experiment()
    optim = dataclasses.replace(base.optim, epochs=2.0)
    return dataclasses.replace(base, optim=optim)
