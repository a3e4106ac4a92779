"""Pairs a second on 8, 64 and 512 chips, by arithmetic, for `docs/scaling.md`.

    python scripts/scaling.py --compile SiamFC  # counts in a program of 8 devices
    python scripts/scaling.py                   # traces each joint step, some seconds
    python scripts/scaling.py --write           # puts the tables into the page

What a step exchanges is read from the program that `shard_map` makes of it for eight
devices of this CPU; how long that takes follows from `ring_seconds` and from what
makers publish of their links; how long a chip computes, from one measured step.
"""

import argparse
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from collectives import Exchange, of_compiled, of_traced

from dst_jax.arch import named, tracker_cost
from dst_jax.command.settings import load_experiment
from dst_jax.files import read_json, write_json, write_text
from dst_jax.ops.kernels import kernels_for
from dst_jax.train import make_phases, on_all, over_mesh
from dst_jax.workflows.estimate import pair_macs, step_shapes
from dst_jax.workflows.peaks import PEAKS
from dst_jax.workflows.run_parts import phase_step

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "scaling.md"
COMPILED = pathlib.Path(__file__).with_name("scaling_compiled.json")
# Configuration and teacher of each family.
FAMILIES = {
    "SiamFC": ("siamfc_dst", "siamfc-alexnet"),
    "SiamRPN-BIG": ("siamrpn_dst", "siamrpn-big"),
    "SiamRPN++": ("siamrpnpp_dst", "siamrpnpp-big"),
    "OSTrack": ("loretrack", "ostrack-384"),
}
TRACED_ON = 8
SIZES = (8, 64, 512)
# `bench_step.py --family siamfc --batch 32` on one H100: pairs a second.
MEASURED, PAIRS, MEASURED_ON = 1785.0, 32, "NVIDIA H100 SXM"
CORE_S = 1.7e-3  # of a host's core for a pair, as docs/results.md has it


class Dimension(NamedTuple):
    """A ring of chips.

    Attributes:
      side: Number of chips in it.
      bytes_per_s: What a chip sends along it in a second.
      hop_s: Seconds until a small message is at the next chip.
    """

    side: int
    bytes_per_s: float
    hop_s: float


class Machine(NamedTuple):
    """Chips of a kind, and how they are connected.

    Attributes:
      name: The chip, as `PEAKS` has it.
      links: How they are connected, in words.
      rings: The rings for each number of chips; the product of sides is that number.
    """

    name: str
    links: str
    rings: Mapping[int, tuple[Dimension, ...]]


def _torus(bytes_per_s: float, shapes: Mapping[int, tuple[int, ...]]) -> Any:
    return {
        chips: tuple(Dimension(side, bytes_per_s, TPU_HOP_S) for side in sides)
        for chips, sides in shapes.items()
    }


TPU_HOP_S, NVLINK_HOP_S, NDR_HOP_S = 1e-6, 0.6e-6, 2.7e-6
_NVLINK = Dimension(8, 450e9, NVLINK_HOP_S)
_V5E = _torus(100e9, {8: (2, 4), 64: (8, 8), 256: (16, 16)})
_CUBES = {8: (2, 2, 2), 64: (4, 4, 4), 512: (8, 8, 8)}
MACHINES = (
    Machine(
        "NVIDIA H100 SXM",
        "nodes of 8 with NVLink, an NDR InfiniBand adapter for each GPU",
        {
            8: (_NVLINK,),
            64: (_NVLINK, Dimension(8, 50e9, NDR_HOP_S)),
            512: (_NVLINK, Dimension(64, 50e9, NDR_HOP_S)),
        },
    ),
    Machine("TPU v4", "a torus of 3 dimensions", _torus(100e9, _CUBES)),
    # A pod has 256 chips; its network of 6.4 Tbit/s connects it with another.
    Machine(
        "TPU v5e",
        "a torus of 2 dimensions; 512 are two pods over their network",
        {**_V5E, 512: (*_V5E[256], Dimension(2, 6.4e12 / 8 / 256, 50e-6))},
    ),
    Machine("TPU v5p", "a torus of 3 dimensions", _torus(200e9, _CUBES)),
)


class Step(NamedTuple):
    """A joint step of a family.

    Attributes:
      macs: Multiply-adds of the layers for a pair.
      parameter_bytes: Bytes of the students' parameters in float32.
      traced: What the program exchanges as it is written.
      rounds: Number of all-reduces in the compiled program; None if it was not
        compiled.
      compiled_bytes: Their bytes.
    """

    macs: int
    parameter_bytes: int
    traced: Exchange
    rounds: int | None = None
    compiled_bytes: int | None = None

    @property
    def exchanged(self) -> tuple[int, int]:
        """Returns bytes and all-reduces of a step, of the compiled one if known."""
        return self.compiled_bytes or self.traced.total, self.rounds or (
            self.traced.rounds
        )


def ring_seconds(size: int, rounds: int, rings: tuple[Dimension, ...]) -> float:
    """Returns the seconds of a step's all-reduces along rings, one after another.

    Each ring of `side` chips adds up what the one before has left to a chip, and hands
    the sums back: 2 (side - 1) / side of its bytes cross each link, and each of the
    `rounds` makes 2 (side - 1) hops.

    Args:
      size: Bytes of a step.
      rounds: Number of all-reduces in which they are added up.
      rings: The rings.
    """
    seconds, left = 0.0, float(size)
    for side, bytes_per_s, hop_s in rings:
        seconds += 2.0 * (side - 1) / side * left / bytes_per_s
        seconds += rounds * 2.0 * (side - 1) * hop_s
        left /= side
    return seconds


