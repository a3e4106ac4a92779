"""`dst-jax export-run` makes bundles of a checkpoint, as training does at each."""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from dst_jax.arch import TrackerSpec, spec_from_json
from dst_jax.bundle import Bundle, card_sizes, load_bundle, save_bundle
from dst_jax.decode import from_json
from dst_jax.errors import InputError
from dst_jax.experiment import config_hash
from dst_jax.files import read_json, user_path
from dst_jax.track.config import Tracking, tracking_from_json
from dst_jax.train import (
    Checkpoints,
    OptimConfig,
    Snapshot,
    first_best,
    init_state,
    make_optimizer,
    read_record,
    saved_steps,
    student_variables,
)
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import waiting
from dst_jax.workflows.workdir import BUNDLES, CHECKPOINTS, CONFIG, hold


class Made(NamedTuple):
    """What bundles say besides the weights.

    Attributes:
      students: Architectures by name.
      tracking: Online settings of all students.
      batch: Pairs in a step.
      card: JSON values on how the run was made.
    """

    students: Mapping[str, TrackerSpec]
    tracking: Tracking
    batch: int
    card: Mapping[str, Any]


def write_bundles(
    snapshot: Snapshot, made: Made, folder: pathlib.Path
) -> dict[str, pathlib.Path]:
    """Writes last and best weights of every student.

    Args:
      snapshot: The weights.
      made: What the bundles say besides.
      folder: Folder of the bundles. A bundle that is there and says the same stays.

    Returns:
      Folders of the last weights by student; the best are beside in "NAME-best".
    """
    bundles = {}
    for name, spec in made.students.items():
        last = jax.device_get(student_variables(snapshot.state, name))
        best = snapshot.best.variables[name]
        loss = float(snapshot.best.loss[name])
        own = {
            **made.card,
            "pairs_seen": int(snapshot.state.step) * made.batch,
            "student": name,
            "sizes": card_sizes(spec),
            "metrics": {"best_validation_loss": loss if np.isfinite(loss) else None},
        }
        bundles[name] = folder / name
        kinds = {"last": (last, folder / name), "best": (best, folder / f"{name}-best")}
        for kind, (variables, path) in kinds.items():
            card = {**own, "weights": kind}
            bundle = Bundle(spec, variables, made.tracking, card)
            if not _is_there(bundle, path):
                save_bundle(bundle, path)
    return bundles


def export_run(
    workdir: pathlib.Path, *, step: int | None = None, console: Console
) -> dict[str, pathlib.Path]:
    """Writes the bundles of a checkpoint; neither data nor the teacher is needed.

    Args:
      workdir: Folder of a training, finished or not.
      step: Step of the checkpoint; None for the newest. The bundles of a given step go
        to "bundles-STEP", so that they replace no others.
      console: Console for the folders.

    Returns:
      Folders of the last weights by student.

    Raises:
      InputError: If there is no such checkpoint, it is damaged, or another process
        trains in this folder.
    """
    workdir = user_path(workdir)
    steps = saved_steps(workdir / CHECKPOINTS)
    if not steps:
        raise InputError(f"{workdir}: holds no checkpoint of a training to export.")
    with hold(workdir):
        config = read_json(workdir / CONFIG)
        chosen = steps[-1] if step is None else step
        record = read_record(workdir / CHECKPOINTS, chosen)
        if record["config_hash"] != config_hash(config):
            raise InputError(
                f"{workdir / CONFIG}: is not that of the checkpoint; the command that "
                "trained writes it again if it is removed."
            )
        made, optim = _settings(config, record["card"])
        with waiting(console, f"reading the checkpoint of step {chosen}"):
            snapshot = _restore(workdir, chosen, made, optim, record["config_hash"])
        folder = workdir / (BUNDLES if step is None else f"{BUNDLES}-{step}")
        bundles = write_bundles(snapshot, made, folder)
    for name, path in bundles.items():
        say(console, f"{name}: {path}")
    say(console, f"step {chosen}, with the best weights until then beside each")
    return bundles


def _settings(
    config: Mapping[str, Any], card: Mapping[str, Any]
) -> tuple[Made, OptimConfig]:
    """Returns what a stored configuration says of the students and their optimizer."""
    try:
        values = config["experiment"]
        students = {n: spec_from_json(s) for n, s in values["students"].items()}
        tracking = tracking_from_json(values["tracking"])
        batch = int(values["data"]["batch"])
        optim = from_json(OptimConfig, values["optim"], "optim")
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{CONFIG}: {error} is missing for a training.") from None
    return Made(students, tracking, batch, {**card, "config": config}), optim


def _restore(
    workdir: pathlib.Path, step: int, made: Made, optim: OptimConfig, digest: str
) -> Snapshot:
    tx = make_optimizer(optim, total_steps=optim.total_steps(made.batch))
    state = init_state(jax.random.key(0), made.students, tx)
    checkpoints = Checkpoints(workdir / CHECKPOINTS, config_hash=digest)
    with contextlib.closing(checkpoints):
        snapshot = checkpoints.restore(
            Snapshot(state, first_best(state)), step=step, part=True
        )
    assert snapshot is not None
    return snapshot


def _is_there(bundle: Bundle, path: pathlib.Path) -> bool:
    """Returns whether a whole bundle at `path` holds and says the same."""
    try:
        said = read_json(path / "card.json")
        if any(said.get(key) != value for key, value in bundle.card.items()):
            return False
        there = load_bundle(path)
    except (InputError, OSError):
        return False
    same = there.spec == bundle.spec and there.tracking == bundle.tracking
    return same and there.weights_sha256 == bundle.weights_sha256
