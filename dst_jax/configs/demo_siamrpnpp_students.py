"""The two students of the SiamRPN++ demonstration, whose architectures are fixed.

Run:     dst-jax demo --family siamrpnpp --workdir runs/demo-pp  (its last stages)
Expect:  no figure; docs/results.md has those of the demonstrations that were run.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_siamrpn_students, demo_siamrpnpp_teacher
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns TSsKD of students with bottleneck and with basic blocks, as in Table 6.

    Data are those of the teacher. Terms and number of steps are those of SiamRPN's
    demonstration, with the responses of the stages that the heads read.
    """
    siamrpn = demo_siamrpn_students.experiment()
    terms = siamrpn.distill
    response = dataclasses.replace(
        terms.terms["str"], layers=("layer2", "layer3", "layer4")
    )
    return dataclasses.replace(
        demo_siamrpnpp_teacher.experiment(),
        students={n: named(f"mini-siamrpnpp-{n}") for n in ("r50", "r18")},
        optim=siamrpn.optim,
        distill=terms.with_terms(str=response),
    )
