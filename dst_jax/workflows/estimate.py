"""`dst-jax estimate` says what a training costs before it is run."""

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from dst_jax.arch import TrackerSpec, tracker_cost
from dst_jax.data.patches import PatchSpec
from dst_jax.distill import check_fit, init_adapters, needs_teacher
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.models import variable_shapes
from dst_jax.ops.kernels import compiled, kernels_for
from dst_jax.train import (
    Constants,
    TrainState,
    init_state,
    make_optimizer,
    make_phases,
)
from dst_jax.workflows.peaks import PEAKS
from dst_jax.workflows.printing import say, shown
from dst_jax.workflows.progress import waiting
from dst_jax.workflows.run_parts import phase_step
from dst_jax.workflows.training_data import patch_spec

# A share of the peak that convolutions of small images may reach, and a good one.
MODEST, GOOD = 0.05, 0.3
_MB = 1e6


class Estimate(NamedTuple):
    """What a step of a training costs.

    Attributes:
      batch: Pairs that a device has of a step.
      flops: Floating-point operations of one pair, as XLA counts them in the step of
        a whole batch: an addition and a multiplication are two. Host work is not among
        them.
      macs: Multiply-adds of one pair by the layers: the teacher's forward pass, and
        three times each student's.
      memory: Bytes on a device by what they hold.
      seconds: Seconds of the step's compilation here.
    """

    batch: int
    flops: float
    macs: int
    memory: Mapping[str, int]
    seconds: float


def estimate_step(
    experiment: Experiment, teacher: TrackerSpec | None, *, devices: int = 1
) -> Estimate:
    """Compiles a training step for this machine, and reads off what it costs.

    The step is that of the first phase. On another kind of device the temporary arrays
    take another amount; state, constants and batch do not.

    Args:
      experiment: The training.
      teacher: The frozen teacher's architecture, or None.
      devices: Number of devices over which the batch is split.

    Raises:
      InputError: If networks and settings do not fit together.
    """
    check_fit(teacher, experiment.students, experiment.distill)
    parts = experiment.optim.microbatches
    if devices < 1 or experiment.data.batch % (devices * parts):
        times = f" times OptimConfig.microbatches={parts}" if parts > 1 else ""
        raise InputError(
            f"--devices {devices}{times}: must divide DataConfig.batch="
            f"{experiment.data.batch}."
        )
    batch = experiment.data.batch // devices
    phase, *_ = make_phases(
        experiment.optim, experiment.students, batch=experiment.data.batch
    )
    step = phase_step(experiment, teacher, phase, axis_name=None)
    shapes = step_shapes(experiment, teacher, batch)
    fast = functools.partial(
        compiled, kernels=kernels_for(*experiment.students.values())
    )
    lowered = fast(step, donate_argnums=(0,)).lower(*shapes)
    began = time.perf_counter()
    program = lowered.compile()
    seconds = time.perf_counter() - began
    if parts > 1:
        # Of a loop over parts XLA counts one.
        optim = dataclasses.replace(experiment.optim, microbatches=1)
        whole = dataclasses.replace(experiment, optim=optim)
        lowered = fast(phase_step(whole, teacher, phase, axis_name=None)).lower(*shapes)
    # Some backends count nothing.
    counted: Any = lowered.cost_analysis() or {}
    used: Any = program.memory_analysis()
    sizes = [sum(_bytes(leaf) for leaf in jax.tree.leaves(tree)) for tree in shapes]
    names = "state", "teacher", "batch", "temporary arrays"
    temporary = int(getattr(used, "temp_size_in_bytes", 0) or 0)
    memory: dict[str, int] = dict(zip(names, (*sizes, temporary), strict=True))
    flops = float(counted.get("flops", 0.0)) / batch
    return Estimate(batch, flops, pair_macs(experiment, teacher), memory, seconds)


def print_estimate(
    experiment: Experiment,
    teacher: TrackerSpec | None,
    console: Console,
    *,
    devices: int = 1,
) -> None:
    """Prints networks, cost of a pair, memory of a device and pairs a second.

    Args:
      experiment: The training.
      teacher: The frozen teacher's architecture, or None.
      console: Console to print on.
      devices: Number of devices over which the batch is split.

    Raises:
      InputError: If networks and settings do not fit together.
    """
    with waiting(console, "compiling the step"):
        found = estimate_step(experiment, teacher, devices=devices)
    _print_networks(experiment, teacher, console)
    here = f"{found.batch} pairs on each of {devices} devices"
    if experiment.optim.microbatches > 1:
        here += f" in {experiment.optim.microbatches} parts"
    memory = ", ".join(f"{n} {b / _MB:,.1f} MB" for n, b in found.memory.items())
    pairs = experiment.optim.total_steps(experiment.data.batch) * experiment.data.batch
    say(
        console,
        f"a pair: {found.macs / 1e9:,.2f} G multiply-adds by the layers, "
        f"{found.flops / 1e9:,.2f} GFLOP by XLA's count of the step",
        f"memory of a device, {here}: {sum(found.memory.values()) / _MB:,.1f} MB "
        f"({memory})",
        f"the step compiled in {found.seconds:.0f} s on this "
        f"{jax.devices()[0].device_kind}; the run is {pairs:,} pairs",
    )
    if found.flops:
        console.print(_speeds(found.flops, pairs, devices))


