"""Reproduces the paper's claim on real video: from data to a table, within minutes.

    python scripts/reproduce_siamfc.py --workdir runs/real --minutes 240 \
        --train got10k:DIR got10k:DIR --test otb:DIR --teacher BUNDLE --seeds 0 1 2
    python scripts/reproduce_siamfc.py --workdir runs/real --report

Both students of a family at full size are trained in the rows NOKD, TSKD and TSsKD with
the paper's gates and with gates that work, whose terms are those of scripts/claim.py.
`--family siamfc-mini` and `siamrpn-mini` are the miniatures of that script instead, of
which two cores train tens of thousands of pairs in minutes.
Without `--teacher BUNDLE` the teacher is trained first, on twice a row's pairs. Each
training set is packed once, a share of its videos is held out, and the weights with
the least loss on them ("best") are those that are scored on the test videos.

`--minutes` is for all of it. A short trial in the dearest row says how many pairs fit.
That number is written down once, in plan.json: it is the same for all rows and stays
when the same command goes on, or another one adds seeds and rows. Stages that are
finished are kept; with --report their tables are printed and nothing is run.
"""

import argparse
import dataclasses
import pathlib
import sys
import time

import jax
from claim_stages import (
    LITERAL_ROW,
    PAPER_ROWS,
    WORKING_ROW,
    by_video,
    line,
    result_path,
    score_run,
    tell,
)
from claim_table import STILL, STUDENTS, TEACHER, Results, mean_of, report
from pair_budget import Trial, Work, pairs_that_fit, tracking_seconds, try_training
from reproduce_plan import (
    EPOCHS,
    FAMILIES,
    PLAN,
    TEACHER_SEED,
    TEACHER_TIMES,
    Data,
    Plan,
    experiment_of,
    read_plan,
    require_same,
    seed_folder,
)
from rich.console import Console

from dst_jax.bundle import load_bundle
from dst_jax.command.startup import silence_decoders, start_jax
from dst_jax.data.packs.packed import is_packed
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError, printable
from dst_jax.experiment import Experiment
from dst_jax.files import remove_folder, require_place, user_path, write_json
from dst_jax.workflows.evaluation import read_videos, score_still
from dst_jax.workflows.pack import pack_data
from dst_jax.workflows.train import Trained, run_training

# Of the packs, checkpoints and bundles of one seed, in bytes.
_SPACE = 300_000_000


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
    packs = []
    for number, source in enumerate(data.train):
        if is_packed(source):
            packs.append(source)
            continue
        began, out = time.perf_counter(), folder / f"pack-{number}"
        alone = dataclasses.replace(made.data, sources=(source,))
        packed = pack_data(
            dataclasses.replace(made, students=students, data=alone),
            out,
            console=console,
        )
        tell(f"pack of {printable(source)}", began, f"{packed.records:,} patches")
        packs.append(f"packed:{out}")
    return dataclasses.replace(data, train=tuple(packs))


def make_plan(place: Place, data: Data, args: argparse.Namespace, began: float) -> Plan:
    """Returns the plan after a trial in the dearest row."""

    def trial(name: str, teacher: pathlib.Path | None) -> Trial:
        made = experiment_of(place.packed, name, TEACHER_SEED, pairs=EPOCHS)
        folder = result_path(place.folder / "trial", name).with_suffix("")
        return try_training(made, folder, teacher=teacher, console=place.console)

    teacher, works = place.teacher, []
    if teacher is None:
        first = trial(TEACHER, None)
        teacher = first.bundles[TEACHER]
        tracking = tracking_seconds([teacher], place.test)
        fixed = first.fixed_s + tracking
        works.append(Work(1, fixed, first.pair_s, share=TEACHER_TIMES))
    else:
        works.append(Work(1, tracking_seconds([teacher], place.test)))
    row = trial(max(args.rows, key=PAPER_ROWS.index), teacher)
    fixed = row.fixed_s + tracking_seconds(row.bundles.values(), place.test)
    works.append(Work(len(args.rows) * len(args.seeds), fixed, row.pair_s))
    batch = experiment_of(data, "NOKD", 0, pairs=EPOCHS).data.batch
    spent = time.perf_counter() - began
    remove_folder(place.folder / "trial")
    return Plan(
        data=data,
        pairs=pairs_that_fit(
            args.minutes, works, spent_s=spent, multiple=EPOCHS * batch
        ),
        minutes=args.minutes,
        rows=tuple(args.rows),
        seeds=tuple(args.seeds),
        pair_s=row.pair_s,
        fixed_s=fixed,
    )


