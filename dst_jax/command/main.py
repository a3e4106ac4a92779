"""`dst-jax <verb>` parses the command line and calls the workflow of the verb."""

import dataclasses
import sys
import typing
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from dst_jax.command.fields import refuse_unknown
from dst_jax.command.parsing import parse
from dst_jax.command.verbs import (
    Ablate,
    Config,
    Convert,
    Data,
    Demo,
    Distill,
    Evaluate,
    Info,
    ListConfigs,
    ListLayouts,
    Pack,
    Search,
    Show,
    Track,
    Train,
    Verb,
    Verify,
    options,
)
from dst_jax.errors import InputError, printable

if typing.TYPE_CHECKING:
    from dst_jax.experiment import Experiment

DESCRIPTION = """Distilled Siamese trackers in JAX.

A large tracker (the teacher) is compressed into small, fast ones (the students).
Start with: dst-jax demo --workdir runs/demo
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code.

    Args:
      arguments: Words of the command line; None for those of the process.

    Returns:
      0 for success, 2 for bad input, 130 for an interruption.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    verb, console = None, Console()
    try:
        verb, rest = parse(Verb, given, prog="dst-jax", description=DESCRIPTION)
        verb = verb.do if isinstance(verb, Data | Config) else verb
        # The remaining words are fields of a configuration, which is not read yet.
        if rest and not isinstance(verb, Train | Distill | Search | Ablate | Pack):
            refuse_unknown(rest, options(verb), help_of=f"{given[0]} --help")
        _dispatch(verb, rest, console)
    except InputError as error:
        print(f"dst-jax: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        # A user can mend an error that names a file, such as a full disk or a missing
        # right.
        if error.filename is None:
            raise
        line = printable(f"{error.filename}: {error.strerror}.")
        print(f"dst-jax: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        goes_on = isinstance(verb, Demo | Train | Distill | Search | Ablate | Pack)
        hint = "; run again to go on" if goes_on else ""
        print(f"dst-jax: {str(stop) or 'interrupted'}{hint}", file=sys.stderr)
        return 130
    return 0


def _dispatch(verb: Any, rest: list[str], console: Console) -> None:
    """Calls the workflow of a verb; imports it only here, so that --help is quick."""
    match verb:
        case Demo():
            _demo(verb, console)
        case Train() | Distill():
            _train(verb, rest, console)
        case Search():
            _search(verb, rest, console)
        case Ablate():
            _ablate(verb, rest, console)
        case Convert():
            from dst_jax.workflows.convert import convert

            convert(
                verb.source,
                verb.file,
                verb.out,
                architecture=verb.architecture,
                preset=verb.preset,
                force=verb.force,
                console=console,
            )
        case Track():
            from dst_jax.workflows.track import parse_box, track_video

            track_video(verb.tracker, verb.video, parse_box(verb.box), verb.out)
        case Evaluate():
            _evaluate(verb, console)
        case Verify() | Pack() | ListLayouts():
            _data(verb, rest, console)
        case Info() | Show() | ListConfigs():
            _show(verb, console)


def _demo(verb: Demo, console: Console) -> None:
    from dst_jax.command.settings import load_experiment
    from dst_jax.workflows.demo import run_demo

    family = {"siamfc": "demo", "siamrpn": "demo_siamrpn"}[verb.family]
    experiments = [
        load_experiment(f"{family}_{part}") for part in ("teacher", "students")
    ]
    run_demo(*experiments, workdir=verb.workdir, seed=verb.seed, console=console)


def _train(verb: Train | Distill, rest: list[str], console: Console) -> None:
    from dst_jax.command import settings
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
    experiment = _overridden(experiment, verb, rest)
    trained = run_training(
        experiment,
        verb.workdir,
        teacher=teacher,
        init=settings.parse_init(verb.init, experiment.students),
        verb=f"dst-jax {type(verb).__name__.lower()}",
        console=console,
    )
    print_trained(trained, console)


def _overridden(
    experiment: "Experiment",
    verb: Train | Distill | Search | Ablate | Pack,
    rest: list[str],
) -> "Experiment":
    """Returns the experiment with the fields and options of the command line."""
    from dst_jax.command import settings

    experiment = settings.override(experiment, rest, also=options(verb))
    if verb.skip_bad:
        data = dataclasses.replace(experiment.data, skip_bad=True)
        experiment = dataclasses.replace(experiment, data=data)
    if isinstance(verb, Train | Distill | Search) and verb.seed is not None:
        experiment = dataclasses.replace(experiment, seed=verb.seed)
    return experiment


def _search(verb: Search, rest: list[str], console: Console) -> None:
    from dst_jax.command import settings
    from dst_jax.workflows.search import print_searched, search_student

    experiment = _overridden(settings.load_experiment(verb.config), verb, rest)
    searched = search_student(
        experiment, verb.workdir, teacher=verb.teacher, console=console
    )
    print_searched(searched, console)


def _ablate(verb: Ablate, rest: list[str], console: Console) -> None:
    from dst_jax.command import settings
    from dst_jax.workflows.ablation.plan import ALL_ROWS, Choice
    from dst_jax.workflows.ablation.run import run_ablation

    experiment = _overridden(settings.load_experiment(verb.config), verb, rest)
    choice = Choice(
        rows=verb.rows or (() if verb.students else ALL_ROWS),
        counts=verb.students,
        seeds=verb.seeds or (experiment.seed,),
        datasets=verb.dataset,
    )
    run_ablation(
        experiment, choice, verb.workdir, teacher=verb.teacher, console=console
    )


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


def _data(verb: Verify | Pack | ListLayouts, rest: list[str], console: Console) -> None:
    from dst_jax.workflows.verify import print_layouts, verify_data

    if isinstance(verb, Pack):
        _pack(verb, rest, console)
        return
    if isinstance(verb, ListLayouts):
        print_layouts(console)
        return
    verify_data(
        verb.source, every_frame=verb.all, report_path=verb.report, console=console
    )


def _pack(verb: Pack, rest: list[str], console: Console) -> None:
    from dst_jax.command import settings
    from dst_jax.workflows.pack import PackConfig, pack_data, print_packed

    experiment = settings.load_experiment(verb.config)
    # Settings per source belong to the sources that the configuration names.
    data = dataclasses.replace(
        experiment.data, sources=verb.sources, weights=(), max_gaps=(), reports=()
    )
    experiment = dataclasses.replace(experiment, data=data)
    packed = pack_data(
        _overridden(experiment, verb, rest),
        verb.out,
        config=PackConfig(
            encoding=verb.encoding, quality=verb.quality, workers=verb.workers
        ),
        console=console,
    )
    print_packed(packed, console)


def _show(verb: Info | Show | ListConfigs, console: Console) -> None:
    from dst_jax.command import settings, show
    from dst_jax.workflows.info import print_info

    if isinstance(verb, Info):
        print_info(verb.name, console)
    elif isinstance(verb, ListConfigs):
        show.print_configurations(settings.packaged(), console)
    else:
        show.print_fields(settings.load_experiment(verb.config), console)


if __name__ == "__main__":
    sys.exit(main())
