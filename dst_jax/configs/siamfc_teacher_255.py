"""The SiamFC teacher of `siamfc_dst_255`: search crops of 255 px in training too.

Run:     dst-jax train siamfc_teacher_255 --workdir runs/teacher255 \
             --data.sources vid:DIR
Expect:  this recipe has not been run to its end; the paper's teacher has an OTB-100 AUC
         of .581.
Deviates: as `siamfc_teacher`, except for the crops. A response of 17 x 17 cells has the
         same 13 positive ones as one of 15 x 15.
"""

import dataclasses

from dst_jax.arch import InputSpec
from dst_jax.configs import siamfc_teacher
from dst_jax.experiment import Experiment

INPUT = InputSpec(template_px=127, search_px=255, train_search_px=255)


def experiment() -> Experiment:
    """Returns `siamfc_teacher` with larger search crops."""
    base = siamfc_teacher.experiment()
    students = {
        n: dataclasses.replace(s, input=INPUT) for n, s in base.students.items()
    }
    return dataclasses.replace(base, students=students)
