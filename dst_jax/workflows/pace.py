"""How fast a tracker took the frames of a data set, and on what."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import rich.table

from dst_jax.arch import TrackerSpec
from dst_jax.decode import from_json
from dst_jax.errors import InputError
from dst_jax.ops.kernels import kernels_for
from dst_jax.track.canvases import default_batch
from dst_jax.workflows.printing import shown

# What is timed of each tracker by itself, and its heading in a table.
STAGES: Mapping[str, str] = {
    "network": "network",
    "crops": "crop + network",
    "decoding": "one video",
}


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What a speed depends on, beside the tracker and the videos.

    Attributes:
      device: Kind of the device; of a CPU also how many cores the process may use.
      batch: Number of videos at a time, at most.
      precision: Type of the computation, and how products are computed where a device
        has several ways.
      kernels: Library that computes convolutions and products.
    """

    device: str
    batch: int
    precision: str
    kernels: str


def conditions(batch: int | None, spec: TrackerSpec) -> Conditions:
    """Returns the conditions in this process.

    Args:
      batch: Number of videos at a time; None for the default of `Tracker.track_each`.
      spec: The tracker's architecture.
    """
    device, precision = jax.devices()[0].device_kind, "float32"
    if jax.default_backend() == "cpu":
        cores = os.cpu_count() or 1
        device = f"{device} ({cores} {'core' if cores == 1 else 'cores'})"
    else:
        products = getattr(jax.config, "jax_default_matmul_precision", None)
        precision = f"{precision} (products: {products or 'default'})"
    kernels = kernels_for(spec).kind
    return Conditions(device, batch or default_batch(), precision, kernels)


@dataclasses.dataclass
class Pace:
    """The clock of a tracker on a data set, from files to boxes.

    Attributes:
      on: The conditions.
      frames: Number of frames tracked.
      seconds: How long that took, decoding included and compilation not.
      compile_s: How long it took to compile, and to track two frames of some videos.
    """

    on: Conditions
    frames: int = 0
    seconds: float = 0.0
    compile_s: float = 0.0

    @property
    def fps(self) -> float | None:
        """Returns frames per second; None if nothing was tracked."""
        return self.frames / max(self.seconds, 1e-9) if self.frames else None


def pace_json(pace: Pace) -> dict[str, Any]:
    """Returns a pace as JSON values."""
    return dataclasses.asdict(pace)


def pace_from_json(values: Any) -> Pace:
    """Returns the pace that `pace_json` has described.

    Raises:
      InputError: If the values are none; it names the field.
    """
    pace = from_json(Pace, values, "pace")
    if min(pace.frames, pace.seconds, pace.compile_s, pace.on.batch) < 0:
        raise InputError("pace: has a number below 0.")
    return pace


def speeds_json(pace: Pace, stages: Mapping[str, float]) -> dict[str, Any]:
    """Returns the speeds of a tracker, frames/s, and their conditions as JSON values.

    Args:
      pace: Its clock, which gives "total".
      stages: What `measure_speeds` has found, or nothing.
    """
    return {
        **stages,
        "total": pace.fps,
        "frames": pace.frames,
        "compile_s": round(pace.compile_s, 3),
        **dataclasses.asdict(pace.on),
    }


def speed_table(
    paces: Mapping[str, Pace], stages: Mapping[str, Mapping[str, float]]
) -> rich.table.Table:
    """Returns a table of the four speeds of every tracker, for a terminal.

    Args:
      paces: Clocks by tracker.
      stages: What `measure_speeds` has found.
    """
    title = "frames/s: network; with crops; from files, one video; all videos"
    table = rich.table.Table(title=title)
    table.add_column("tracker")
    for heading in (*STAGES.values(), "all videos", "compiled, s"):
        table.add_column(heading, justify="right")
    for name, own in stages.items():
        pace = paces[name]
        total = "" if pace.fps is None else f"{pace.fps:.1f}"
        alone = [f"{own[stage]:.1f}" for stage in STAGES]
        table.add_row(shown(name), *alone, total, f"{pace.compile_s:.1f}")
    return table


def told_paces(paces: Mapping[str, Pace]) -> list[str]:
    """Returns lines on what speeds mean, one for each kind of conditions.

    Args:
      paces: Clocks by tracker.
    """
    lines = []
    for on in dict.fromkeys(pace.on for pace in paces.values() if pace.frames):
        compiled = ", ".join(
            f"{pace.compile_s:.1f} s ({name})"
            for name, pace in paces.items()
            if pace.on == on and pace.frames
        )
        lines.append(
            f"frames/s: from files to boxes, all videos, {on.batch} at a time, on "
            f"{on.device}, {on.precision}, {on.kernels} kernels; compiled before, in "
            f"{compiled}."
        )
    return lines
