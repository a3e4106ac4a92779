"""The two students of the SiamRPN demonstration: one searched, both distilled.

Run:     dst-jax demo --family siamrpn --workdir runs/demo-siamrpn  (its last stages)
Expect:  docs/results.md, "SiamRPN in miniature".
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_siamrpn_teacher, demo_students
from dst_jax.distill import Sharing
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns a short search for the dull student, then TSsKD of both students.

    Data are those of the teacher, terms those of SiamFC's demonstration, but that gates
    open at a wider margin, because losses of anchors lie further apart.
    """
    names = {"dull": "mini-siamrpn-dull", "intelligent": "mini-siamrpn-half"}
    base, siamfc = demo_siamrpn_teacher.experiment(), demo_students.experiment()
    return dataclasses.replace(
        base,
        students={name: named(which) for name, which in names.items()},
        distill=siamfc.distill.with_terms(ks=Sharing(margin=0.2, gate_over="example")),
        optim=dataclasses.replace(base.optim, epochs=4.0),
        # The boxes of a candidate mean nothing before some 20 steps.
        search=dataclasses.replace(siamfc.search, steps=10, pairs=320, largest=0.1),
    )
