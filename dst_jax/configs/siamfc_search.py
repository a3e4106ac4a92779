"""DST's search of the dull SiamFC student, in the paper's setting (section 5.1).

Run:     dst-jax search siamfc_search --teacher BUNDLE --workdir runs/s \
             --data.sources got10k:DIR
Expect:  student.json; the paper found a network of 0.7 MB. 150 candidates see 100,000
         pairs each, which needs an accelerator; see docs/results.md.
"""

from dst_jax.arch import named
from dst_jax.data.pipeline import DataConfig
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.search import SearchConfig
from dst_jax.train import OptimConfig


def experiment() -> Experiment:
    """Returns the paper's search, whose settings are the defaults of `SearchConfig`."""
    return Experiment(
        students={"dull": named("dstfc")},
        data=DataConfig(sources=("got10k:data/got10k/train",)),
        augment=AugmentConfig(grey=0.25),
        optim=OptimConfig(learning_rate=1e-2, final_learning_rate=1e-2),
        search=SearchConfig(),
    )
