"""`dst-jax <verb>`: parse, call a workflow, print. No logic of its own."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from rich.console import Console
from tyro.conf import Positional, UseAppendAction, arg

from dst_jax.errors import InputError

Append = UseAppendAction
Path = pathlib.Path


@dataclasses.dataclass(frozen=True)
class Demo:
    """Distil two students on synthetic video, from nothing, and report.

    Makes video, trains a miniature teacher, trains the same two students without
    (NOKD) and with distillation (TSsKD), evaluates all on unseen video, and writes
    report.html and report.json. A few minutes on two cores.
    """

    workdir: Annotated[Path, arg(help="folder for data, runs and report")]
    seed: Annotated[int, arg(help="of data, weights and data order")] = 0


@dataclasses.dataclass(frozen=True)
class Train:
    """Train networks on the ground truth alone, a teacher for instance.

    Any field of the configuration can be given as --section.field VALUE;
    `dst-jax config show CONFIG` lists them. Running again goes on.
    """

    config: Annotated[Positional[str], arg(help="a .py file, or see `config list`")]
    workdir: Annotated[Path, arg(help="folder for metrics, checkpoints, bundles")]
    student: Annotated[
        Append[tuple[str, ...]],
        arg(help="NAME=ZOO or NAME=SPEC.json, repeatable; replace the config's"),
    ] = ()
    init: Annotated[
        Append[tuple[str, ...]], arg(help="start from [NAME=]BUNDLE, repeatable")
    ] = ()
    seed: Annotated[int | None, arg(help="of weights and data order")] = None


@dataclasses.dataclass(frozen=True)
class Distill:
    """Train students under a frozen teacher: TS + AH + STR and sharing.

    Writes metrics, checkpoints and one bundle per student. Any field of the
    configuration can be given as --section.field VALUE, e.g. --distill.temperature 2
    --data.sources got10k:DIR coco:DIR; --row picks a row of the paper's tables.
    """

    config: Annotated[Positional[str], arg(help="a .py file, or see `config list`")]
    teacher: Annotated[Path, arg(help="bundle of the frozen teacher")]
    workdir: Annotated[Path, arg(help="folder for metrics, checkpoints, bundles")]
    row: Annotated[
        str | None, arg(help="NOKD, TSKD, TSsKD, GT, TS, GT+TS, AH+TS, TS+STR, ...")
    ] = None
    student: Annotated[
        Append[tuple[str, ...]],
        arg(help="NAME=ZOO or NAME=SPEC.json, repeatable; replace the config's"),
    ] = ()
    init: Annotated[
        Append[tuple[str, ...]], arg(help="start from NAME=BUNDLE, repeatable")
    ] = ()
    seed: Annotated[int | None, arg(help="of weights and data order")] = None


@dataclasses.dataclass(frozen=True)
class Convert:
    """Turn weights of another project into a bundle."""

    file: Annotated[Positional[Path], arg(help="the weights, e.g. a .pth file")]
    out: Annotated[Positional[Path], arg(help="folder of the bundle")]
    source: Annotated[str, arg(help="whose format: siamfc-pytorch")]
    architecture: Annotated[str, arg(help="name in the zoo")] = "siamfc-alexnet"


@dataclasses.dataclass(frozen=True)
class Track:
    """Follow one object through a video and write boxes or an annotated video."""

    tracker: Annotated[Path, arg(help="bundle")]
    video: Annotated[Path, arg(help="a folder of images, or a video file")]
    box: Annotated[str, arg(help="x,y,w,h in the first frame, px, 0-based")]
    out: Annotated[Path, arg(help="OUT.mp4 (annotated) or OUT.txt (x,y,w,h a line)")]


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score trackers, or anybody's result files, on a data set.

    Result files are <sequence>.txt with x,y,w,h a line, in the data set's own
    convention (OTB counts pixels from 1); scoring them needs no frames.
    """

    dataset: Annotated[str, arg(help="otb:DIR, got10k:DIR")]
    tracker: Annotated[
        Append[tuple[Path, ...]], arg(help="bundle to run, repeatable")
    ] = ()
    results: Annotated[Path | None, arg(help="folder of result files")] = None
    results_origin: Annotated[
        int | None, arg(help="1 or 0: what the result files count pixels from")
    ] = None
    results_out: Annotated[
        Path | None,
        arg(help="folder for the trackers' boxes, <tracker>/<sequence>.txt"),
    ] = None
    json: Annotated[Path | None, arg(help="file for the scores")] = None


@dataclasses.dataclass(frozen=True)
class Info:
    """Print layers, sizes and costs of an architecture or a bundle."""

    name: Annotated[Positional[str], arg(help="name in the zoo, or a bundle's folder")]


@dataclasses.dataclass(frozen=True)
class Show:
    """Print every field of a configuration, as --section.field VALUE takes it."""

    config: Annotated[Positional[str], arg(help="a .py file, or see `config list`")]


@dataclasses.dataclass(frozen=True)
class ListConfigs:
    """List the packaged configurations."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Show or list configurations."""

    do: (
        Annotated[Show, tyro.conf.subcommand("show", prefix_name=False)]
        | Annotated[ListConfigs, tyro.conf.subcommand("list", prefix_name=False)]
    )


