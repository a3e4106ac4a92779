"""DST's search of the dull SiamRPN student, in the paper's setting (section 5.1).

Run:     dst-jax search siamrpn_search --teacher BUNDLE --workdir runs/s \
             --data.sources vid:DIR ytbb:DIR coco:DIR det:DIR
Expect:  student.json; the paper found a network of 19.7 MB under a teacher of 361.8.
         150 candidates see 100,000 pairs each, which needs an accelerator; this recipe
         has not been run to its end.
Deviates: the paper states neither the rate, the loss nor the batch of a candidate's
         training, nor N and M of eq. 7; docs/equations.md says what stands for them.
         Data, augmentation, momentum, decay, clipping and normalisation are those of
         `siamrpn_dst`.
"""

import dataclasses

from dst_jax.arch import named
from dst_jax.configs import siamrpn_dst
from dst_jax.experiment import Experiment
from dst_jax.search import SearchConfig


def experiment() -> Experiment:
    """Returns the paper's search, with data and optimizer of the distillation."""
    base = siamrpn_dst.experiment()
    optim = dataclasses.replace(
        base.optim, epochs=50.0, hold_epochs=0.0, final_learning_rate=1e-2
    )
    students = {"dull": named("dstrpn")}
    return dataclasses.replace(
        base, students=students, optim=optim, search=SearchConfig()
    )
