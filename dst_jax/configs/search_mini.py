"""A search in miniature in which the policy learns: the demonstration's SiamFC.

Run:     dst-jax demo --workdir runs/demo      (for its video and its teacher), then
         dst-jax search search_mini --teacher runs/demo/teacher/bundles/teacher \
             --workdir runs/search
Expect:  five to ten minutes on two CPU cores. Its figures, in docs/results.md, "The
         search's policy", have teachers of mini's widths (scripts/compare_policies.py).
"""

import dataclasses

from dst_jax.configs import demo_teacher
from dst_jax.experiment import Experiment
from dst_jax.search import PolicyConfig, SearchConfig


def experiment() -> Experiment:
    """Returns a search of 50 steps of 4 candidates, 96 pairs each.

    The padding, which follows the kernel, is left out: its action does nothing and
    only adds noise to the gradient.
    """
    search = SearchConfig(
        steps=50,
        candidates=4,
        attributes=("features", "kernel"),
        at_once=2,
        pairs=96,
        epochs=1.0,
        batch=16,
        validation_pairs=128,
        proposals=5,
    )
    base = demo_teacher.experiment()
    return dataclasses.replace(
        base,
        # The recorded figures were made at this rate.
        optim=dataclasses.replace(base.optim, learning_rate=0.03),
        search=search,
        policy=PolicyConfig(learning_rate=0.02),
    )