def run_teacher(plan: Plan, place: Place) -> pathlib.Path:
    """Returns the teacher's bundle; trains it if none was given, and scores it."""
    began, seconds = time.perf_counter(), 0.0
    best = place.teacher
    if best is None:
        made = experiment_of(place.packed, TEACHER, TEACHER_SEED, pairs=plan.pairs)
        trained = _train(made, place, TEACHER, None)
        best, seconds = _best(trained)[TEACHER], trained.seconds
    stage = plan.stage(place.folder, TEACHER, TEACHER_SEED)
    if stage.read() is None:
        scored = score_run({TEACHER: best}, None, place.test)
        scored[STILL] = by_video(score_still(place.test))
        values = {"seconds": {"training": seconds}, "trackers": scored}
        stage.write(values, seed=TEACHER_SEED)
        tell(f"{plan.data.family} teacher", began, line(scored))
    return best


def run_row(
    plan: Plan, place: Place, name: str, seed: int, teacher: pathlib.Path
) -> None:
    """Trains and scores both students in a row, unless that is done."""
    stage = plan.stage(place.folder, name, seed)
    if stage.read() is not None:
        return
    began = time.perf_counter()
    made = experiment_of(place.packed, name, seed, pairs=plan.pairs)
    trained = _train(made, place, name, teacher)
    scored = score_run(_best(trained), trained.metrics, place.test)
    seconds = {"training": trained.seconds, "all": time.perf_counter() - began}
    stage.write({"seconds": seconds, "trackers": scored}, seed=seed)
    tell(f"{plan.data.family} seed {seed} {name}", began, line(scored))
    # Programs of a row are of no use to the next.
    jax.clear_caches()


def _train(
    experiment: Experiment, place: Place, name: str, teacher: pathlib.Path | None
) -> Trained:
    runs = seed_folder(place.folder, name, experiment.seed) / "runs"
    return run_training(
        experiment,
        result_path(runs, name).with_suffix(""),
        teacher=teacher,
        verb="scripts/reproduce_siamfc.py",
        console=place.console,
    )


def _best(trained: Trained) -> dict[str, pathlib.Path]:
    """Returns the bundles with the least loss on the held-out videos."""
    return {n: path.with_name(f"{n}-best") for n, path in trained.bundles.items()}


def finished(plan: Plan, folder: pathlib.Path) -> Results:
    """Returns results of finished stages by seed and name; all have one teacher."""
    teacher = plan.stage(folder, TEACHER, TEACHER_SEED).read()
    if teacher is None:
        return {}
    found = {}
    for each in sorted(folder.glob("seed-*")):
        seed = int(each.name.removeprefix("seed-"))
        stages = {n: plan.stage(folder, n, seed).read() for n in PAPER_ROWS}
        found[seed] = {TEACHER: teacher, **{n: v for n, v in stages.items() if v}}
    return found or {TEACHER_SEED: {TEACHER: teacher}}


