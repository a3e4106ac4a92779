"""DST on SiamFC with search crops of 255 px, the size that the paper names.

Run:     dst-jax distill siamfc_dst_255 --teacher BUNDLE --workdir runs/dst255 \
             --data.sources vid:DIR
         BUNDLE is one of `siamfc_teacher_255`: teacher and students are compared on one
         grid, and a teacher trained or converted at 239 px has another.
Expect:  OTB-100 AUC .573 and .579 under a teacher of .581 in the paper; this recipe has
         not been run to its end.
Deviates: as `siamfc_dst`, except for the crops.
"""

import dataclasses

from dst_jax.configs import siamfc_dst
from dst_jax.configs.siamfc_teacher_255 import INPUT
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns `siamfc_dst` with larger search crops."""
    base = siamfc_dst.experiment()
    students = {
        n: dataclasses.replace(s, input=INPUT) for n, s in base.students.items()
    }
    return dataclasses.replace(base, students=students)
