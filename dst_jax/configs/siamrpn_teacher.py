"""The SiamRPN teacher of DST, 361.8 MB: pysot's recipe, on the ground truth alone.

Run:     dst-jax train siamrpn_teacher --workdir runs/teacher \
             --data.sources vid:DIR ytbb:DIR coco:DIR det:DIR
         --student teacher=siamrpn trains the network of half the width.
Expect:  this recipe has not been run to its end. The paper's teacher, almost surely the
         released one of DaSiamRPN, has an OTB-100 AUC of .643; `dst-jax convert` reads
         its weights.
Deviates: the paper gives no recipe of its teacher. Here 50 epochs of 40,000 pairs see
         two million, which is the paper's number of pairs in its set. Rates are those
         of the paper's students, nothing is trained beforehand or frozen, and pysot's
         recipe has the exceptions that `siamrpn_dst` names.
"""

from dst_jax.arch import named
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig, with_row
from dst_jax.experiment import Experiment
from dst_jax.models import ModelConfig
from dst_jax.ops.augment import AugmentConfig
from dst_jax.track import SiamRPNTracking
from dst_jax.train import OptimConfig

SETS = ("vid", "ytbb", "coco", "det")


def experiment() -> Experiment:
    """Returns the plain training of the double-width network."""
    return Experiment(
        students={"teacher": named("siamrpn-big")},
        data=DataConfig(
            sources=(
                "vid:data/vid",
                "ytbb:data/ytbb",
                "coco:data/coco",
                "det:data/det",
            ),
            weights=(1.0, 1.0, 1.0, 1.0),
            # In annotated frames: YouTube-BB has one a second, the last two are stills.
            max_gaps=(100, 3, 1, 1),
            batch=32,
            negative_share=0.05,
        ),
        # Shift, scale, colour and blur are pysot's, for search crops of 271 px.
        augment=AugmentConfig(
            search_stretch=0.18,
            template_shift_px=4.0,
            search_shift_px=64.0,
            colour=1.0,
            blur=0.2,
        ),
        distill=with_row(DistillConfig(), "NOKD"),
        model=ModelConfig(batch_norm="pair"),
        optim=OptimConfig(
            epochs=50.0,
            pairs_per_epoch=40_000,
            learning_rate=1e-2,
            final_learning_rate=1e-4,
            momentum=0.9,
            weight_decay=1e-4,
            clip_norm=10.0,
        ),
        tracking=SiamRPNTracking(),
    )
