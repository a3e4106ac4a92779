"""The SiamFC teacher of DST: 30 epochs at 1e-2, on GOT-10k.

Run:     dst-jax train siamfc_teacher --workdir runs/teacher \
             --data.sources got10k:DIR
Expect:  this recipe has not been run to its end. The paper's teacher has an OTB-100 AUC
         of .581. The nearest public recipe divides the rate by 10 after 25 epochs;
         here it stays constant, as the paper states.
"""

from dst_jax.arch import named
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig, with_row
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import OptimConfig


def experiment() -> Experiment:
    """Returns the plain training of the full SiamFC."""
    return Experiment(
        students={"teacher": named("siamfc-alexnet")},
        data=DataConfig(sources=("got10k:data/got10k/train",), batch=8),
        augment=AugmentConfig(grey=0.25),
        distill=with_row(DistillConfig(), "NOKD"),
        optim=OptimConfig(epochs=30.0, pairs_per_epoch=53_200),
    )
