"""The SiamFC teacher of DST: 30 epochs at 1e-2, on ImageNet VID.

Run:     dst-jax train siamfc_teacher --workdir runs/teacher --data.sources vid:DIR
         --data.sources got10k:DIR trains on GOT-10k, as siamfc-pytorch does.
Expect:  this recipe has not been run to its end. The paper's teacher has an OTB-100 AUC
         of .581. The nearest public recipe divides the rate by 10 after 25 epochs;
         here it stays constant, as the paper states.
Deviates: search crops have 239 px, which the public code of SiamFC cuts at random from
         the 255 px that the paper names (`siamfc_teacher_255` has 255). The paper
         states neither batch, pairs per epoch, momentum nor the share of grey pairs:
         8, 53,200, 0 and a quarter are those of a public recipe for this rate.
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
        data=DataConfig(sources=("vid:data/vid",), batch=8),
        augment=AugmentConfig(grey=0.25),
        distill=with_row(DistillConfig(), "NOKD"),
        optim=OptimConfig(epochs=30.0, pairs_per_epoch=53_200),
    )
