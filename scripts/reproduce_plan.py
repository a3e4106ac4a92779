"""The data, trainings and lengths of what scripts/reproduce_siamfc.py runs."""

import dataclasses
import pathlib
from typing import Any

from claim_stages import Stage, miniature_row, terms_of
from claim_table import TEACHER

from dst_jax.configs import (
    demo_siamrpn_students,
    demo_siamrpn_teacher,
    demo_students,
    demo_teacher,
    siamfc_dst_short,
    siamfc_teacher,
    siamrpn_dst,
    siamrpn_teacher,
)
from dst_jax.decode import from_json
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment, config_hash, experiment_to_json
from dst_jax.files import read_json

# The teacher's network, and the students with everything else.
FAMILIES = {
    "siamfc": (siamfc_teacher, siamfc_dst_short),
    "siamrpn": (siamrpn_teacher, siamrpn_dst),
    "siamfc-mini": (demo_teacher, demo_students),
    "siamrpn-mini": (demo_siamrpn_teacher, demo_siamrpn_students),
}
# The families of scripts/claim.py, whose terms, gates and rates by row they have.
MINIATURES = {"siamfc-mini": "siamfc", "siamrpn-mini": "siamrpn"}
# A warm-up, and a rate that is held, keep their share of a run.
EPOCHS = 4
MOST_BATCH = 8  # two cores are as fast with it as with more, and take more steps
# A teacher that is trained here has so many times the pairs of a row, and this seed.
TEACHER_TIMES, TEACHER_SEED = 2, 0
PLAN = "plan.json"


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run of this script is about; another one needs another folder.

    Attributes:
      family: A name of `FAMILIES`.
      train: Sources of the training videos.
      validation: Share of each source's videos that is held out.
      test: Source of the videos on which trackers are scored.
      teacher: SHA-256 of the given teacher's weights; None if it is trained here.
    """

    family: str
    train: tuple[str, ...]
    validation: float
    test: str
    teacher: str | None


@dataclasses.dataclass(frozen=True)
class Plan:
    """The number of pairs of every row, and what it was chosen for.

    Attributes:
      data: What the run is about.
      pairs: Pairs of every row.
      minutes: The budget.
      rows: The rows that were to fit.
      seeds: The seeds that were to fit.
      pair_s: Measured seconds of a pair of the dearest row.
      fixed_s: Measured seconds of such a row without its pairs.
    """

    data: Data
    pairs: int
    minutes: float
    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    pair_s: float
    fixed_s: float

    def stage(self, folder: pathlib.Path, name: str, seed: int) -> Stage:
        """Returns a stage of a seed, in the folder of all seeds."""
        made = experiment_of(self.data, name, seed, pairs=self.pairs)
        digest = config_hash(
            {
                "data": dataclasses.asdict(self.data),
                "pairs": self.pairs,
                "training": experiment_to_json(made),
            }
        )
        return Stage(seed_folder(folder, name, seed), name, digest)


def seed_folder(folder: pathlib.Path, name: str, seed: int) -> pathlib.Path:
    """Returns the folder of a stage's seed; one teacher serves them all."""
    return folder if name == TEACHER else folder / f"seed-{seed}"


def experiment_of(data: Data, name: str, seed: int, *, pairs: int) -> Experiment:
    """Returns the training of the teacher, or of both students in a row.

    Args:
      data: Family, sources and held-out share.
      name: "teacher" or one of `PAPER_ROWS`.
      seed: Seed of weights and of the order of pairs.
      pairs: Pairs of a row, a multiple of `EPOCHS`.
    """
    is_teacher, small = name == TEACHER, MINIATURES.get(data.family)
    network, config = (module.experiment() for module in FAMILIES[data.family])
    # A full-size teacher differs from its students' recipe in the network alone.
    base = network if is_teacher and small else config
    shorter = EPOCHS / base.optim.epochs
    optim = dataclasses.replace(
        base.optim,
        epochs=float(EPOCHS),
        hold_epochs=shorter * base.optim.hold_epochs,
        pairs_per_epoch=pairs // EPOCHS * (TEACHER_TIMES if is_teacher else 1),
    )
    distill = dataclasses.replace(
        base.distill, warmup_epochs=shorter * base.distill.warmup_epochs
    )
    batch = base.data.batch if small else min(base.data.batch, MOST_BATCH)
    made = dataclasses.replace(
        base,
        students=network.students if is_teacher else base.students,
        data=dataclasses.replace(
            base.data,
            sources=data.train,
            weights=(),
            max_gaps=(),
            batch=batch,
            validation_share=data.validation,
        ),
        distill=distill,
        optim=optim,
        seed=seed,
    )
    if small and not is_teacher:
        return miniature_row(made, small, name)
    terms = terms_of("NOKD" if is_teacher else name, made.distill)
    return dataclasses.replace(made, distill=terms)


def read_plan(folder: pathlib.Path) -> Plan | None:
    """Returns the plan in a folder, or None if there is none."""
    path = folder / PLAN
    return from_json(Plan, read_json(path), str(path)) if path.exists() else None


def require_same(plan: Plan, data: Data, folder: pathlib.Path) -> None:
    """Checks that a plan was made for these data.

    Raises:
      InputError: If it was not; the message names what differs.
    """
    for field in dataclasses.fields(data):
        before, now = (getattr(each, field.name) for each in (plan.data, data))
        if before != now:
            raise InputError(
                f"{folder / PLAN}: was made with --{field.name} {_shown(before)} in "
                f"place of {_shown(now)}; give the same, or another --workdir."
            )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return " ".join(value) if isinstance(value, tuple) else str(value)
