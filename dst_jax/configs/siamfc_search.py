"""DST's search of the dull SiamFC student, in the paper's setting (section 5.1).

Run:     dst-jax search siamfc_search --teacher BUNDLE --workdir runs/s \
             --data.sources vid:DIR
Expect:  student.json; the paper found a network of 0.7 MB. 150 candidates see 100,000
         pairs each, which needs an accelerator; see docs/results.md.
Deviates: the paper states neither the rate, the loss nor the batch of a candidate's
         training, nor N and M of eq. 7; docs/equations.md says what stands for them.
         Crops and grey pairs are those of `siamfc_dst`.
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
        data=DataConfig(sources=("vid:data/vid",)),
        augment=AugmentConfig(grey=0.25),
        optim=OptimConfig(learning_rate=1e-2, final_learning_rate=1e-2),
        search=SearchConfig(),
    )
