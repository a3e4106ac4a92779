"""OSTrack-384, the teacher of LoReTrack, by its public recipe: no elimination.

Run:     dst-jax convert --source mae mae_pretrain_vit_base.pth backbone.bundle \
             --architecture ostrack-384
         dst-jax train ostrack_teacher --workdir runs/teacher \
             --backbone teacher=backbone.bundle --data.sources lasot:DIR got10k:DIR \
             coco:DIR trackingnet:DIR
         For OSTrack at 256 px: --student teacher=ostrack-256-f4 with a backbone of that
         architecture, --data.windows.scale .25 --data.windows.shift 3. For GOT-10k
         alone: --data.sources got10k:DIR --optim.epochs 100 --optim.hold-epochs 80.
         Networks that eliminate (--student teacher=ostrack-256-f4-ce) keep all tokens
         until epoch 20 and .7 from epoch 100 on, or with GOT-10k alone from epoch 70
         on: --model.keep-fall-epochs 50.
Expect:  this recipe has not been run to its end; it sees 18 million pairs, which needs
         accelerators. OSTrack's README states an AUC of .711 on LaSOT and .839 on
         TrackingNet at 384 px, of .691 and .831 at 256 px; others got .680 to .686 for
         .691, often with another batch at the same rate. The rate belongs to a batch of
         128; with another one it is left as it is. `dst-jax convert --source ostrack`
         reads public weights, whose training cannot be resumed.
Deviates: the head's statistics are those of all devices together; public code has each
         device's own. Targets whose centre is rounded off the map keep the last cell
         (--labels.peak public leaves them none), flips and crops are centred on the
         middle of the crop (public labels half a pixel beside it), and windows that
         show nothing of the frame are drawn anew. Videos of fewer than 20 frames are
         used too. Without --backbone the network starts from nothing.
"""

from dst_jax.arch import named
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.windows import WindowConfig
from dst_jax.distill import DistillConfig, with_row
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.track import OSTrackTracking
from dst_jax.train import OptimConfig


def experiment() -> Experiment:
    """Returns 300 epochs on the ground truth, on four data sets in equal shares."""
    return Experiment(
        students={"teacher": named("ostrack-384")},
        data=DataConfig(
            sources=(
                "lasot:data/lasot",
                "got10k:data/got10k",
                "coco:data/coco",
                "trackingnet:data/trackingnet",
            ),
            weights=(1.0, 1.0, 1.0, 1.0),
            batch=128,
            max_gap=199,
            order="causal",
            windows=WindowConfig(scale=0.5, shift=4.5),
        ),
        augment=AugmentConfig(
            stretch=0.0,
            search_shift_px=0.0,
            flip=0.5,
            flip_each=0.5,
            grey=0.05,
            brightness=0.2,
        ),
        distill=with_row(DistillConfig(), "NOKD"),
        optim=OptimConfig(
            epochs=300.0,
            hold_epochs=240.0,
            fall="step",
            pairs_per_epoch=60_000,
            method="adamw",
            learning_rate=4e-4,
            final_learning_rate=4e-5,
            weight_decay=1e-4,
            clip_norm=0.1,
            parts=(("backbone", 0.1, 0.0),),
        ),
        tracking=OSTrackTracking(),
    )
