"""`dst-jax train` and `dst-jax distill` train networks and write their bundles."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from rich.console import Console

from dst_jax.arch import TrackerSpec, spec_id
from dst_jax.bundle import Bundle, card_sizes, load_bundle, save_bundle
from dst_jax.data.pipeline import PatchSpec, fixed_batches, train_batches
from dst_jax.data.sequence import Sequence
from dst_jax.distill import check_fit, make_objective
from dst_jax.errors import InputError, printable
from dst_jax.experiment import Experiment, config_hash, experiment_to_json, without
from dst_jax.files import user_path
from dst_jax.track.procedure import require_matching
from dst_jax.train import (
    AXIS_NAME,
    Checkpoints,
    Constants,
    Crops,
    MetricWriter,
    Run,
    Snapshot,
    TrainStep,
    check_batch,
    data_parallel,
    device_set,
    first_best,
    fit,
    gathering,
    init_state,
    make_optimizer,
    make_train_step,
    make_validate,
    read_metrics,
    student_variables,
)
from dst_jax.workflows.gates import gates_line
from dst_jax.workflows.progress import training_bar
from dst_jax.workflows.training_data import (
    data_hash,
    load_data,
    patch_spec,
    widest_input,
)
from dst_jax.workflows.versions import versions
from dst_jax.workflows.workdir import open_workdir

VALIDATION_PAIRS = 256


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
    verb: str = "dst-jax distill",
    console: Console,
) -> Trained:
    """Trains the students of `experiment`, or continues the run in `workdir`.

    Args:
      experiment: The configuration.
      workdir: Folder for configuration, metrics, checkpoints and bundles.
      teacher: Bundle of the frozen teacher; needed if a term reads the teacher.
      init: Bundles to begin from, by student.
      verb: Name of the command for the cards of the bundles.
      console: Console for the bar and messages.

    Returns:
      Bundles and metrics of the run.

    Raises:
      InputError: If configuration, data, teacher and workdir do not fit together.
    """
    workdir = user_path(workdir)
    check_batch(experiment.data.batch)
    for spec in experiment.students.values():
        require_matching(spec, experiment.tracking)
    teacher_bundle = load_bundle(teacher) if teacher is not None else None
    teacher_spec = teacher_bundle.spec if teacher_bundle else None
    check_fit(teacher_spec, experiment.students, experiment.distill)
    start = {name: load_bundle(path) for name, path in (init or {}).items()}
    _check_start(experiment.students, start)
    train_set, validation_set = load_data(experiment, console)
    config = {
        "experiment": without(experiment_to_json(experiment), "search", "policy"),
        "teacher": teacher_bundle.weights_sha256 if teacher_bundle else None,
        "init": {name: bundle.weights_sha256 for name, bundle in start.items()},
        "data": data_hash(train_set),
    }
    with open_workdir(workdir, config):
        began = time.perf_counter()
        snapshot = _fit(
            experiment,
            workdir,
            teacher_bundle,
            start,
            train_set,
            validation_set,
            config_hash(config),
            console,
        )
        seconds = time.perf_counter() - began
        card = {
            "made_by": verb,
            "config": config,
            "versions": versions(),
            "seed": experiment.seed,
            "pairs_seen": int(snapshot.state.step) * experiment.data.batch,
            "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        }
        bundles = _export(experiment, snapshot, workdir, card)
    return Trained(bundles, workdir / "metrics.jsonl", seconds)


def gate_share(metrics: pathlib.Path, name: str) -> float | None:
    """Returns the share of steps in which a student's gate was open.

    Args:
      metrics: The file `metrics.jsonl`.
      name: Name of the student.

    Returns:
      The share, or None if no gate was logged.
    """
    key, total, before, steps = f"gate/{name}", 0.0, 0, 0
    for row in read_metrics(metrics):
        if key in row:
            length = int(row["step"]) - before
            total, steps, before = (
                total + row[key] * length,
                steps + length,
                int(row["step"]),
            )
    return total / steps if steps else None


def print_trained(trained: Trained, console: Console) -> None:
    """Prints the folders of the bundles and how often the gates were open."""
    for name, path in trained.bundles.items():
        share = gate_share(trained.metrics, name)
        gates = "" if share is None else f" (sharing gate open {share:.0%} of steps)"
        console.print(f"{name}: {path}{gates}")
    console.print(f"metrics: {trained.metrics}   {trained.seconds:.0f} s")
    if line := gates_line(trained.metrics):
        console.print(printable(line), markup=False)


def _check_start(
    students: Mapping[str, TrackerSpec], start: Mapping[str, Bundle]
) -> None:
    for name, bundle in start.items():
        if name not in students:
            raise InputError(
                f"--init {name}=...: there is no such student; "
                f"there are {', '.join(students)}."
            )
        if spec_id(bundle.spec) != spec_id(students[name]):
            raise InputError(
                f"--init {name}=...: the bundle's architecture is not the student's; "
                "give a bundle of the same architecture."
            )


def _fit(
    experiment: Experiment,
    workdir: pathlib.Path,
    teacher: Bundle | None,
    start: Mapping[str, Bundle],
    train_set: tuple[Sequence, ...],
    validation_set: tuple[Sequence, ...],
    digest: str,
    console: Console,
) -> Snapshot:
    total_steps = experiment.optim.total_steps(experiment.data.batch)
    state = init_state(
        jax.random.key(experiment.seed),
        experiment.students,
        make_optimizer(experiment.optim, total_steps=total_steps),
        start={name: bundle.variables for name, bundle in start.items()},
    )
    checkpoints = Checkpoints(workdir / "checkpoints", config_hash=digest)
    with contextlib.closing(checkpoints):
        snapshot = Snapshot(state, first_best(state))
        restored = checkpoints.restore(snapshot)
        snapshot = restored or snapshot
        step = int(snapshot.state.step)
        if restored:
            console.print(f"{workdir}: goes on at step {step} of {total_steps}.")
        if step >= total_steps:
            return snapshot
        run = _make_run(experiment, teacher, train_set, validation_set, step)
        writer = MetricWriter(workdir, step=step)
        bar = training_bar(console, total_steps, step)
        with contextlib.closing(writer), bar as tick:
            run = run._replace(checkpoints=checkpoints, report=writer.write, tick=tick)
            return fit(snapshot, run, experiment.loop)


def _make_run(
    experiment: Experiment,
    teacher: Bundle | None,
    train_set: tuple[Sequence, ...],
    validation_set: tuple[Sequence, ...],
    step: int,
) -> Run:
    """Returns the parts of a run that follow from its configuration and step."""
    batch, seen = experiment.data.batch, teacher.spec if teacher else None
    patch = patch_spec(experiment, teacher=seen)
    constants = Constants(dict(teacher.variables) if teacher else {})
    constants = jax.device_put(constants)
    position: Any = {
        "seed": experiment.seed,
        "start_step": step,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }
    compiled = _step(experiment, teacher)
    if experiment.data.cache == "device":
        held = device_set(train_set, experiment.data, patch, **position)
        batches, constants = held.batches, constants._replace(patches=held.patches)
        compiled = gathering(compiled)
    else:
        batches = train_batches(train_set, experiment.data, patch, **position)
    return Run(
        step=data_parallel(compiled),
        constants=constants,
        batches=batches,
        validate=_validation(experiment, teacher, validation_set, patch),
        total_steps=experiment.optim.total_steps(batch),
        steps_per_epoch=experiment.optim.steps_per_epoch(batch),
        batch=batch,
    )


def _step(experiment: Experiment, teacher: Bundle | None) -> TrainStep:
    batch = experiment.data.batch
    objective = make_objective(
        teacher.spec if teacher else None,
        experiment.students,
        experiment.setting,
        axis_name=AXIS_NAME,
    )
    input = widest_input(experiment, teacher=teacher.spec if teacher else None)
    crops = Crops(input, experiment.augment, experiment.seed)
    return make_train_step(
        objective,
        make_optimizer(
            experiment.optim, total_steps=experiment.optim.total_steps(batch)
        ),
        crops,
        steps_per_epoch=experiment.optim.steps_per_epoch(batch),
        axis_name=AXIS_NAME,
    )


def _validation(
    experiment: Experiment,
    teacher: Bundle | None,
    validation_set: tuple[Sequence, ...],
    patch: PatchSpec,
) -> Callable[..., dict[str, float]] | None:
    """Returns the validation of students, which also reports the teacher's values.

    It is None without held-out sequences.
    """
    if not validation_set:
        return None
    batches = fixed_batches(
        validation_set,
        experiment.data,
        patch,
        seed=experiment.seed,
        examples=VALIDATION_PAIRS,
    )
    kinds: Any = {
        "setting": experiment.setting,
        "windows": experiment.augment,
        "cut_for": widest_input(experiment, teacher=teacher.spec if teacher else None),
    }
    validate = make_validate(experiment.students, batches, **kinds)
    fixed: dict[str, float] = {}
    if teacher is not None:
        of_teacher = make_validate({"teacher": teacher.spec}, batches, **kinds)
        fixed = of_teacher({"teacher": teacher.variables})
    return lambda variables: validate(variables) | fixed


def _export(
    experiment: Experiment,
    snapshot: Snapshot,
    workdir: pathlib.Path,
    card: Mapping[str, Any],
) -> dict[str, pathlib.Path]:
    """Writes last and best weights of every student; returns the former's folders."""
    bundles = {}
    for name, spec in experiment.students.items():
        last = jax.device_get(student_variables(snapshot.state, name))
        best = snapshot.best.variables[name]
        loss = float(snapshot.best.loss[name])
        own = {
            **card,
            "student": name,
            "sizes": card_sizes(spec),
            "metrics": {"best_validation_loss": loss if np.isfinite(loss) else None},
        }
        folder = workdir / "bundles"
        kinds = {"last": (last, folder / name), "best": (best, folder / f"{name}-best")}
        for kind, (variables, path) in kinds.items():
            made = {**own, "weights": kind}
            save_bundle(Bundle(spec, variables, experiment.tracking, made), path)
        bundles[name] = folder / name
    return bundles
