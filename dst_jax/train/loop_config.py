"""Settings for how often a run reports, validates and saves, and what it keeps."""

import dataclasses

from dst_jax.decode import OMIT_DEFAULT
from dst_jax.require import require, require_at_least, require_whole
from dst_jax.train.keep import Keep

MOST_KEPT, MOST_APART = 1000, 10**6


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Settings for how often a run reports, validates and saves.

    Attributes:
      log_every: Steps between lines of `metrics.jsonl`.
      validate_every: Steps between validations; 0 for once an epoch.
      checkpoint_every: Steps between checkpoints; 0 for once an epoch.
      keep_last: Number of newest checkpoints that stay. With 1 a run has no earlier one
        to go back to if it is damaged.
      keep_every: Of the regular checkpoints, each so manyth stays for good; 0 for none.
      keep_best: Whether for each student the checkpoint with its lowest validation loss
        stays, of those of steps at which the run validates. The best weights are in
        every checkpoint; this keeps the state from which they would learn on.
      save_in_background: Whether steps go on while a checkpoint and its bundles are
        written. One is written at a time, and the run ends when the last one is.
    """

    log_every: int = 20
    validate_every: int = 0
    checkpoint_every: int = 0
    # The JSON leaves these out at their defaults, so that older runs can go on.
    keep_last: int = dataclasses.field(default=2, metadata=OMIT_DEFAULT)
    keep_every: int = dataclasses.field(default=0, metadata=OMIT_DEFAULT)
    keep_best: bool = dataclasses.field(default=False, metadata=OMIT_DEFAULT)
    save_in_background: bool = dataclasses.field(default=True, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        require_at_least(1, self, "log_every")
        for field in ("validate_every", "checkpoint_every"):
            fits = getattr(self, field) >= 0
            require(fits, self, field, "must be positive, or 0 for once an epoch")
        require_whole(1, MOST_KEPT, self, "keep_last")
        require_whole(0, MOST_APART, self, "keep_every")

    def keep(self, steps_per_epoch: int) -> Keep:
        """Returns which checkpoints stay.

        Args:
          steps_per_epoch: Number of steps in an epoch.
        """
        every = self.keep_every * (self.checkpoint_every or steps_per_epoch)
        return Keep(self.keep_last, every, self.keep_best)
