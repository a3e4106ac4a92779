"""A search of the dull SiamFC student for two cores: 24 pairs per candidate.

Run:     dst-jax search siamfc_search_short --teacher BUNDLE \
             --workdir runs/search --data.sources got10k:DIR
Expect:  see CHANGELOG.md, "History of measurements"; so short a training mostly
         compares architectures at their first weights.
"""

from dst_jax.arch import named
from dst_jax.data.pipeline import DataConfig
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.search import SearchConfig
from dst_jax.train import OptimConfig


def experiment() -> Experiment:
    """Returns 50 steps of 3 candidates, as in the paper, each trained on few pairs."""
    return Experiment(
        students={"dull": named("dstfc")},
        data=DataConfig(sources=("got10k:data/got10k/train",), cache_mb=256),
        augment=AugmentConfig(flip=0.5),
        optim=OptimConfig(
            learning_rate=1e-2, final_learning_rate=1e-2, momentum=0.9, clip_norm=5.0
        ),
        search=SearchConfig(pairs=24, epochs=1.0, batch=8, validation_pairs=24),
    )
