"""Times every network of an ablation once, and keeps the figures."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from dst_jax.arch import TrackerSpec, spec_id
from dst_jax.bundle import Bundle
from dst_jax.decode import from_json
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.files import read_json, write_json
from dst_jax.models import init_variables
from dst_jax.workflows.ablation.evaluator import Dataset
from dst_jax.workflows.evaluation import read_videos
from dst_jax.workflows.pace import STAGES
from dst_jax.workflows.speeds import measure_speeds

FILE = "speeds.json"
# The teacher's name beside those of students, none of which may be called so.
TEACHER = "teacher"


def network_speeds(
    folder: pathlib.Path,
    experiment: Experiment,
    teacher: Bundle,
    dataset: Dataset,
    *,
    students: Mapping[str, TrackerSpec],
) -> dict[str, Any]:
    """Returns frames/s of the teacher and of every student, timed in one go.

    Speed is a matter of the architecture, so students have random weights. What was
    kept of the same networks, videos and device is returned as it is; figures of other
    devices stay beside it.

    Args:
      folder: Folder of the ablation.
      experiment: Settings that all runs share.
      teacher: The teacher.
      dataset: Data set whose first video is tracked.
      students: The students' architectures by name.

    Returns:
      "video", its name, "device", and "frames_per_s" by network and stage; "others" are
      the same of other devices.

    Raises:
      InputError: If the kept file is damaged.
    """
    specs = {TEACHER: teacher.spec, **students}
    identity = {
        "targets": dataset.targets,
        "networks": {name: spec_id(spec) for name, spec in specs.items()},
    }
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    known = _known(folder / FILE, identity)
    if device in known:
        return _first(known, device)
    bundles = {TEACHER: teacher}
    for name, spec in students.items():
        weights = jax.device_get(init_variables(jax.random.key(0), spec))
        bundles[name] = Bundle(spec, weights, experiment.tracking, {})
    video = read_videos(dataset.source)[0]
    known[device] = {
        "video": video.name,
        "device": device,
        "frames_per_s": measure_speeds(bundles, video),
    }
    found = _first(known, device)
    write_json(folder / FILE, {"identity": identity, "found": found})
    return found


def _first(known: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Returns the figures of a device, with those of the others."""
    others = [own for name, own in known.items() if name != device]
    return {**known[device], "others": others}


def _known(path: pathlib.Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns figures by device, if they are of the same networks and videos."""
    if not path.exists():
        return {}
    values = read_json(path)
    try:
        found = values["found"]
        known = {own["device"]: own for own in (found, *found.pop("others", ()))}
        for own in known.values():
            _check(own)
        return known if values["identity"] == identity else {}
    except (InputError, AttributeError, KeyError, TypeError):
        raise InputError(
            f"{path} is damaged; remove it to have the networks timed again."
        ) from None


def _check(found: Mapping[str, Any]) -> None:
    """Raises InputError or KeyError if figures of a device lack anything."""
    for name, own in found["frames_per_s"].items():
        for stage in STAGES:
            from_json(float, own[stage], f"{name}: {stage}")
    _ = found["video"]
