"""Parses the words of a command line and calls the workflow of their verb."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from dst_jax.command.calibrate import Calibrate, run_calibrate
from dst_jax.command.cost_verbs import Estimate, Info, run_estimate
from dst_jax.command.data_verbs import Data, ListLayouts, Pack, Verify
from dst_jax.command.duration import deadline_of
from dst_jax.command.evaluate import Evaluate, run_evaluate
from dst_jax.command.fields import refuse_unknown
from dst_jax.command.kinds import options
from dst_jax.command.parsing import parse
from dst_jax.command.processes import joined_run
from dst_jax.command.startup import silence_decoders, start_jax
from dst_jax.command.training import overridden, run_train
from dst_jax.command.verbs import (
    Ablate,
    Config,
    Convert,
    Demo,
    Distill,
    ExportRun,
    ListConfigs,
    Search,
    Show,
    Track,
    Train,
    Verb,
)
from dst_jax.command.warmup import Warmup
from dst_jax.errors import InputError
from dst_jax.workflows.versions import print_versions

# Verbs that take fields of a configuration.
_CONFIGURED = (Train, Distill, Warmup, Search, Ablate, Pack, Estimate)
DESCRIPTION = """Distilled Siamese trackers in JAX.

A large tracker (the teacher) is compressed into small, fast ones (the students).
Start with: dst-jax demo --workdir runs/demo
`dst-jax VERB --help` explains a verb; `dst-jax --version` prints versions.
"""


def run_verb(words: Sequence[str]) -> None:
    """Runs the verb that the words of a command line name.

    Args:
      words: Words of the command line.

    Raises:
      InputError: If they are no command, or the verb raises it.
      SystemExit: If they ask for help.
    """
    console = Console(markup=False, emoji=False, highlight=False)
    if words[0] == "--version":
        print_versions(console)
        return
    verb, rest = parse(Verb, words, prog="dst-jax", description=DESCRIPTION)
    verb = verb.do if isinstance(verb, Data | Config) else verb
    # The remaining words are fields of a configuration, which is not read yet.
    if rest and not isinstance(verb, _CONFIGURED):
        refuse_unknown(rest, options(verb), help_of=f"{words[0]} --help")
    silence_decoders()
    with contextlib.ExitStack() as joined:
        if isinstance(verb, Train | Distill | Warmup):
            joined.enter_context(
                joined_run(verb.coordinator, verb.processes, verb.process_id, verb.pod)
            )
        if _computes(verb):
            start_jax()
        _dispatch(verb, rest, console)


def _computes(verb: Any) -> bool:
    match verb:
        case Evaluate():
            return bool(verb.tracker)
        case Demo() | Train() | Distill() | Search() | Ablate() | Calibrate():
            return True
        case _:
            return isinstance(verb, Track | Convert | Info | Estimate | Warmup)


def _dispatch(verb: Any, rest: list[str], console: Console) -> None:
    """Calls the workflow of a verb; imports it only here, so that --help is quick."""
    match verb:
        case Demo():
            _demo(verb, console)
        case Train() | Distill() | Warmup():
            run_train(verb, rest, console)
        case Search():
            _search(verb, rest, console)
        case Ablate():
            _ablate(verb, rest, console)
        case Convert():
            from dst_jax.workflows.convert import Grid, convert

            convert(
                verb.source,
                verb.file,
                verb.out,
                architecture=verb.architecture,
                preset=verb.preset,
                grid=Grid(verb.search_factor, verb.resize_positions),
                force=verb.force,
                console=console,
            )
        case Track():
            _track(verb, console)
        case Evaluate() | Calibrate():
            _score(verb, console)
        case Verify() | Pack() | ListLayouts():
            _data(verb, rest, console)
        case Estimate() | Info() | Show() | ListConfigs() | ExportRun():
            _show(verb, rest, console)


def _score(verb: Evaluate | Calibrate, console: Console) -> None:
    if isinstance(verb, Evaluate):
        run_evaluate(verb, console)
    else:
        run_calibrate(verb, console)


def _track(verb: Track, console: Console) -> None:
    from dst_jax.workflows.track import parse_boxes, track_video

    video = verb.video if verb.camera is None else verb.camera
    if video is None or None not in (verb.video, verb.camera):
        raise InputError(
            "give --video VIDEO or --camera N, and not both; see dst-jax track --help."
        )
    asked = [text for text in verb.box if text.lower() == "ask"]
    given = [text for text in verb.box if text not in asked]
    track_video(
        verb.tracker,
        video,
        parse_boxes(given) if given or not asked else [],
        verb.out,
        ask=bool(asked),
        show=verb.show,
        console=console,
    )


def _demo(verb: Demo, console: Console) -> None:
    deadline = deadline_of(verb.time_limit)
    from dst_jax.command.settings import load_experiment
    from dst_jax.workflows.demo import ROW_RATES, ROWS, ROWS_OF_FAMILY, run_demo

    family = "demo" if verb.family == "siamfc" else f"demo_{verb.family}"
    experiments = [
        dataclasses.replace(load_experiment(f"{family}_{part}"), seed=verb.seed)
        for part in ("teacher", "students")
    ]
    run_demo(
        *experiments,
        workdir=verb.workdir,
        seed=verb.seed,
        trainings=ROWS_OF_FAMILY.get(verb.family, ROWS),
        rates=ROW_RATES.get(verb.family),
        deadline=deadline,
        console=console,
    )


def _search(verb: Search, rest: list[str], console: Console) -> None:
    deadline = deadline_of(verb.time_limit)
    from dst_jax.command import settings
    from dst_jax.workflows.search import print_searched, search_student

    experiment = overridden(settings.load_experiment(verb.config), verb, rest, console)
    searched = search_student(
        experiment,
        verb.workdir,
        teacher=verb.teacher,
        deadline=deadline,
        console=console,
    )
    print_searched(searched, console)


def _ablate(verb: Ablate, rest: list[str], console: Console) -> None:
    deadline = deadline_of(verb.time_limit)
    from dst_jax.command import settings
    from dst_jax.workflows.ablation.page import ablate_with_page
    from dst_jax.workflows.ablation.plan import ALL_ROWS, Choice
    from dst_jax.workflows.ablation.run import run_ablation
    from dst_jax.workflows.train import run_training

    experiment = overridden(settings.load_experiment(verb.config), verb, rest, console)
    choice = Choice(
        rows=verb.rows or (() if verb.students or verb.tables else ALL_ROWS),
        tables=tuple(int(t) if t.isdigit() else t for t in verb.tables),
        counts=verb.students,
        seeds=verb.seeds or (experiment.seed,),
        datasets=verb.dataset,
    )
    how: Any = {
        "teacher": verb.teacher,
        "backbones": settings.parse_bundles(
            verb.backbone, experiment.students, option="--backbone"
        ),
        "train": functools.partial(run_training, deadline=deadline),
        "console": console,
    }
    if verb.html is None:
        run_ablation(experiment, choice, verb.workdir, **how)
    else:
        ablate_with_page(verb.html, experiment, choice, verb.workdir, **how)


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
    if not (verb.sources or any(word.startswith("--data.sources") for word in rest)):
        raise InputError("missing: SOURCE [SOURCE ...]; see dst-jax data pack --help.")
    packed = pack_data(
        overridden(experiment, verb, rest, console),
        verb.out,
        config=PackConfig(
            encoding=verb.encoding, quality=verb.quality, workers=verb.workers
        ),
        console=console,
    )
    print_packed(packed, console)


def _show(
    verb: Estimate | Info | Show | ListConfigs | ExportRun,
    rest: list[str],
    console: Console,
) -> None:
    from dst_jax.command import settings, show
    from dst_jax.workflows.export import export_run
    from dst_jax.workflows.info import print_info

    if isinstance(verb, Estimate):
        run_estimate(verb, rest, console)
    elif isinstance(verb, ExportRun):
        export_run(verb.workdir, step=verb.step, console=console)
    elif isinstance(verb, Info):
        print_info(verb.name, console, kernels=verb.batch if verb.kernels else 0)
    elif isinstance(verb, ListConfigs):
        show.print_configurations(settings.packaged(), console)
    else:
        show.print_fields(settings.load_experiment(verb.config), console)
