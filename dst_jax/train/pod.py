"""The processes of one run, each on a host of its own, and what they agree on.

Each process draws its share of the batch and computes the same state. The first one
alone writes. Whether a run stops, saves or has failed is decided by all together, since
a process that leaves the others alone would leave them waiting for its numbers.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from dst_jax.digests import json_sha256
from dst_jax.errors import InputError, told_to_all


class StoppedElsewhere(InputError):
    """Says that another process of the run could not go on, and has said why."""


@dataclasses.dataclass(frozen=True)
class Pod:
    """One process among those of a run. Every method must be called by all of them.

    Attributes:
      index: Number of this process, from 0.
      count: Number of processes.
    """

    index: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Returns whether this process is the one that writes."""
        return self.index == 0

    def gather(self, values: Any) -> np.ndarray:
        """Returns an array of every process, stacked along a new first axis.

        Args:
          values: Array of the same shape and type in all.
        """
        if self.count == 1:
            return np.asarray(values)[None]
        return np.asarray(multihost_utils.process_allgather(np.asarray(values)))

    def of_first(self, leaves: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
        """Returns the arrays that the first process has, by name, bit for bit.

        Args:
          leaves: Those arrays; only their shapes and types are read in the others.
        """
        arrays = {name: np.asarray(leaf) for name, leaf in (leaves or {}).items()}
        if self.count == 1:
            return arrays
        # Summed as integers with zeros of the others: as floats, -0. would become 0.
        as_bytes = {n: np.frombuffer(a.tobytes(), np.uint8) for n, a in arrays.items()}
        sent = multihost_utils.broadcast_one_to_all(as_bytes)
        return {
            name: np.frombuffer(np.asarray(sent[name]).tobytes(), a.dtype).reshape(
                a.shape
            )
            for name, a in arrays.items()
        }

    def require_same(self, values: Mapping[str, Any]) -> None:
        """Checks that all processes compute from the same.

        Args:
          values: JSON values by a name that a user understands; the same names in all.

        Raises:
          InputError: In all of them, if one has other values than the first.
        """
        digests = [bytes.fromhex(json_sha256(value)) for value in values.values()]
        rows = np.frombuffer(b"".join(digests), np.uint8).reshape(len(values), -1)
        found = self.gather(rows)
        for number, theirs in enumerate(found):
            differ = np.any(theirs != found[0], axis=-1)
            names = [name for name, other in zip(values, differ, strict=True) if other]
            if names:
                error = InputError(
                    f"process {number} has other {' and '.join(names)} than process 0; "
                    "give all processes the same command and the same files."
                )
                raise told_to_all(error)

    @contextlib.contextmanager
    def together(self, what: str) -> Iterator[None]:
        """Does something on every process that may fail on one of them.

        The processes leave it together: if it failed in one, it has failed in all. What
        is done must not itself wait for other processes.

        Args:
          what: Name of it, for the processes in which it did not fail.

        Raises:
          StoppedElsewhere: If it failed in another process alone.
        """
        failed: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failed = error
            raise
        finally:
            if self.count > 1:
                others = np.flatnonzero(self.gather(np.uint8(failed is not None)))
                if failed is not None:
                    told_to_all(failed)
                elif others.size:
                    line = f"process {others[0]} failed while {what}; see its own line."
                    raise told_to_all(StoppedElsewhere(line))


def this_pod() -> Pod:
    """Returns the processes of this run, as JAX knows them."""
    return Pod(jax.process_index(), jax.process_count())


class Ballot:
    """Asks at every step what the processes have to say, and takes the largest answers.

    On accelerators answers are those to the question before, so that a step need not
    be awaited: the count of it is started now and read at the next question. On CPUs,
    whose collectives must not overlap, they are read at once.

    Args:
      pod: The processes.
    """

    def __init__(self, pod: Pod):
        self._pod = pod
        self._asked: Any = None
        self._largest = _largest(pod) if pod.count > 1 else None

    def ask(self, *values: int) -> tuple[int, ...]:
        """Returns the largest of each value over all processes.

        Args:
          values: Whole numbers from 0; what is asked first is asked always.
        """
        if self._largest is None:
            return values
        before, self._asked = self._asked, self._largest(values)
        if jax.default_backend() == "cpu":
            before = self._asked
        if before is None:
            return (0,) * len(values)
        return tuple(int(value) for value in np.asarray(before))


def _largest(pod: Pod) -> Any:
    """Returns a function of numbers that starts to find the largest of each."""
    grid = np.array(jax.devices()).reshape(pod.count, -1)
    mesh = jax.sharding.Mesh(grid, ("processes", "local"))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("processes"))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    largest = jax.jit(lambda rows: rows.max(axis=0), out_shardings=everywhere)

    def start(values: tuple[int, ...]) -> jax.Array:
        row = np.asarray(values, np.int32)[None]
        return largest(jax.make_array_from_process_local_data(spread, row))

    return start
