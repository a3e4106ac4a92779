"""Counts what the devices of a run exchange, in a traced and in a compiled program."""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

_SUMS = ("psum", "psum_invariant")  # as JAX calls sums over devices
_ARRAY = re.compile(r"(pred|[a-z]+?(\d+))\[([\d,]*)\]")
_REDUCED = re.compile(r" = (.+?) all-reduce(?:-start)?\(")


class Exchange(NamedTuple):
    """What all devices add up in a step.

    Attributes:
      arrays: Size of each array in bytes.
      rounds: Number of all-reduces, each of one array or of several.
    """

    arrays: tuple[int, ...]
    rounds: int

    @property
    def total(self) -> int:
        """Returns the bytes of all arrays."""
        return sum(self.arrays)


def of_compiled(program: str) -> Exchange:
    """Returns what the text of a compiled program exchanges (XLA's HLO).

    Example:
      >>> line = "%a = (f32[2,3]{1,0}, bf16[]) all-reduce(%b, %c), channel_id=1"
      >>> of_compiled(line)
      Exchange(arrays=(24, 2), rounds=1)
    """
    found = [match[1] for match in _REDUCED.finditer(program)]
    arrays = [_bytes(*match.groups()) for x in found for match in _ARRAY.finditer(x)]
    return Exchange(tuple(arrays), len(found))


def of_traced(program: Any, *arguments: Any) -> Exchange:
    """Returns what a step exchanges before the compiler merges or drops anything.

    Args:
      program: The step for all devices by `jax.jit`, such as `over_mesh` returns.
      arguments: Its arguments, or their shapes.
    """
    # `jax.make_jaxpr` takes no program that has options of the compiler.
    sums = list(_sums(program.trace(*arguments).jaxpr.jaxpr))
    return Exchange(tuple(size for arrays in sums for size in arrays), len(sums))


def _sums(jaxpr: Any) -> Iterator[list[int]]:
    """Yields the sizes of the arrays of each sum over devices, those of loops too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in _SUMS and equation.params.get("axes"):
            yield [x.aval.size * x.aval.dtype.itemsize for x in equation.invars]
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                within = getattr(inner, "jaxpr", inner)
                if hasattr(within, "eqns"):
                    yield from list(_sums(within)) * equation.params.get("length", 1)


def _bytes(kind: str, bits: str | None, sides: str) -> int:
    count = math.prod(int(side) for side in sides.split(",") if side)
    return count * (int(bits) // 8 if bits else np.dtype(bool).itemsize)
