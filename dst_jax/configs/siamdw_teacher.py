"""SiamDW, the teacher of DLF: CIResNet22 under a correlation, by its public recipe.

Run:     dst-jax convert --source imagenet-siamdw CIResNet22.model backbone.bundle
         dst-jax train siamdw_teacher --workdir runs/teacher \
             --backbone teacher=backbone.bundle --data.sources vid:DIR
         --data.sources got10k:DIR trains on GOT-10k.
Expect:  this recipe has not been run to its end; it sees 30 million pairs, which needs
         accelerators. SiamDW's authors state an OTB-2015 AUC of .644 (VID) and .654
         (GOT-10k), with settings of tracking that they tuned on it for one network;
         others got .577 to .62 with those. `dst-jax convert` reads their weights.
Deviates: a block begins to learn at or after its share of the run, where public code
         compares the two for equality. The first block of layer2 is in inference mode
         until it learns; public code has it in training mode from the start, by a slip
         of its index. Labels lie at the cell nearest to the target; public code rounds
         down (--labels.label-rounding floor). Tracking has the settings of SiamFC until
         `dst-jax evaluate --tune` has found better ones. Without --backbone the frozen
         blocks are random.
"""

from dst_jax.arch import named
from dst_jax.data.pipeline import DataConfig
from dst_jax.distill import DistillConfig, LabelConfig, with_row
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.train import OptimConfig

# The epoch of 50 from which each block learns; the last one does from the start.
THAWS = {
    "backbone/layer2/block3": 5.0,
    "backbone/layer2/block2": 10.0,
    "backbone/layer2/block1": 15.0,
    "backbone/layer1/block3": 25.0,
    "backbone/layer1/block2": 30.0,
    "backbone/layer1/block1": 35.0,
}


def experiment() -> Experiment:
    """Returns 50 epochs on the ground truth, in which the backbone thaws by blocks."""
    return Experiment(
        students={"teacher": named("siamdw")},
        data=DataConfig(sources=("vid:data/vid",), batch=64, max_gap=100),
        augment=AugmentConfig(
            stretch=0.05,
            template_shift_px=4.0,
            search_shift_px=4.0,
            jitter=0.05,
            scale_of="window",
        ),
        distill=with_row(DistillConfig(), "NOKD"),
        # Cells within two steps, along rows and columns, of the target's own cell.
        labels=LabelConfig(radius_px=16.0, label_centre="target"),
        optim=OptimConfig(
            epochs=50.0,
            pairs_per_epoch=600_000,
            learning_rate=1e-2,
            final_learning_rate=1e-5,
            rate_per="epoch",
            momentum=0.9,
            weight_decay=1e-4,
            clip_norm=10.0,
            parts=(
                ("backbone/conv1", 0.0, 0.0),
                *((path, 1.0, epoch) for path, epoch in THAWS.items()),
            ),
            on_thaw="reset",
        ),
    )
