"""Says in words which parts of which network learn in a phase of a run."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from dst_jax.arch import TrackerSpec
from dst_jax.models import variable_shapes
from dst_jax.models.parts import ADAPTERS, lies_in_any
from dst_jax.train import Phase
from dst_jax.typing import Params


def phase_lines(
    phase: Phase,
    students: Mapping[str, TrackerSpec],
    adapters: Mapping[str, Params],
    *,
    total_steps: int,
) -> list[str]:
    """Returns a line for each student of what learns, and how much of it there is.

    Parts are named as `OptimConfig.parts` takes them, the largest first that learn
    whole.

    Args:
      phase: The phase.
      students: The networks, by name.
      adapters: Parameters of terms, by student.
      total_steps: Number of steps of the run.
    """
    where = f"from step {phase.first:,} of {total_steps:,}"
    return [
        f"{where} {name} learns {_learning(phase, name, spec, adapters.get(name))}"
        for name, spec in students.items()
    ]


def _learning(
    phase: Phase, name: str, spec: TrackerSpec, adapters: Params | None
) -> str:
    params: Any = variable_shapes(spec)["params"]
    tree = {**params, ADAPTERS: adapters} if adapters else params
    frozen = phase.frozen.get(name, ())
    parts = ", ".join(_whole(tree, frozen)) or "nothing"
    sizes = {path: math.prod(leaf.shape) for path, leaf in _leaves(tree)}
    learning = sum(n for path, n in sizes.items() if not lies_in_any(path, frozen))
    count = f"{learning:,} of {sum(sizes.values()):,} parameters"
    slower = [
        f"{part} at {rate:g} of the rate"
        for part, rate in phase.rates.get(name, {}).items()
        if rate != 1.0 and part not in frozen
    ]
    return "; ".join([f"{parts}: {count}", *slower])


def _whole(
    tree: Any, frozen: tuple[str, ...], *, above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yields the largest parts in which nothing is frozen, in the order of the tree."""
    for key, below in tree.items():
        path = (*above, key)
        leaves = [(*path, *end) for end, _ in _leaves(below)]
        still = [lies_in_any(leaf, frozen) for leaf in leaves]
        if leaves and not any(still):
            yield "/".join(path)
        elif not all(still):
            yield from _whole(below, frozen, above=path)


def _leaves(tree: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield tuple(entry.key for entry in path), leaf
