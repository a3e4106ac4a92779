"""DST on SiamRPN: the 19.7 MB "dull" and the 90.6 MB "intelligent" student (Table 5).

Run:     dst-jax distill siamrpn_dst --teacher BUNDLE --workdir runs/dst \
             --data.sources got10k:DIR coco:DIR
         --row NOKD, --row TSKD and so on give the other rows of Tables 4 and 5.
Expect:  OTB-100 AUC .646 and .644 under a teacher of .642 in the paper, which has two
         million pairs of four data sets. This recipe has not been run to its end.
"""

from dst_jax.arch import named
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig
from dst_jax.experiment import Experiment
from dst_jax.models import ModelConfig
from dst_jax.ops.augment import AugmentConfig
from dst_jax.track import SiamRPNTracking
from dst_jax.train import OptimConfig


def experiment() -> Experiment:
    """Returns 10 epochs on the ground truth, then 50 of TSsKD at a falling rate."""
    return Experiment(
        students={"dull": named("dstrpn"), "intelligent": named("siamrpn")},
        data=DataConfig(
            sources=("got10k:data/got10k/train", "coco:data/coco"),
            weights=(4.0, 1.0),
            batch=32,
            negative_share=0.05,
        ),
        augment=AugmentConfig(
            search_stretch=0.18,
            template_shift_px=4.0,
            search_shift_px=64.0,
            colour=1.0,
            blur=0.2,
        ),
        distill=DistillConfig(warmup_epochs=10.0),
        model=ModelConfig(batch_norm="pair"),
        optim=OptimConfig(
            epochs=60.0,
            hold_epochs=10.0,
            pairs_per_epoch=40_000,
            learning_rate=1e-2,
            final_learning_rate=1e-4,
            momentum=0.9,
            weight_decay=1e-4,
            clip_norm=10.0,
        ),
        tracking=SiamRPNTracking(),
    )