def _print_networks(
    experiment: Experiment, teacher: TrackerSpec | None, console: Console
) -> None:
    table = Table(box=box.SIMPLE)
    for heading in ("network", "parameters", "MB", "G MACs a pair"):
        left = heading == "network"
        table.add_column(heading, justify="left" if left else "right")
    named = {"teacher (frozen)": teacher} if teacher else {}
    for name, spec in (named | dict(experiment.students)).items():
        cost = tracker_cost(spec, search_px=spec.input.train_search_px)
        table.add_row(
            shown(name),
            f"{cost.parameters:,}",
            f"{cost.megabytes:,.3f}",
            f"{_forward(spec) / 1e9:,.3f}",
        )
    console.print(table)


def _speeds(flops: float, pairs: int, devices: int) -> Table:
    """Returns a table of what known devices would make of it, if data keep up."""
    table = Table(box=box.SIMPLE, title="by arithmetic, bfloat16", title_justify="left")
    table.add_column("device", no_wrap=True)
    shares = (MODEST, GOOD)
    for share in shares:
        heading = shown(f"pairs/s at {share:.0%} of peak")
        table.add_column(heading, justify="right")
        table.add_column("hours", justify="right")
    for peak in PEAKS:
        rates = [share * peak.flops * devices / flops for share in shares]
        cells = [(f"{rate:,.0f}", f"{pairs / rate / 3600:,.2f}") for rate in rates]
        table.add_row(
            f"{devices} x {peak.name}", *(text for pair in cells for text in pair)
        )
    return table


def step_shapes(
    experiment: Experiment, teacher: TrackerSpec | None, batch: int
) -> tuple[TrainState, Constants, dict[str, Any]]:
    """Returns a step's arguments; of teacher and batch, shapes alone.

    Args:
      experiment: The training.
      teacher: The frozen teacher's architecture, or None.
      batch: Number of pairs.
    """
    optim, key = experiment.optim, jax.random.key(0)
    tx = make_optimizer(optim, total_steps=optim.total_steps(experiment.data.batch))
    students = experiment.students
    adapters = init_adapters(key, teacher, students, experiment.distill)
    state = init_state(key, students, tx, adapters=adapters)
    seen = teacher if needs_teacher(students, experiment.distill) else None
    constants = Constants(variable_shapes(seen) if seen else {})
    patch = patch_spec(experiment, teacher=teacher)
    return state, constants, _host_shapes(patch, batch)


def _host_shapes(patch: PatchSpec, batch: int) -> dict[str, Any]:
    """Returns shapes and types of what the host sends for a step."""

    def of(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((batch, *shape), dtype)

    found = {"index": of(np.int32), "mask": of(np.float32), "is_negative": of(np.bool_)}
    for role, side in (
        ("template", patch.template.patch_px),
        ("search", patch.search.patch_px),
    ):
        found[f"{role}_patch"] = of(np.uint8, side, side, 3)
        found[f"{role}_fill_rgb"] = of(np.float32, 3)
        found[f"{role}_box"] = of(np.float32, 4)
    return found


def _forward(spec: TrackerSpec) -> int:
    """Returns the multiply-adds of a pair in training, those of attention too."""
    cost = tracker_cost(spec, search_px=spec.input.train_search_px)
    return cost.template_macs + cost.search_macs + cost.attention_macs


def pair_macs(experiment: Experiment, teacher: TrackerSpec | None) -> int:
    """Returns the multiply-adds that the layers need for a pair in a step.

    The teacher's forward pass counts once and only where a term reads it; the forward
    and backward passes of a student are three forward passes. Crops, losses and
    optimizers are left out, and so is that parts of students may be frozen.

    Args:
      experiment: The training.
      teacher: The frozen teacher's architecture, or None.
    """
    seen = needs_teacher(experiment.students, experiment.distill)
    frozen = _forward(teacher) if teacher and seen else 0
    return frozen + 3 * sum(map(_forward, experiment.students.values()))


def _bytes(leaf: Any) -> int:
    return int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize
