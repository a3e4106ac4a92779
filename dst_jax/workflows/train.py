"""`dst-jax train` and `dst-jax distill` train networks and write their bundles."""

import contextlib
import dataclasses
import functools
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
from rich.console import Console

from dst_jax.bundle import Bundle
from dst_jax.experiment import Experiment, config_hash
from dst_jax.files import require_place, user_path
from dst_jax.models import variable_shapes
from dst_jax.models.parts import ADAPTERS
from dst_jax.ops.kernels import VARIABLE
from dst_jax.train import (
    METRICS,
    SKIPPED,
    TIMES,
    Account,
    Checkpoints,
    Deadline,
    MetricWriter,
    Run,
    Snapshot,
    TimesWriter,
    TimeUp,
    TrainState,
    first_best,
    fit,
    goodput_line,
    init_state,
    make_optimizer,
    make_phases,
    of_first,
    read_record,
    read_times,
    saved_steps,
    this_pod,
    time_shares,
)
from dst_jax.workflows.estimate import pair_macs
from dst_jax.workflows.export import write_bundles
from dst_jax.workflows.gates import gate_share, gates_line, skipped_line
from dst_jax.workflows.held_programs import let_go_if_many
from dst_jax.workflows.peaks import with_mfu
from dst_jax.workflows.phase_lines import phase_lines
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import training_bar, waiting
from dst_jax.workflows.run_inputs import gather, read_networks
from dst_jax.workflows.run_parts import Given, first_adapters, make_run
from dst_jax.workflows.tracing import PROFILE, recorded
from dst_jax.workflows.workdir import BUNDLES, CHECKPOINTS, CONFIG, open_workdir


@dataclasses.dataclass(frozen=True)
class Trained:
    """The results of a run.

    Attributes:
      bundles: Folders of the students' last weights, by name. A folder "NAME-best"
        beside each has the weights with the lowest validation loss.
      metrics: The file `metrics.jsonl`.
      seconds: Duration of this call's training in seconds, with compilation.
    """

    bundles: dict[str, pathlib.Path]
    metrics: pathlib.Path
    seconds: float


def run_training(
    experiment: Experiment,
    workdir: pathlib.Path,
    *,
    teacher: pathlib.Path | None = None,
    init: Mapping[str, pathlib.Path] | None = None,
    backbones: Mapping[str, pathlib.Path] | None = None,
    verb: str = "dst-jax distill",
    deadline: Deadline | None = None,
    console: Console,
) -> Trained:
    """Trains the students of `experiment`, or continues the run in `workdir`.

    Bundles are written with every checkpoint. Of several processes the first alone
    reads and writes the workdir; all read the same data and bundles.

    Args:
      experiment: The configuration.
      workdir: Folder for configuration, metrics, checkpoints and bundles.
      teacher: Bundle of the frozen teacher; needed if a term reads the teacher.
      init: Bundles to begin from, by student.
      backbones: Bundles whose backbones students begin with, by student.
      verb: Name of the command for the cards of the bundles.
      deadline: Time by which the run must have ended, finished or not.
      console: Console for the bar and messages.

    Returns:
      Bundles and metrics of the run.

    Raises:
      InputError: If configuration, data, teacher and workdir do not fit together, or
        those of several processes are not the same.
      TimeUp: If the deadline ended the run.
    """
    pod, workdir, account = this_pod(), user_path(workdir), Account()
    let_go_if_many()
    console = console if pod.writes else Console(quiet=True)
    with contextlib.ExitStack() as opened:
        with pod.together("reading what the run computes from"):
            if deadline and deadline.left() <= 0.0:
                raise TimeUp(f"before {workdir} began or went on")
            networks = read_networks(experiment, teacher, init or {}, backbones or {})
            if pod.writes:
                _require_space(experiment, networks[0], workdir)
            given = gather(experiment, networks, verb=verb, console=console)
            if pod.writes:
                opened.enter_context(open_workdir(workdir, given.config))
        if pod.count > 1:
            pod.require_same(_compared(given))
        began = time.perf_counter()
        bundles = _fit(given, workdir, deadline, account, console)
        seconds = time.perf_counter() - began
    return Trained(bundles, workdir / METRICS, seconds)


