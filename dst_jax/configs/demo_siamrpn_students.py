"""The two students of the SiamRPN demonstration: one searched, both distilled.

Run:     dst-jax demo --family siamrpn --workdir runs/demo-siamrpn  (its last stages)
Expect:  docs/results.md, "SiamRPN in miniature".
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_siamrpn_teacher, demo_students
from dst_jax.distill import DistillConfig, Response
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns a short search for the dull student, then TSsKD of both students.

    Data and number of steps are those of the teacher.
    """
    names = {"dull": "mini-siamrpn-dull", "intelligent": "mini-siamrpn-half"}
    return dataclasses.replace(
        demo_siamrpn_teacher.experiment(),
        students={name: named(which) for name, which in names.items()},
        # The paper's weight of 100 makes STR nine tenths of so small a network's loss.
        distill=DistillConfig().with_terms(str=Response(weight=5.0)),
        # The boxes of a candidate mean nothing before some 20 steps.
        search=dataclasses.replace(demo_students.experiment().search, pairs=320),
    )
