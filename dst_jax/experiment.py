"""Experiment: the frozen root of a run's configuration."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any

from dst_jax.arch import TrackerSpec, spec_to_json
from dst_jax.data.pipeline import DataConfig
from dst_jax.decode import to_json
from dst_jax.digests import json_sha256
from dst_jax.distill import DistillConfig, LabelConfig, Setting, TaskConfig
from dst_jax.distill.identity import distill_to_json
from dst_jax.errors import InputError
from dst_jax.models import ModelConfig
from dst_jax.ops.augment import AugmentConfig
from dst_jax.search import PolicyConfig, SearchConfig
from dst_jax.track.config import SiamFCTracking, Tracking
from dst_jax.train import LoopConfig, OptimConfig

# A seed is 32 bits of a key on the device; the number of an example is an int32.
MOST_SEED, MOST_PAIRS = 2**32 - 1, 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that decides what a run computes, except the teacher's weights.

    Attributes:
      students: The networks that learn, by name.
      data: Sources of the pairs, and their way to the step.
      augment: Ranges in which crops are varied.
      distill: The terms of the objective.
      labels: Rules that say what counts as the target.
      task: The tracker's own loss.
      model: Behaviour of the networks in training.
      optim: The optimizer and the length of the run.
      loop: Reports, validation and checkpoints.
      tracking: Online settings that the finished bundles get; they must be of the
        heads' family.
      search: Settings of `dst-jax search` for the dull student; training ignores them.
      policy: The policy that proposes architectures in that search.
      seed: Seed of weights, data order and augmentation.
    """

    students: Mapping[str, TrackerSpec]
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    distill: DistillConfig = DistillConfig()
    labels: LabelConfig = LabelConfig()
    task: TaskConfig = TaskConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    loop: LoopConfig = LoopConfig()
    tracking: Tracking = SiamFCTracking()
    search: SearchConfig = SearchConfig()
    policy: PolicyConfig = PolicyConfig()
    seed: int = 0

    def __post_init__(self):
        require_seed(self.seed, "Experiment.seed")
        pairs = self.optim.total_steps(self.data.batch) * self.data.batch
        if pairs > MOST_PAIRS:
            raise InputError(
                f"OptimConfig.epochs={self.optim.epochs:g}, pairs_per_epoch="
                f"{self.optim.pairs_per_epoch}: are {pairs:,} pairs in all; at most "
                f"{MOST_PAIRS:,} can be numbered."
            )
        for name in self.students:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise InputError(
                    f"student name {name!r}: letters, digits, '-' and '_' only."
                )

    @property
    def setting(self) -> Setting:
        """Returns the settings that the objective is made of."""
        return Setting(self.distill, self.labels, self.task, self.model)


def require_seed(seed: int, name: str) -> None:
    """Returns if a number can be a seed, of which a device's key holds 32 bits.

    Args:
      seed: The number.
      name: Name of the field or option, for the error.

    Raises:
      InputError: If it cannot.
    """
    if not 0 <= seed <= MOST_SEED:
        raise InputError(f"{name}={seed}: must lie in [0, {MOST_SEED:,}].")


def experiment_to_json(experiment: Experiment) -> dict[str, Any]:
    """Returns the resolved configuration as JSON values."""
    values: dict[str, Any] = {
        "students": {n: spec_to_json(s) for n, s in experiment.students.items()}
    }
    for name in sections():
        values[name] = to_json(getattr(experiment, name))
    values["distill"] = distill_to_json(experiment.distill)
    values["seed"] = experiment.seed
    return json.loads(json.dumps(values))


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Returns JSON values without the named sections, which a verb does not read."""
    return {name: value for name, value in values.items() if name not in names}


def config_hash(values: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of JSON values, the same on every host."""
    return json_sha256(values)


def sections() -> tuple[str, ...]:
    """Returns the names of the parts of an experiment that hold settings themselves."""
    kinds = typing.get_type_hints(Experiment)
    return tuple(name for name, kind in kinds.items() if dataclasses.is_dataclass(kind))


def flatten(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Returns nested JSON values as one flat {"section.field": value}."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, prefix=f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Returns "field: ours, was theirs" for every field in which two configs differ."""
    a, b = flatten(ours), flatten(theirs)
    # A field that is missing is no field that is null.
    return [
        f"{name}: {_shown(a, name)}, was {_shown(b, name)}"
        for name in sorted(set(a) | set(b))
        if (name in a, a.get(name)) != (name in b, b.get(name))
    ]


def _shown(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "absent"