def _compared(given: Given) -> dict[str, Any]:
    """Returns what must be the same in all processes of a run."""
    config = dict(given.config)
    parts = {
        "configuration": config.pop("experiment"),
        "training data": config.pop("data"),
        "bundles": config,
    }
    return parts | {name: given.card[name] for name in ("versions", "kernels")}


def _require_space(
    experiment: Experiment, teacher: Bundle | None, workdir: pathlib.Path
) -> None:
    """Checks that the workdir can be written and will hold what the run leaves there.

    These are the checkpoints that stay, one more that is written before another goes,
    and the bundles. What an earlier call left counts as written.
    """
    saved = saved_steps(workdir / CHECKPOINTS)
    total_steps = experiment.optim.total_steps(experiment.data.batch)
    if saved and saved[-1] >= total_steps:
        return
    tx = make_optimizer(experiment.optim, total_steps=total_steps)
    specs = experiment.students
    variables = {name: variable_shapes(spec) for name, spec in specs.items()}
    adapters = first_adapters(experiment, teacher.spec if teacher else None)
    learnt = {
        n: {**v["params"], ADAPTERS: adapters.get(n)} for n, v in variables.items()
    }
    optimizer = [jax.eval_shape(tx.init, each) for each in learnt.values()]
    weights = sum(leaf.size for leaf in jax.tree.leaves(variables))
    states = sum(leaf.size for leaf in jax.tree.leaves((optimizer, adapters)))
    # Last and best weights, in float32.
    checkpoint, bundles = 4 * (2 * weights + states), 4 * 2 * weights
    keep = experiment.loop.keep(experiment.optim.steps_per_epoch(experiment.data.batch))
    left = max(keep.most(total_steps, len(specs)) - len(saved), 1)
    require_place(workdir / CONFIG, space=left * checkpoint + bundles)


def print_trained(trained: Trained, console: Console) -> None:
    """Prints the folders of the bundles and how often the gates were open."""
    for name, path in trained.bundles.items():
        share = gate_share(trained.metrics, name)
        gates = "" if share is None else f" (sharing gate open {share:.0%})"
        say(console, f"{name}: {path}{gates}")
    times = trained.metrics.with_name(TIMES)
    if times.exists() and (shares := time_shares(read_times(times))):
        say(console, goodput_line(shares))
    say(console, f"metrics: {trained.metrics}   {trained.seconds:.0f} s")
    if line := gates_line(trained.metrics):
        say(console, line)
    if line := skipped_line(trained.metrics):
        say(console, line)


def _tell_of_other_kernels(
    workdir: pathlib.Path, step: int, given: Given, console: Console
) -> None:
    """Prints a line if the run began with what adds up in another order."""
    before = read_record(workdir / CHECKPOINTS, step)["card"].get("kernels")
    now = given.card["kernels"]
    if before not in (None, now):
        say(
            console,
            f"{workdir}: began with kernels of {before} and goes on with {now}, whose "
            f"numbers differ in the last digits; {VARIABLE}={before} keeps to them.",
        )


def first_state(given: Given) -> TrainState:
    """Returns the state of a run before its first step.

    Args:
      given: What the run computes from.
    """
    experiment, teacher = given.experiment, given.teacher
    total_steps = experiment.optim.total_steps(experiment.data.batch)
    return init_state(
        jax.random.key(experiment.seed),
        experiment.students,
        make_optimizer(experiment.optim, total_steps=total_steps),
        start={n: bundle.variables for n, bundle in given.start.whole.items()},
        backbones={n: one.variables for n, one in given.start.backbones.items()},
        adapters=first_adapters(experiment, teacher.spec if teacher else None),
    )


def own_logs(values: Mapping[str, float], student: str) -> dict[str, float]:
    """Returns the scalars of one student from those of a run, without its name."""
    ends = f"/{student}"
    return {n.removesuffix(ends): v for n, v in values.items() if n.endswith(ends)}


def _say_remarks(
    experiment: Experiment, console: Console, values: Mapping[str, float]
) -> None:
    """Prints what terms have to say of the scalars of the first step."""
    if values.get(SKIPPED):
        return
    for student in experiment.students:
        logs = own_logs(values, student)
        for name, term in experiment.distill.active.items():
            if line := term.remark(name, logs):
                say(console, f"student {student}, term {name}: {line}")


