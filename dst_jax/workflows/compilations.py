"""Counts the programs that JAX compiles, and those that its cache spares."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax

# So JAX calls what it tells of: a program, from wherever it came; reading one from the
# cache, which is a part of the former; tracing one.
_PROGRAM = "/jax/core/compile/backend_compile_duration"
_READ = "/jax/compilation_cache/cache_retrieval_time_sec"
_TRACED = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
)


@dataclasses.dataclass
class Compilations:
    """What was compiled.

    Attributes:
      programs: Number of programs.
      read: How many of them came from the cache of an earlier process.
      program_s: Seconds until all of them were there, compiled or read.
      read_s: Seconds of these that went to reading.
      traced_s: Seconds of tracing beforehand, of which no cache spares any.
    """

    programs: int = 0
    read: int = 0
    program_s: float = 0.0
    read_s: float = 0.0
    traced_s: float = 0.0

    @property
    def line(self) -> str:
        """Returns what is said of it.

        Example:
          >>> Compilations(programs=12, read=9, program_s=31.4, read_s=0.4).line
          '3 programs compiled in 31.0 s, 9 read in 0.4 s from those that are kept'
        """
        compiled = self.programs - self.read
        return (
            f"{compiled} programs compiled in {self.program_s - self.read_s:.1f} s, "
            f"{self.read} read in {self.read_s:.1f} s from those that are kept"
        )

    def _note(self, event: str, duration_secs: float, **kwargs: Any) -> None:
        del kwargs  # the metadata of JAX
        if event == _PROGRAM:
            self.programs += 1
            self.program_s += duration_secs
        elif event == _READ:
            self.read += 1
            self.read_s += duration_secs
        elif event in _TRACED:
            self.traced_s += duration_secs


@contextlib.contextmanager
def counted() -> Iterator[Compilations]:
    """Counts what this process compiles until the block ends, in all its threads.

    Yields:
      The counts, which grow.
    """
    found = Compilations()
    listener = found._note
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
