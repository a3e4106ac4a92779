"""DLF: SiamDW-L and SiamDW-S, 4.08 and 10.62 times smaller, imitate SiamDW's features.

Run:     dst-jax distill dlf --row gt+point+pair --teacher BUNDLE \
             --workdir runs/dlf --data.sources vid:DIR
         --row NOKD, --row gt+point and --row gt+pair train with fewer terms,
         --row TSsKD with DST's; without --row students learn from both papers' terms.
Expect:  no figure: DLF printed parameters, rates and speeds (53, 73 and 80 frames/s of
         teacher, L and S), and no score of the students.
Deviates: the paper prints neither data nor schedule, weights of the terms, adapter,
         widths of the students nor their first weights. Here data and schedule are
         those of SiamDW's public code; both terms have weight 1 and compare the last
         stage of both images, Point by the mean of squares behind a 1 x 1 convolution;
         widths are the best fit to the printed figures; students start from nothing,
         and all their blocks learn throughout. STR compares both residual stages.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import siamdw_teacher
from dst_jax.distill import DistillConfig, Pair, Point, Response
from dst_jax.experiment import Experiment


def experiment() -> Experiment:
    """Returns the terms of both papers, with the teacher's data and steps."""
    teacher = siamdw_teacher.experiment()
    return dataclasses.replace(
        teacher,
        students={"l": named("siamdw-l"), "s": named("siamdw-s")},
        distill=DistillConfig().with_terms(
            point=Point(weight=1.0),
            pair=Pair(weight=1.0),
            str=Response(layers=("layer1", "layer2")),
        ),
        optim=dataclasses.replace(teacher.optim, parts=(), on_thaw="keep"),
    )