def remarks(results: Results) -> list[str]:
    """Returns in words what decides how far a table can be believed."""
    found = []
    teacher, still = (mean_of(results, TEACHER, name) for name in (TEACHER, STILL))
    if teacher <= still:
        found.append(
            f"The teacher (AUC {teacher:.3f}) is not above a box that never moves "
            f"({still:.3f}), so that it has nothing to teach."
        )
    for name in STUDENTS if any("NOKD" in one for one in results.values()) else ():
        if teacher <= (plain := mean_of(results, "NOKD", name)):
            found.append(
                f"The teacher (AUC {teacher:.3f}) is not above the {name} student that "
                f"nobody taught ({plain:.3f})."
            )
    for row in (LITERAL_ROW, WORKING_ROW):
        stages = [one[row] for one in results.values() if row in one]
        for name in STUDENTS if stages else ():
            shares = [stage["trackers"][name]["gate_open"] for stage in stages]
            opened = sum(shares) / len(shares)
            text = f"open in {opened:.1%}" if opened else "never open: it is TSKD"
            found.append(f"{row}, {name}: the gate was {text}.")
    return found


def tables(plan: Plan, folder: pathlib.Path) -> str:
    """Returns the report of what is finished."""
    results = finished(plan, folder)
    if not results:
        return f"{folder}: no stage is finished yet."
    rows = len(plan.rows) * len(plan.seeds)
    head = (
        f"{plan.pairs:,} pairs a row, chosen so that {rows} of them fit into "
        f"{plan.minutes:g} minutes."
    )
    return "\n\n".join([head, report(results, PAPER_ROWS), *remarks(results)])


def run(args: argparse.Namespace, folder: pathlib.Path, began: float) -> Plan:
    """Runs what is missing; returns the plan."""
    if not (args.train and args.test and args.minutes):
        raise InputError("--train, --test and --minutes are needed, except to report.")
    teacher = args.teacher and user_path(args.teacher)
    given = load_bundle(teacher).weights_sha256 if teacher else None
    data = Data(args.family, tuple(args.train), args.validation, args.test, given)
    plan = read_plan(folder)
    if plan:
        require_same(plan, data, folder)
    require_place(folder / PLAN, space=_SPACE)
    silence_decoders()
    start_jax()
    test, console = read_videos(data.test), Console(quiet=True)
    packed = make_packs(data, folder, teacher, console)
    place = Place(folder, packed, test, teacher, console)
    if plan is None:
        plan = make_plan(place, data, args, began)
        write_json(folder / PLAN, dataclasses.asdict(plan), sort_keys=False)
        tell("plan", began, f"{plan.pairs:,} pairs a row, {plan.pair_s:.3f} s a pair")
    elif args.minutes != plan.minutes:
        print(f"--minutes {args.minutes:g}: the plan stays at {plan.pairs:,} pairs.")
    bundle = run_teacher(plan, place)
    for seed in args.seeds:
        for name in args.rows:
            run_row(plan, place, name, seed, bundle)
    return plan


def main() -> None:
    """Runs the stages that are missing and prints the report."""
    began = time.perf_counter()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=tuple(FAMILIES), default="siamfc")
    parser.add_argument("--train", nargs="+", metavar="LAYOUT:DIR")
    parser.add_argument(
        "--validation", type=float, default=0.1, help="share of videos held out"
    )
    parser.add_argument("--test", metavar="LAYOUT:DIR")
    parser.add_argument("--teacher", type=pathlib.Path, metavar="BUNDLE")
    parser.add_argument("--minutes", type=float, help="budget for all of it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--rows", choices=PAPER_ROWS, nargs="+", default=list(PAPER_ROWS)
    )
    parser.add_argument("--report", action="store_true", help="print tables, run none")
    args = parser.parse_args()
    try:
        folder = user_path(args.workdir) / args.family
        plan = read_plan(folder) if args.report else run(args, folder, began)
        if plan is None:
            raise InputError(f"{folder}: there is no {PLAN}; run without --report.")
        print(tables(plan, folder))
    except InputError as error:
        sys.exit(f"reproduce_siamfc.py: {printable(str(error))}")
    except KeyboardInterrupt as end:
        sys.exit(
            f"reproduce_siamfc.py: {printable(str(end))}; the same command goes on."
        )


if __name__ == "__main__":
    main()
