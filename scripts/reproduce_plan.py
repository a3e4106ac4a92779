"""The data, trainings and lengths of what scripts/reproduce_siamfc.py runs."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from claim_stages import Stage, miniature_row, terms_of
from claim_table import TEACHER

from dst_jax.command.fields import override
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
# Sections of the configuration whose fields may be given, and the fields that are this
# script's own: rows differ in their terms, and all have the same data and lengths.
SECTIONS = ("data", "augment", "optim", "loop")
OWN_FIELDS = (
    *("data.sources", "data.validation_share"),
    *("optim.epochs", "optim.pairs_per_epoch"),
)


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
      minutes: The budget; None if the number of pairs was given.
      rows: The rows that were to fit.
      seeds: The seeds that were to fit.
      pair_s: Measured seconds of a pair of the dearest row; None if nothing was tried.
      fixed_s: Measured seconds of such a row without its pairs; None likewise.
      teacher_pairs: Pairs of the teacher; None for `TEACHER_TIMES` those of a row.
      fields: Words `--section.field VALUE ...` for the configurations of all trainings.
    """

    data: Data
    pairs: int
    minutes: float | None
    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    pair_s: float | None
    fixed_s: float | None
    teacher_pairs: int | None = None
    fields: tuple[str, ...] = ()

    def experiment(self, name: str, seed: int, *, data: Data) -> Experiment:
        """Returns the training of the teacher, or of both students in a row.

        Args:
          name: "teacher" or one of `PAPER_ROWS`.
          seed: Seed of weights and of the order of pairs.
          data: The plan's own data, or the same with packs in place of the sources.
        """
        return experiment_of(
            data,
            name,
            seed,
            pairs=self.pairs,
            teacher_pairs=self.teacher_pairs,
            fields=self.fields,
        )

    def stage(self, folder: pathlib.Path, name: str, seed: int) -> Stage:
        """Returns a stage of a seed, in the folder of all seeds."""
        made = self.experiment(name, seed, data=self.data)
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


def experiment_of(
    data: Data,
    name: str,
    seed: int,
    *,
    pairs: int,
    teacher_pairs: int | None = None,
    fields: Sequence[str] = (),
) -> Experiment:
    """Returns the training of the teacher, or of both students in a row.

    Args:
      data: Family, sources and held-out share.
      name: "teacher" or one of `PAPER_ROWS`.
      seed: Seed of weights and of the order of pairs.
      pairs: Pairs of a row, a multiple of `EPOCHS`.
      teacher_pairs: Pairs of the teacher; None for `TEACHER_TIMES` those of a row.
      fields: Words `--section.field VALUE ...` with other values of the configuration.

    Raises:
      InputError: If a field is unknown, unfit, or the script's own.
    """
    is_teacher, small = name == TEACHER, MINIATURES.get(data.family)
    network, config = (module.experiment() for module in FAMILIES[data.family])
    # A full-size teacher differs from its students' recipe in the network alone.
    base = network if is_teacher and small else config
    shorter = EPOCHS / base.optim.epochs
    length = (teacher_pairs or pairs * TEACHER_TIMES) if is_teacher else pairs
    optim = dataclasses.replace(
        base.optim,
        epochs=float(EPOCHS),
        hold_epochs=shorter * base.optim.hold_epochs,
        pairs_per_epoch=length // EPOCHS,
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
        made = miniature_row(made, small, name)
    else:
        terms = terms_of("NOKD" if is_teacher else name, made.distill)
        made = dataclasses.replace(made, distill=terms)
    return with_fields(made, fields)


def with_fields(made: Experiment, words: Sequence[str]) -> Experiment:
    """Returns a training with other values of its configuration's fields.

    Args:
      made: The training.
      words: Words `--section.field VALUE ...`.

    Raises:
      InputError: If a field is unknown, unfit, or the script's own.
    """
    if not words:
        return made
    named = {}
    for name in (word[2:].partition("=")[0] for word in words if word[:2] == "--"):
        section, dot, _ = name.partition(".")
        if dot:
            named[section] = None
        if dot and (section not in SECTIONS or name in OWN_FIELDS):
            raise InputError(
                f"--{name}: rows have the script's own; there are the fields of "
                f"{', '.join(SECTIONS)} without {', '.join(OWN_FIELDS)}."
            )
    # Only the sections that words name are read.
    sections = {name: getattr(made, name) for name in named or SECTIONS}
    return dataclasses.replace(made, **override(sections, words, renamed={}))


def whole_steps(
    pairs: int, data: Data, fields: Sequence[str], *, option: str = "--pairs"
) -> int:
    """Returns the number of pairs without those that fill no step of every epoch.

    Raises:
      InputError: If none is left.
    """
    made = experiment_of(data, "NOKD", 0, pairs=EPOCHS, fields=fields)
    multiple = EPOCHS * made.data.batch
    if pairs < multiple:
        raise InputError(
            f"{option} {pairs}: {EPOCHS} epochs of a step of {made.data.batch} pairs "
            f"need {multiple}."
        )
    return pairs - pairs % multiple


def require_same_pairs(
    plan: Plan, folder: pathlib.Path, *, pairs: int | None, teacher: int | None
) -> None:
    """Checks that a plan has the pairs that are asked for, where some are.

    Raises:
      InputError: If it has others; the message names both.
    """
    asked: dict[str, tuple[int | None, int | None]] = {
        "--pairs": (pairs, plan.pairs),
        "--teacher-pairs": (teacher, plan.teacher_pairs),
    }
    for option, (number, planned) in asked.items():
        if number is None:
            continue
        if whole_steps(number, plan.data, plan.fields, option=option) != planned:
            raise InputError(
                f"{option} {number}: {folder / PLAN} has {planned}; choose another "
                "--workdir, or leave it out."
            )


def read_plan(folder: pathlib.Path) -> Plan | None:
    """Returns the plan in a folder, or None if there is none."""
    path = folder / PLAN
    return from_json(Plan, read_json(path), str(path)) if path.exists() else None


def require_same(
    plan: Plan, data: Data, folder: pathlib.Path, *, fields: Sequence[str] = ()
) -> None:
    """Checks that a plan was made for these data, and with these fields.

    Raises:
      InputError: If it was not; the message names what differs.
    """
    names = [field.name for field in dataclasses.fields(data)]
    both = [
        (f"--{n}", *(_shown(getattr(each, n)) for each in (plan.data, data)))
        for n in names
    ]
    both.append(("the fields", *map(_shown, (plan.fields, tuple(fields)))))
    for name, before, now in both:
        if before != now:
            raise InputError(
                f"{folder / PLAN}: was made with {name} {before} in place of {now}; "
                "give the same, or another --workdir."
            )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return " ".join(value) or "none" if isinstance(value, tuple) else str(value)