Verb = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Distill, tyro.conf.subcommand("distill")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Track, tyro.conf.subcommand("track")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Config, tyro.conf.subcommand("config")]
)

DESCRIPTION = """Distilled Siamese trackers in JAX.

A large tracker (the teacher) is compressed into small, fast ones (the students).
Start with: dst-jax demo --workdir runs/demo
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code (2 for bad input)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    verb, rest = tyro.cli(
        Verb,  # pyright: ignore[reportArgumentType]
        args=given or ["--help"],
        prog="dst-jax",
        description=DESCRIPTION,
        return_unknown_args=True,
    )
    console = Console()
    try:
        if rest and not isinstance(verb, Train | Distill):
            raise InputError(f"{rest[0]}: unknown; see dst-jax {given[0]} --help.")
        _dispatch(verb, rest, console)
    except InputError as error:
        print(f"dst-jax: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        # A full disk, a missing right: the user's to mend, if it names a file.
        if error.filename is None:
            raise
        print(f"dst-jax: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        goes_on = isinstance(verb, Demo | Train | Distill)
        hint = "; run again to go on" if goes_on else ""
        print(f"dst-jax: {str(stop) or 'interrupted'}{hint}", file=sys.stderr)
        return 130
    return 0


def _dispatch(verb: Any, rest: list[str], console: Console) -> None:
    """Calls the workflow; imports it first, so that --help stays quick."""
    match verb:
        case Demo():
            _demo(verb, console)
        case Train() | Distill():
            _train(verb, rest, console)
        case Convert():
            from dst_jax.workflows.convert import convert

            convert(
                verb.source,
                verb.file,
                verb.out,
                architecture=verb.architecture,
                console=console,
            )
        case Track():
            from dst_jax.workflows.track import parse_box, track_video

            track_video(verb.tracker, verb.video, parse_box(verb.box), verb.out)
        case Evaluate():
            _evaluate(verb, console)
        case Info():
            from dst_jax.workflows.info import print_info

            print_info(verb.name, console)
        case Config():
            _config(verb.do, console)


def _demo(verb: Demo, console: Console) -> None:
    from dst_jax.configs import demo_students, demo_teacher
    from dst_jax.workflows.demo import run_demo

    experiments = demo_teacher.experiment(), demo_students.experiment()
    run_demo(*experiments, workdir=verb.workdir, seed=verb.seed, console=console)


def _train(verb: Train | Distill, rest: list[str], console: Console) -> None:
    from dst_jax import settings
    from dst_jax.distill import with_row
    from dst_jax.workflows.train import print_trained, run_training

    experiment = settings.load_experiment(verb.config)
    teacher, row = None, "NOKD"
    if isinstance(verb, Distill):
        teacher, row = verb.teacher, verb.row
    if row is not None:
        distill = with_row(experiment.distill, row)
        experiment = dataclasses.replace(experiment, distill=distill)
    experiment = settings.with_students(experiment, verb.student)
    experiment = settings.override(experiment, rest)
    if verb.seed is not None:
        experiment = dataclasses.replace(experiment, seed=verb.seed)
    trained = run_training(
        experiment,
        verb.workdir,
        teacher=teacher,
        init=settings.parse_init(verb.init, experiment.students),
        verb=f"dst-jax {type(verb).__name__.lower()}",
        console=console,
    )
    print_trained(trained, console)


def _evaluate(verb: Evaluate, console: Console) -> None:
    from dst_jax.workflows.evaluate import evaluate_results, evaluate_trackers

    if bool(verb.tracker) == (verb.results is not None):
        raise InputError("give either --tracker BUNDLE (repeatable) or --results DIR.")
    if verb.tracker and verb.results_origin is not None:
        raise InputError("--results-origin is for --results; trackers count from 0.")
    if verb.results is not None and verb.results_out is not None:
        raise InputError("--results-out is for --tracker; --results has files already.")
    if verb.results is not None:
        evaluate_results(
            verb.dataset,
            verb.results,
            json_path=verb.json,
            origin=verb.results_origin,
            console=console,
        )
    else:
        evaluate_trackers(
            verb.dataset,
            verb.tracker,
            json_path=verb.json,
            results_out=verb.results_out,
            console=console,
        )


def _config(verb: Show | ListConfigs, console: Console) -> None:
    from dst_jax import settings
    from dst_jax.experiment import experiment_to_json, flatten

    if isinstance(verb, ListConfigs):
        for name, line in settings.packaged().items():
            console.print(f"[bold]{name}[/bold]  {line}", highlight=False)
        return
    experiment = settings.load_experiment(verb.config)
    for name, value in flatten(experiment_to_json(experiment)).items():
        if not name.startswith("students."):
            text = settings.as_argument(value)
            console.print(f"--{name} {text}", highlight=False, soft_wrap=True)
    for name, spec in experiment.students.items():
        widths = list(spec.backbone.widths)
        console.print(f"student {name}: widths {widths}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
