"""Measures over seeds whether distillation and sharing help the miniatures.

    python scripts/claim.py --workdir runs/claim --seeds 0 1 2 3 4
    python scripts/claim.py --workdir runs/claim --family siamrpn --seeds 0
    python scripts/claim.py --workdir runs/claim --seeds 0 1 2 3 4 --report

Each seed has its own synthetic videos, teacher, first weights and order of pairs. Its
rows differ in the terms of the objective and in the rate: both students have the same
pairs, steps and validation in each. The rates are the demonstration's. Of three, tried
on seeds of their own, SiamFC's NOKD has the best for it and the other rows that of
TSKD; SiamRPN's rows all have the best for NOKD. Rows such as "NOKD at 0.03", which
--rows asks for, have another of the three. In the rows without a bias, which SiamFC
alone has, students
add no learnable scalar to their response. All trackers of a seed are evaluated on the
same videos, which nobody trained on. A stage that is finished leaves a file and is
kept, so that the same command goes on, and another one adds seeds; with --report it
prints the tables of the stages that are finished (scripts/claim_table.py) and runs
none.
"""

import argparse
import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from claim_stages import (
    PAPER_ROWS,
    Stage,
    by_video,
    line,
    miniature_row,
    result_path,
    score_run,
    tell,
)
from claim_table import STILL, TEACHER, report
from rich.console import Console

from dst_jax.arch import without_bias
from dst_jax.command.startup import silence_decoders, start_jax
from dst_jax.configs import (
    demo_siamrpn_students,
    demo_siamrpn_teacher,
    demo_students,
    demo_teacher,
)
from dst_jax.data.sequence import Sequence
from dst_jax.distill import DistillConfig
from dst_jax.errors import InputError, printable
from dst_jax.experiment import (
    Experiment,
    config_hash,
    experiment_to_json,
    without,
)
from dst_jax.files import require_place, user_path
from dst_jax.workflows.demo_video import TEST_VIDEOS, TRAIN_VIDEOS, write_video
from dst_jax.workflows.evaluation import read_videos, score_still
from dst_jax.workflows.train import run_training

FAMILIES = {
    "siamfc": (demo_teacher, demo_students),
    "siamrpn": (demo_siamrpn_teacher, demo_siamrpn_students),
}
UNBIASED_ROWS = ("NOKD without bias", "TSKD without bias")
ROWS = (*PAPER_ROWS, *UNBIASED_ROWS)
# The rates that were tried of each family's students.
RATES = {"siamfc": (0.03, 0.1, 0.3), "siamrpn": (1e-3 / 3, 1e-3, 1e-2 / 3)}
# Rows at a rate, by family: the row and the rate. Only --rows asks for them.
RATED: Mapping[str, Mapping[str, tuple[str, float]]] = {
    family: {
        f"{row} at {rate:.2g}": (row, rate) for row in PAPER_ROWS for rate in rates
    }
    for family, rates in RATES.items()
}
# Rows that differ from TSKD in one option, which only --rows asks for.
OPTIONS: Mapping[str, Callable[[DistillConfig], DistillConfig]] = {
    "TSKD with AH .1": lambda d: _changed(d, "ah", weight=0.1),
    "TSKD with STR mean": lambda d: _changed(d, "str", scale="mean"),
    "TSKD with TS mean": lambda d: _changed(d, "ts", reduction="mean"),
    "TSKD with TS balanced": lambda d: _changed(d, "ts", reduction="balanced"),
    "TSKD with TS sum": lambda d: _changed(d, "ts", reduction="sum"),
    "TSKD with KL teacher first": lambda d: _changed(
        d, "ts", direction="teacher_first"
    ),
    "TSKD with warm-up": lambda d: dataclasses.replace(d, warmup_epochs=1.0),
}
# Three times the demonstration's, because its 16 leave a wide interval.
TEST = dataclasses.replace(TEST_VIDEOS, videos=48)
# Of the video, checkpoints and bundles of one seed, in bytes.
_SPACE = 150_000_000


def _changed(distill: DistillConfig, name: str, **options: Any) -> DistillConfig:
    term = dataclasses.replace(distill.terms[name], **options)
    return distill.with_terms(**{name: term})


def experiment_of(family: str, name: str, seed: int, source: str) -> Experiment:
    """Returns the training of a seed's teacher, or of both students in a row.

    The students are the family's dull and half miniatures; nothing is searched.

    Args:
      family: A name of `FAMILIES`.
      name: "teacher", or a row that --rows may name.
      seed: Seed of weights and of the order of pairs.
      source: Source of training videos.
    """
    base = FAMILIES[family][name != TEACHER].experiment()
    data = dataclasses.replace(base.data, sources=(source,))
    base = dataclasses.replace(base, data=data, seed=seed)
    if name == TEACHER:
        return base
    row, rate = RATED[family].get(name, (name, None))
    made = miniature_row(base, family, row)
    distill = OPTIONS.get(row, lambda same: same)(made.distill)
    optim = dataclasses.replace(
        made.optim, learning_rate=rate or made.optim.learning_rate
    )
    if name in UNBIASED_ROWS:
        students = {n: without_bias(spec) for n, spec in base.students.items()}
        made = dataclasses.replace(made, students=students)
    return dataclasses.replace(made, distill=distill, optim=optim)


def setting(family: str, name: str, seed: int) -> str:
    """Returns a digest of what the result of a stage depends on.

    Args:
      family: A name of `FAMILIES`.
      name: A row, or "teacher".
      seed: The seed.
    """
    stages = [experiment_of(family, n, seed, "got10k:train") for n in (TEACHER, name)]
    video = [dataclasses.asdict(config) for config in (TRAIN_VIDEOS, TEST)]
    # Nothing is searched.
    values = [without(experiment_to_json(e), "search", "policy") for e in stages]
    return config_hash({"stages": values, "video": video})


def rows_of(family: str) -> tuple[str, ...]:
    """Returns the rows that are made of a family's students where --rows names none."""
    return tuple(row for row in ROWS if family == "siamfc" or row not in UNBIASED_ROWS)


def every_row(family: str) -> tuple[str, ...]:
    """Returns the rows that --rows may name of a family's students."""
    return (*rows_of(family), *RATED[family], *OPTIONS)


@dataclasses.dataclass(frozen=True)
class Seed:
    """One seed of a family, with its folder.

    Attributes:
      family: A name of `FAMILIES`.
      number: The seed.
      workdir: Folder of all families and seeds.
    """

    family: str
    number: int
    workdir: pathlib.Path

    @property
    def folder(self) -> pathlib.Path:
        """Returns the folder of runs and results."""
        return self.workdir / self.family / f"seed-{self.number}"

    @property
    def video(self) -> pathlib.Path:
        """Returns the folder of the videos, which all families share."""
        return self.workdir / f"video-{self.number}"

    def stage(self, name: str) -> Stage:
        """Returns a stage by its name."""
        return Stage(self.folder, name, setting(self.family, name, self.number))

    def tell(self, name: str, began: float, text: str) -> None:
        """Prints the line of a stage."""
        tell(f"{self.family} seed {self.number} {name}", began, text)


def run_seed(seed: Seed, rows: list[str], console: Console) -> None:
    """Runs what is missing of a seed: video, teacher, then one row after the other."""
    missing = [name for name in (TEACHER, *rows) if seed.stage(name).read() is None]
    if not missing:
        return
    require_place(result_path(seed.folder, TEACHER), space=_SPACE)
    seed.folder.mkdir(parents=True, exist_ok=True)
    test = _make_videos(seed, console)
    bundle = seed.folder / "runs" / TEACHER / "bundles" / TEACHER
    for name in missing:
        began, is_row = time.perf_counter(), name != TEACHER
        trained = run_training(
            experiment_of(seed.family, name, seed.number, f"got10k:{seed.video}/train"),
            result_path(seed.folder / "runs", name).with_suffix(""),
            teacher=bundle if is_row else None,
            verb="scripts/claim.py",
            console=console,
        )
        scored = score_run(trained.bundles, trained.metrics, test)
        if not is_row:
            scored[STILL] = by_video(score_still(test))
        seconds = {"training": trained.seconds, "all": time.perf_counter() - began}
        values = {"seconds": seconds, "trackers": scored}
        seed.stage(name).write(values, seed=seed.number)
        seed.tell(name, began, line(scored))


def _make_videos(seed: Seed, console: Console) -> tuple[Sequence, ...]:
    """Returns the test videos, after writing what is missing of a seed's video.

    As in the demonstration, training videos have even seeds and test videos odd ones.
    """
    began = time.perf_counter()
    seed.video.mkdir(parents=True, exist_ok=True)
    write_video(
        seed.video / "train", TRAIN_VIDEOS, seed=2 * seed.number, console=console
    )
    write_video(seed.video / "test", TEST, seed=2 * seed.number + 1, console=console)
    seed.tell("video", began, "ready")
    return read_videos(f"got10k:{seed.video / 'test'}")


def finished(seeds: Iterable[Seed]) -> dict[int, dict[str, Any]]:
    """Returns results of finished stages by seed and name of the stage."""
    found = {}
    for seed in seeds:
        names = (TEACHER, *every_row(seed.family))
        stages = {name: seed.stage(name).read() for name in names}
        found[seed.number] = {name: value for name, value in stages.items() if value}
    return found


def main() -> None:
    """Runs the seeds that are missing, or prints the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=tuple(FAMILIES), default="siamfc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", metavar="ROW", nargs="+")
    parser.add_argument("--report", action="store_true", help="print tables, run none")
    args = parser.parse_args()
    try:
        workdir = user_path(args.workdir)
        rows = args.rows or list(rows_of(args.family))
        known = every_row(args.family)
        for row in rows:
            if row not in known:
                raise InputError(f"--rows {row!r}: there is {', '.join(known)}.")
        seeds = [Seed(args.family, number, workdir) for number in args.seeds]
        if args.report:
            print(report(finished(seeds), known))
            return
        silence_decoders()
        start_jax()
        console = Console(quiet=True)
        for seed in seeds:
            run_seed(seed, rows, console)
            # Programs of a seed are of no use to the next.
            jax.clear_caches()
    except InputError as error:
        sys.exit(f"claim.py: {printable(str(error))}")
    except KeyboardInterrupt as end:
        sys.exit(f"claim.py: {printable(str(end))}; the same command goes on.")


if __name__ == "__main__":
    main()
