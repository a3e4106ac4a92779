"""The stages of scripts/reproduce_siamfc.py: packs, plan, teacher, rows."""

import argparse
import dataclasses
import pathlib
import tempfile
import time

import jax
from claim_stages import PAPER_ROWS, Stage, by_video, line, result_path, score_run, tell
from claim_table import STILL, TEACHER
from pair_budget import Trial, Work, pairs_that_fit, tracking_seconds, try_training
from reproduce_plan import (
    EPOCHS,
    TEACHER_SEED,
    TEACHER_TIMES,
    Data,
    Plan,
    experiment_of,
    seed_folder,
    whole_steps,
)
from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.data.packs.packed import is_packed
from dst_jax.data.sequence import Sequence
from dst_jax.distill import needs_teacher
from dst_jax.errors import printable
from dst_jax.experiment import Experiment
from dst_jax.files import remove_folder
from dst_jax.models import init_variables
from dst_jax.ops.kernels import chosen_kernels
from dst_jax.track import default_tracking
from dst_jax.workflows.evaluation import score_still
from dst_jax.workflows.pack import pack_data
from dst_jax.workflows.train import Trained, run_training
from dst_jax.workflows.warmup import warm_up

# Of a teacher whose training has ended, before it is scored.
TRAINED = "trained teacher"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a run works, and with what.

    Attributes:
      folder: Folder of the family in the workdir.
      packed: The data, with packs in place of the sources.
      test: The test videos.
      teacher: The given teacher's bundle, or None.
      console: Console for messages.
    """

    folder: pathlib.Path
    packed: Data
    test: tuple[Sequence, ...]
    teacher: pathlib.Path | None
    console: Console


def make_packs(
    data: Data, folder: pathlib.Path, teacher: pathlib.Path | None, console: Console
) -> Data:
    """Returns the data with packs in place of the sources, made if they are missing."""
    made = experiment_of(data, "NOKD", 0, pairs=EPOCHS)
    given = load_bundle(teacher).spec if teacher else None
    networks = experiment_of(data, TEACHER, 0, pairs=EPOCHS).students
    students = {**made.students, TEACHER: given or networks[TEACHER]}
    for number, source in enumerate(data.train):
        if is_packed(source):
            continue
        began, out = time.perf_counter(), pack_folder(folder, number)
        alone = dataclasses.replace(made.data, sources=(source,))
        packed = pack_data(
            dataclasses.replace(made, students=students, data=alone),
            out,
            console=console,
        )
        tell(f"pack of {printable(source)}", began, f"{packed.records:,} patches")
    return packs_of(data, folder)


def packs_of(data: Data, folder: pathlib.Path) -> Data:
    """Returns the data with packs in place of the sources, which are made already."""
    packs = (
        source if is_packed(source) else f"packed:{pack_folder(folder, number)}"
        for number, source in enumerate(data.train)
    )
    return dataclasses.replace(data, train=tuple(packs))


def pack_folder(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Returns the folder of the pack of a source, by the source's number."""
    return folder / f"pack-{number}"


def make_plan(place: Place, data: Data, args: argparse.Namespace, began: float) -> Plan:
    """Returns the plan: with the pairs that were given, or after a trial."""
    fields = tuple(args.fields)
    plan = Plan(
        data=data,
        pairs=EPOCHS,
        minutes=args.minutes,
        rows=tuple(args.rows),
        seeds=tuple(args.seeds),
        pair_s=None,
        fixed_s=None,
        teacher_pairs=args.teacher_pairs
        and whole_steps(args.teacher_pairs, data, fields, option="--teacher-pairs"),
        fields=fields,
    )
    if args.pairs:
        pairs = whole_steps(args.pairs, data, fields)
        return dataclasses.replace(plan, pairs=pairs, minutes=None)
    return _tried(plan, place, began)


def _tried(plan: Plan, place: Place, began: float) -> Plan:
    """Returns the plan with the pairs that fit its minutes, after short trials."""

    def trial(name: str, teacher: pathlib.Path | None) -> Trial:
        made = plan.experiment(name, TEACHER_SEED, data=place.packed)
        folder = result_path(place.folder / "trial", name).with_suffix("")
        return try_training(made, folder, teacher=teacher, console=place.console)

    teacher, works = place.teacher, []
    if teacher is None:
        first = trial(TEACHER, None)
        teacher = first.bundles[TEACHER]
        tracking = tracking_seconds([teacher], place.test)
        fixed = first.fixed_s + tracking
        if plan.teacher_pairs:
            fixed += plan.teacher_pairs * first.pair_s
            works.append(Work(1, fixed))
        else:
            works.append(Work(1, fixed, first.pair_s, share=TEACHER_TIMES))
    else:
        works.append(Work(1, tracking_seconds([teacher], place.test)))
    row = trial(max(plan.rows, key=PAPER_ROWS.index), teacher)
    fixed = row.fixed_s + tracking_seconds(row.bundles.values(), place.test)
    works.append(Work(len(plan.rows) * len(plan.seeds), fixed, row.pair_s))
    batch = plan.experiment("NOKD", 0, data=plan.data).data.batch
    spent = time.perf_counter() - began
    remove_folder(place.folder / "trial")
    assert plan.minutes is not None
    pairs = pairs_that_fit(plan.minutes, works, spent_s=spent, multiple=EPOCHS * batch)
    return dataclasses.replace(plan, pairs=pairs, pair_s=row.pair_s, fixed_s=fixed)