def compute_seconds(macs: int, machine: str, measured_macs: int) -> float:
    """Returns the seconds that a chip computes `PAIRS` pairs.

    It reaches the share of its peak that the measured step reached.

    Args:
      macs: Multiply-adds of a pair.
      machine: The chip.
      measured_macs: Multiply-adds of a pair of the measured step.
    """
    peaks = {peak.name: peak.flops for peak in PEAKS}
    rate = MEASURED * measured_macs * peaks[machine] / peaks[MEASURED_ON]
    return PAIRS * macs / rate


def traced_step(family: str, *, compiles: bool = False) -> Step:
    """Traces the joint step of a family for all devices, at one pair on each."""
    config, teacher_name = FAMILIES[family]
    experiment, teacher = load_experiment(config), named(teacher_name)
    optim, students = experiment.optim, experiment.students
    # In the last phase all learns that learns at all.
    *_, phase = make_phases(optim, students, batch=experiment.data.batch)
    devices = jax.devices()
    program = over_mesh(
        phase_step(experiment, teacher, phase),
        on_all(devices).mesh,
        kernels=kernels_for(*students.values()),
    )
    arguments = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
        step_shapes(experiment, teacher, len(devices)),
    )
    size = 4 * sum(tracker_cost(spec).parameters for spec in students.values())
    traced = of_traced(program, *arguments)
    found = Step(pair_macs(experiment, teacher), size, traced)
    if not compiles:
        return found
    compiled = of_compiled(program.lower(*arguments).compile().as_text())
    return found._replace(rounds=compiled.rounds, compiled_bytes=compiled.total)


def exchange_table(steps: Mapping[str, Step]) -> Iterator[str]:
    """Yields the rows of what a step exchanges."""
    yield (
        "| students of | G multiply-adds a pair | parameters, bytes | all-reduced, "
        "bytes | beyond parameters | sums as written | all-reduces compiled | their "
        "bytes |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for family, step in steps.items():
        beyond = step.traced.total - step.parameter_bytes
        compiled = ["not compiled", ""]
        if step.rounds is not None:
            compiled = [f"{step.rounds}", f"{step.compiled_bytes:,}"]
        cells = [
            f"{step.macs / 1e9:,.2f}",
            f"{step.parameter_bytes:,}",
            f"{step.traced.total:,}",
            f"{beyond:,} ({beyond / step.parameter_bytes:.2%})",
            f"{step.traced.rounds}",
            *compiled,
        ]
        yield f"| {family} | {' | '.join(cells)} |"


def speed_table(steps: Mapping[str, Step]) -> Iterator[str]:
    """Yields the rows of pairs a second."""
    sizes = " | ".join(f"{n} chips: ms, pairs/s, share" for n in SIZES)
    yield f"| students of | chip | computes, ms | {sizes} |"
    yield "|---|---|---|" + "---|" * len(SIZES)
    for family, step in steps.items():
        for machine in MACHINES:
            own = compute_seconds(step.macs, machine.name, steps["SiamFC"].macs)
            cells = [f"{1e3 * own:.1f}"]
            for chips in SIZES:
                shared = ring_seconds(*step.exchanged, machine.rings[chips])
                rate = chips * PAIRS / (own + shared)
                share = own / (own + shared)
                cells.append(f"{1e3 * shared:.2f}, {rate:,.0f}, {share:.0%}")
            yield f"| {family} | {machine.name} | {' | '.join(cells)} |"


def link_table() -> Iterator[str]:
    """Yields the rows of what was assumed of chips and links."""
    yield "| chip | TFLOP/s | how they are connected | rings: chips x GB/s, µs a hop |"
    yield "|---|---|---|---|"
    peaks = {peak.name: peak.flops for peak in PEAKS}
    for machine in MACHINES:
        rings = ", then ".join(
            f"{side} x {rate / 1e9:g}, {1e6 * hop:g}"
            for side, rate, hop in machine.rings[SIZES[-1]]
        )
        flops = f"{peaks[machine.name] / 1e12:.0f}"
        yield f"| {machine.name} | {flops} | {machine.links} | {rings} |"


def with_tables(page: str, tables: Mapping[str, list[str]]) -> str:
    """Returns the page with new tables between its marks."""
    for name, lines in tables.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, rest = page.split(begin)
        _, after = rest.split(end, 1)
        page = before + begin + "\n".join([*lines, end]) + after
    return page


def _compiled_steps() -> dict[str, Step]:
    """Returns the steps of all families, traced now and compiled at some time."""
    kept = read_json(COMPILED) if COMPILED.exists() else {}
    steps = {}
    for family in FAMILIES:
        steps[family] = traced_step(family)
        if own := kept.get(family):
            counts = {"rounds": own["rounds"], "compiled_bytes": own["bytes"]}
            steps[family] = steps[family]._replace(**counts)
    return steps


def _compile(family: str) -> None:
    """Compiles a step, and keeps what the program exchanges."""
    kept = read_json(COMPILED) if COMPILED.exists() else {}
    step = traced_step(family, compiles=True)
    kept[family] = {"rounds": step.rounds, "bytes": step.compiled_bytes}
    write_json(COMPILED, kept)


def main() -> None:
    """Prints or writes the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--compile", nargs="+", choices=FAMILIES, default=[])
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", TRACED_ON)
    for family in args.compile:
        _compile(family)
    if args.compile:
        return
    steps = _compiled_steps()
    tables = {
        "exchange": list(exchange_table(steps)),
        "links": list(link_table()),
        "speeds": list(speed_table(steps)),
    }
    if args.write:
        write_text(PAGE, with_tables(PAGE.read_text(), tables))
    else:
        print("\n\n".join("\n".join(lines) for lines in tables.values()))


if __name__ == "__main__":
    main()
