"""Reproduces the paper's claim on real video: from data to a table, within minutes.

    python scripts/reproduce_siamfc.py --workdir runs/real --minutes 240 \
        --train got10k:DIR got10k:DIR --test otb:DIR --teacher BUNDLE --seeds 0 1 2
    python scripts/reproduce_siamfc.py --workdir runs/real --report

Both students of a family at full size are trained in the rows NOKD, TSKD and TSsKD with
the paper's gates and with gates that work, whose terms are those of scripts/claim.py.
`--family siamfc-mini` and `siamrpn-mini` are the miniatures of that script instead, of
which two cores train tens of thousands of pairs in minutes.
Without `--teacher BUNDLE` the teacher is trained first, on twice a row's pairs or
`--teacher-pairs`. Each training set is packed once, a share of its videos is held out,
and the weights with the least loss on them ("best") are those that teach, and those
that are scored on the test videos.

`--minutes` is for all of it. A short trial in the dearest row says how many pairs fit.
That number is written down once, in plan.json: it is the same for all rows and stays
when the same command goes on, or another one adds seeds and rows. Stages that are
finished are kept; with --report their tables are printed and nothing is run.

On an accelerator, with the number of pairs given and rows side by side:

    python scripts/reproduce_siamfc.py --workdir runs/real --pairs 40000 --jobs 12 \
        --teacher-pairs 128000 --train packed:DIR --test otb:DIR --seeds 0 1 2 \
        --data.batch 32 --data.cache device --optim.final_learning_rate 1e-4

`--pairs` takes the place of the trial. With `--jobs N` every row is a process of this
script, N at once, which share the device (XLA_PYTHON_CLIENT_PREALLOCATE=false lets them
share its memory); rows begin in the order of --seeds, then of --rows. What rows that
wait for the teacher will run is compiled meanwhile. Each process has a file in the
folder "logs". `--section.field VALUE` sets a field of the configuration in all
trainings, as for `dst-jax train`; plan.json holds these too.
"""

import argparse
import dataclasses
import pathlib
import sys
import time

from claim_stages import LITERAL_ROW, PAPER_ROWS, WORKING_ROW, tell
from claim_table import STILL, STUDENTS, TEACHER, Results, mean_of, report
from reproduce_jobs import own_command, run_tasks, tasks_of
from reproduce_plan import (
    FAMILIES,
    PLAN,
    TEACHER_SEED,
    Data,
    Plan,
    read_plan,
    require_same,
    require_same_pairs,
)
from reproduce_stages import (
    Place,
    compile_row,
    make_packs,
    make_plan,
    packs_of,
    run_row,
    score_teacher,
    teacher_of,
    train_teacher,
)
from rich.console import Console

from dst_jax.bundle import load_bundle
from dst_jax.command.startup import silence_decoders, start_jax
from dst_jax.errors import InputError, printable
from dst_jax.files import require_place, user_path, write_json
from dst_jax.workflows.evaluation import read_videos

# Of the packs, checkpoints and bundles of one seed, in bytes.
_SPACE = 300_000_000
# What a process of --jobs does.
_PARTS = ("teacher", "row", "programs")


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
    head = f"{plan.pairs:,} pairs a row."
    if plan.minutes is not None:
        fit = f"so that {rows} of them fit into {plan.minutes:g} minutes."
        head = f"{plan.pairs:,} pairs a row, chosen {fit}"
    return "\n\n".join([head, report(results, PAPER_ROWS), *remarks(results)])


def prepare(
    args: argparse.Namespace, folder: pathlib.Path, began: float
) -> tuple[Plan, Place]:
    """Returns the plan, made if it is missing, and where it works."""
    if not (args.train and args.test and (args.minutes or args.pairs)):
        raise InputError(
            "--train, --test and --minutes or --pairs are needed, except to report."
        )
    teacher = args.teacher and user_path(args.teacher)
    given = load_bundle(teacher).weights_sha256 if teacher else None
    data = Data(args.family, tuple(args.train), args.validation, args.test, given)
    plan = read_plan(folder)
    if plan:
        require_same(plan, data, folder, fields=args.fields)
    require_place(folder / PLAN, space=_SPACE)
    silence_decoders()
    if args.jobs == 1:  # a process that only starts others takes no device
        start_jax()
    test, console = read_videos(data.test), Console(quiet=True)
    # What starts a part has made the packs.
    packed = (
        packs_of(data, folder)
        if args.part
        else make_packs(data, folder, teacher, console)
    )
    place = Place(folder, packed, test, teacher, console)
    if plan is None:
        plan = make_plan(place, data, args, began)
        write_json(folder / PLAN, dataclasses.asdict(plan), sort_keys=False)
        each = "" if plan.pair_s is None else f", {plan.pair_s:.3f} s a pair"
        tell("plan", began, f"{plan.pairs:,} pairs a row{each}")
    elif not args.part:
        require_same_pairs(plan, folder, pairs=args.pairs, teacher=args.teacher_pairs)
        if args.minutes and args.minutes != plan.minutes:
            asked = f"--minutes {args.minutes:g}"
            print(f"{asked}: the plan stays at {plan.pairs:,} pairs.")
    return plan, place


def run(args: argparse.Namespace, folder: pathlib.Path, began: float) -> Plan:
    """Runs what is missing; returns the plan.

    Raises:
      InputError: If processes failed; what the others did is kept.
    """
    plan, place = prepare(args, folder, began)
    if args.jobs > 1:
        rows = [f"{seed}:{name}" for seed in args.seeds for name in args.rows]
        tasks = tasks_of(plan, place, own_command(), rows=rows)
        failed = run_tasks(tasks, jobs=args.jobs)
        if failed:
            print(tables(plan, folder))
            names = ", ".join(failed)
            raise InputError(f"{names}: did not end well; see {folder / 'logs'}.")
    elif args.part in ("row", "programs"):
        for seed in args.seeds:
            for name in args.rows:
                if args.part == "row":
                    run_row(plan, place, name, seed, teacher_of(plan, place))
                else:
                    compile_row(plan, place, name, seed)
    else:
        bundle = train_teacher(plan, place)
        score_teacher(plan, place, bundle)
        for seed in args.seeds if args.part is None else ():
            for name in args.rows:
                run_row(plan, place, name, seed, bundle)
    return plan


def positive(text: str) -> int:
    """Returns the number that an option names."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be at least 1")
    return number


def _arguments() -> argparse.Namespace:
    """Returns the options; words of the configuration's fields are its `fields`."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n", 1)[0], allow_abbrev=False
    )
    parser.add_argument("--workdir", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=tuple(FAMILIES), default="siamfc")
    parser.add_argument("--train", nargs="+", metavar="LAYOUT:DIR")
    parser.add_argument(
        "--validation", type=float, default=0.1, help="share of videos held out"
    )
    parser.add_argument("--test", metavar="LAYOUT:DIR")
    parser.add_argument("--teacher", type=pathlib.Path, metavar="BUNDLE")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="budget for all of it")
    length.add_argument("--pairs", type=positive, help="pairs a row, without a trial")
    parser.add_argument("--teacher-pairs", type=positive, metavar="PAIRS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--rows", choices=PAPER_ROWS, nargs="+", default=list(PAPER_ROWS)
    )
    parser.add_argument("--jobs", type=positive, default=1, help="rows at once")
    parser.add_argument("--part", choices=_PARTS, help="what a process of --jobs does")
    parser.add_argument("--report", action="store_true", help="print tables, run none")
    args, fields = parser.parse_known_args()
    if fields and fields[0][:2] != "--":
        parser.error(f"unrecognized arguments: {fields[0]}")
    if args.jobs > 1 and args.minutes:
        parser.error("--jobs: give --pairs; a trial tells nothing of shared devices.")
    args.fields = fields
    return args


def main() -> None:
    """Runs the stages that are missing and prints the report."""
    began, args = time.perf_counter(), _arguments()
    try:
        folder = user_path(args.workdir) / args.family
        plan = read_plan(folder) if args.report else run(args, folder, began)
        if plan is None:
            raise InputError(f"{folder}: there is no {PLAN}; run without --report.")
        if not args.part:
            print(tables(plan, folder))
    except InputError as error:
        sys.exit(f"reproduce_siamfc.py: {printable(str(error))}")
    except KeyboardInterrupt as end:
        why = printable(str(end)) or "stopped"
        sys.exit(f"reproduce_siamfc.py: {why}; the same command goes on.")


if __name__ == "__main__":
    main()