def teacher_of(plan: Plan, place: Place) -> pathlib.Path | None:
    """Returns the teacher's bundle: the given one, or the trained one; None before."""
    if place.teacher is not None:
        return place.teacher
    ends = (
        _trained_stage(plan, place),
        plan.stage(place.folder, TEACHER, TEACHER_SEED),
    )
    if all(stage.read() is None for stage in ends):
        return None
    return _runs(place, TEACHER, TEACHER_SEED) / TEACHER / "bundles" / f"{TEACHER}-best"


def train_teacher(plan: Plan, place: Place) -> pathlib.Path:
    """Returns the teacher's bundle; trains it if none was given and none is there."""
    if (there := teacher_of(plan, place)) is not None:
        return there
    began = time.perf_counter()
    made = plan.experiment(TEACHER, TEACHER_SEED, data=place.packed)
    trained = _train(made, place, TEACHER, None)
    _trained_stage(plan, place).write({"seconds": trained.seconds}, seed=TEACHER_SEED)
    tell(f"{plan.data.family} {TRAINED}", began, f"{trained.seconds:.0f} s of training")
    return _best(trained)[TEACHER]


def _trained_stage(plan: Plan, place: Place) -> Stage:
    whole = plan.stage(place.folder, TEACHER, TEACHER_SEED)
    return dataclasses.replace(whole, name=TRAINED)


def score_teacher(plan: Plan, place: Place, bundle: pathlib.Path) -> None:
    """Scores the teacher, unless that is done, and a box that never moves."""
    stage = plan.stage(place.folder, TEACHER, TEACHER_SEED)
    if stage.read() is not None:
        return
    began, trained = time.perf_counter(), _trained_stage(plan, place).read()
    scored = score_run({TEACHER: bundle}, None, place.test)
    scored[STILL] = by_video(score_still(place.test))
    seconds = {"training": trained["seconds"] if trained else 0.0}
    stage.write({"seconds": seconds, "trackers": scored}, seed=TEACHER_SEED)
    tell(f"{plan.data.family} teacher", began, line(scored))


def reads_teacher(plan: Plan, name: str) -> bool:
    """Returns whether a row's training needs the teacher."""
    made = plan.experiment(name, TEACHER_SEED, data=plan.data)
    return needs_teacher(made.students, made.distill)


def run_row(
    plan: Plan, place: Place, name: str, seed: int, teacher: pathlib.Path | None
) -> None:
    """Trains and scores both students in a row, unless that is done."""
    stage = plan.stage(place.folder, name, seed)
    if stage.read() is not None:
        return
    began = time.perf_counter()
    made = plan.experiment(name, seed, data=place.packed)
    trained = _train(made, place, name, teacher if reads_teacher(plan, name) else None)
    scored = score_run(_best(trained), trained.metrics, place.test)
    seconds = {"training": trained.seconds, "all": time.perf_counter() - began}
    stage.write({"seconds": seconds, "trackers": scored}, seed=seed)
    tell(f"{plan.data.family} seed {seed} {name}", began, line(scored))
    # Programs of a row are of no use to the next.
    jax.clear_caches()


def compile_row(plan: Plan, place: Place, name: str, seed: int) -> None:
    """Compiles a row's programs before its teacher is there, where JAX keeps them."""
    if chosen_kernels().kind == "onednn":
        return
    began = time.perf_counter()
    made = plan.experiment(name, seed, data=place.packed)
    networks = plan.experiment(TEACHER, TEACHER_SEED, data=plan.data).students
    spec = networks[TEACHER]
    # Programs depend on its architecture, not on its weights.
    variables = jax.device_get(init_variables(jax.random.key(TEACHER_SEED), spec))
    with tempfile.TemporaryDirectory() as folder:
        bundle = pathlib.Path(folder) / TEACHER
        card = {"made_by": "scripts/reproduce_siamfc.py"}
        save_bundle(Bundle(spec, variables, default_tracking(spec), card), bundle)
        warm_up(made, teacher=bundle, console=place.console)
    tell(f"{plan.data.family} seed {seed} {name}", began, "programs compiled")


def _runs(place: Place, name: str, seed: int) -> pathlib.Path:
    return seed_folder(place.folder, name, seed) / "runs"


def _train(
    experiment: Experiment, place: Place, name: str, teacher: pathlib.Path | None
) -> Trained:
    return run_training(
        experiment,
        result_path(_runs(place, name, experiment.seed), name).with_suffix(""),
        teacher=teacher,
        verb="scripts/reproduce_siamfc.py",
        console=place.console,
    )


def _best(trained: Trained) -> dict[str, pathlib.Path]:
    """Returns the bundles with the least loss on the held-out videos."""
    return {n: path.with_name(f"{n}-best") for n, path in trained.bundles.items()}
