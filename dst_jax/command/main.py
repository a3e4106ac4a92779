"""`dst-jax <verb>`: parse, call a workflow, print. No logic of its own."""

import contextlib
import dataclasses
import io
import itertools
import re
import sys
from collections.abc import Sequence
from typing import Any

import tyro
from rich.console import Console

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
)
from dst_jax.errors import InputError

DESCRIPTION = """Distilled Siamese trackers in JAX.

A large tracker (the teacher) is compressed into small, fast ones (the students).
Start with: dst-jax demo --workdir runs/demo
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code (2 for bad input)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    verb, console = None, Console()
    try:
        verb, rest = _parse(given or ["--help"])
        packs = isinstance(verb, Data) and isinstance(verb.do, Pack)
        if rest and not (packs or isinstance(verb, Train | Distill | Search | Ablate)):
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
        done = verb.do if isinstance(verb, Data) else verb
        goes_on = isinstance(done, Demo | Train | Distill | Search | Ablate | Pack)
        hint = "; run again to go on" if goes_on else ""
        print(f"dst-jax: {str(stop) or 'interrupted'}{hint}", file=sys.stderr)
        return 130
    return 0


def _parse(given: list[str]) -> tuple[Any, list[str]]:
    """The verb and what is left over; help is printed as ever and exits.

    Raises:
      InputError: What tyro prints as a panel.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                Verb,  # pyright: ignore[reportArgumentType]
                args=given,
                prog="dst-jax",
                description=DESCRIPTION,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_one_line(printed.getvalue(), given)) from None


def _one_line(panel: str, given: list[str]) -> str:
    """A sentence of what a panel of tyro's complains about."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", panel)
    # Frames are blank where the terminal knows ASCII alone; titles are not indented.
    rows = re.findall(r"^[│ ] (.*?)[ │]*$", plain, re.M)
    rules = [i for i, row in enumerate(rows) if row and not row.strip("─-")]
    head = rows[: rules[0]] if rules else rows or [panel]
    text = " ".join(row.strip() for row in head).rstrip(". ")
    if text.startswith("Missing from"):
        text = f"missing: {_missing(head[1:])}"
    elif text.startswith("Expected one of"):
        words = itertools.takewhile(lambda word: word[0] != "-", filter(None, given))
        text = ": ".join([*words, text])
    unknown = "Unrecognized options:"
    if unknown in rows:
        text += f"; unknown: {rows[rows.index(unknown) + 1].strip()}"
    found = re.findall(r"dst-jax[\w -]* --help", " ".join(rows))
    return f"{text}; see {found[-1] if found else 'dst-jax --help'}."


def _missing(rows: list[str]) -> str:
    """Names, indented by 4, and in place of a positional one's its help, by 8."""
    entries: list[list[str]] = []
    for row in rows:
        if row.startswith(" " * 8) and entries:
            entries[-1].append(row.strip().removesuffix("(required)").strip())
        else:
            entries.append([row.strip()])
    shown = (
        name if name.startswith("-") else f"{name} ({' '.join(about).strip()})"
        for name, *about in entries
    )
    return ", ".join(shown)


def _dispatch(verb: Any, rest: list[str], console: Console) -> None:
    """Calls the workflow; imports it first, so that --help stays quick."""
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
                console=console,
            )
        case Track():
            from dst_jax.workflows.track import parse_box, track_video

            track_video(verb.tracker, verb.video, parse_box(verb.box), verb.out)
        case Evaluate():
            _evaluate(verb, console)
        case Data():
            _data(verb.do, rest, console)
        case Info() | Config():
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


def _search(verb: Search, rest: list[str], console: Console) -> None:
    from dst_jax.command import settings
    from dst_jax.workflows.search import print_searched, search_student

    experiment = settings.override(settings.load_experiment(verb.config), rest)
    if verb.seed is not None:
        experiment = dataclasses.replace(experiment, seed=verb.seed)
    searched = search_student(
        experiment, verb.workdir, teacher=verb.teacher, console=console
    )
    print_searched(searched, console)


def _ablate(verb: Ablate, rest: list[str], console: Console) -> None:
    from dst_jax.command import settings
    from dst_jax.workflows.ablation.plan import ALL_ROWS, Choice
    from dst_jax.workflows.ablation.run import run_ablation

    experiment = settings.override(settings.load_experiment(verb.config), rest)
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
    # What a configuration says by source is about the sources that it names itself.
    data = dataclasses.replace(
        experiment.data, sources=verb.sources, weights=(), max_gaps=(), reports=()
    )
    experiment = dataclasses.replace(experiment, data=data)
    packed = pack_data(
        settings.override(experiment, rest),
        verb.out,
        config=PackConfig(
            encoding=verb.encoding, quality=verb.quality, workers=verb.workers
        ),
        console=console,
    )
    print_packed(packed, console)


def _show(verb: Info | Config, console: Console) -> None:
    from dst_jax.workflows.info import print_info

    if isinstance(verb, Info):
        print_info(verb.name, console)
    else:
        _config(verb.do, console)


def _config(verb: Show | ListConfigs, console: Console) -> None:
    from dst_jax.command import settings
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
