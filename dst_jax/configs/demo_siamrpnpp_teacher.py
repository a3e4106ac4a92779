"""The teacher of the SiamRPN++ demonstration: a miniature with wide heads.

Run:     dst-jax demo --family siamrpnpp --workdir runs/demo-pp  (its second stage)
Expect:  no figure; docs/results.md has those of the demonstrations that were run.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import demo_siamrpn_teacher
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns the plain training of the network "teacher", from nothing.

    Data, optimizer and tracking are those of SiamRPN's demonstration.
    """
    base = demo_siamrpn_teacher.experiment()
    teacher = {"teacher": named("mini-siamrpnpp-big")}
    return dataclasses.replace(base, students=teacher)