def _say_phase(given: Given, console: Console, first: int) -> None:
    """Prints what learns from a step on, in runs in which not all does throughout."""
    experiment, teacher = given.experiment, given.teacher
    optim, batch = experiment.optim, experiment.data.batch
    if not optim.parts:
        return
    phases = make_phases(optim, experiment.students, batch=batch)
    (phase,) = (phase for phase in phases if phase.first == first)
    adapters = first_adapters(experiment, teacher.spec if teacher else None)
    lines = phase_lines(
        phase, experiment.students, adapters, total_steps=optim.total_steps(batch)
    )
    say(console, *lines)


def _fit(
    given: Given,
    workdir: pathlib.Path,
    deadline: Deadline | None,
    account: Account,
    console: Console,
) -> dict[str, pathlib.Path]:
    """Trains, or goes on; returns the folders of the bundles."""
    pod, experiment = this_pod(), given.experiment
    total_steps = experiment.optim.total_steps(experiment.data.batch)
    state, checkpoints, restored = first_state(given), None, None
    first = Snapshot(state, first_best(state))
    with contextlib.ExitStack() as opened:
        with pod.together("reading the last checkpoint"):
            if pod.writes:
                checkpoints = _checkpoints(given, workdir, opened)
                with waiting(console, "reading the last checkpoint"):
                    restored, lines = checkpoints.restore_newest(first)
                say(console, *lines)
        restored = of_first(pod, restored, first)
        snapshot = restored or first
        step = int(snapshot.state.step)
        with pod.together("preparing the steps"):
            if restored and checkpoints:
                say(console, f"{workdir}: goes on at step {step} of {total_steps}.")
                _tell_of_other_kernels(workdir, step, given, console)
            run = make_run(given, step, console) if step < total_steps else None
            if run and checkpoints:
                run = run._replace(account=account)
                run = _written(run, checkpoints, given, workdir, step, opened)
            elif checkpoints:
                _write_results(snapshot, given, workdir)
        if run:
            bar = opened.enter_context(training_bar(console, total_steps, step))
            run = run._replace(
                begun=functools.partial(_say_remarks, experiment, console),
                enters=functools.partial(_say_phase, given, console),
                tick=bar.tick,
                tell=bar.tell,
                deadline=deadline,
                pod=pod,
            )
            run = opened.enter_context(recorded(run, workdir / PROFILE, step, console))
            fit(snapshot, run, experiment.loop)
    return {name: workdir / BUNDLES / name for name in experiment.students}


def _checkpoints(
    given: Given, workdir: pathlib.Path, opened: contextlib.ExitStack
) -> Checkpoints:
    """Opens the checkpoints of a run."""
    experiment = given.experiment
    steps_per_epoch = experiment.optim.steps_per_epoch(experiment.data.batch)
    checkpoints = Checkpoints(
        workdir / CHECKPOINTS,
        config_hash=config_hash(given.config),
        card={**given.card, "config": given.config},
        keep=experiment.loop.keep(steps_per_epoch),
    )
    return opened.enter_context(contextlib.closing(checkpoints))


def _written(
    run: Run,
    checkpoints: Checkpoints,
    given: Given,
    workdir: pathlib.Path,
    step: int,
    opened: contextlib.ExitStack,
) -> Run:
    """Returns a run that writes metrics, and bundles with every checkpoint."""
    writer = opened.enter_context(contextlib.closing(MetricWriter(workdir, step=step)))
    account = run.account or Account()
    times = TimesWriter(workdir, began=step, account=account)
    opened.enter_context(contextlib.closing(times))
    rate: Any = {
        "macs": pair_macs(given.experiment, given.teacher and given.teacher.spec),
        "kind": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
    }
    return run._replace(
        checkpoints=checkpoints,
        report=lambda at, values: writer.write(at, with_mfu(values, **rate)),
        spent=times.write,
        saved=lambda kept: write_bundles(kept, given.made, workdir / BUNDLES),
    )


def _write_results(snapshot: Snapshot, given: Given, workdir: pathlib.Path) -> None:
    """Writes bundles of a run that has ended, as it was made."""
    # Kept as it is where it exists, its time too.
    (workdir / METRICS).open("a").close()
    card = read_record(workdir / CHECKPOINTS, int(snapshot.state.step))["card"]
    write_bundles(snapshot, given._replace(card=card).made, workdir / BUNDLES)
