"""Joins the processes of one run, which may be on many hosts."""

import contextlib
import re
from collections.abc import Iterator

from dst_jax.errors import InputError, is_told_to_all, printable

_ADDRESS = re.compile(r"[^\s:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
# The others may be reading data when one of them has ended.
_END_S = 30


@contextlib.contextmanager
def joined_run(
    coordinator: str | None,
    processes: int | None,
    process_id: int | None,
    on_pod: bool,
) -> Iterator[None]:
    """Joins the other processes of a run, and leaves them at its end.

    It must come before JAX looks for devices. Without any of the options nothing is
    joined.

    Args:
      coordinator: Address of process 0 as HOST:PORT.
      processes: Number of processes.
      process_id: Number of this process.
      on_pod: Whether the environment says all this, as a TPU pod, Slurm and MPI do.

    Raises:
      InputError: If the options do not fit together, or the others do not come.
    """
    named = {
        "--coordinator": coordinator,
        "--processes": processes,
        "--process-id": process_id,
    }
    given = [option for option, value in named.items() if value is not None]
    if not given and not on_pod:
        yield
        return
    _check(named, given, on_pod)
    import jax

    try:
        jax.distributed.initialize(
            coordinator, processes, process_id, shutdown_timeout_seconds=_END_S
        )
    except (RuntimeError, ValueError) as error:
        where = f"--coordinator {coordinator}" if coordinator else "--pod"
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{where}: the processes did not find each other ({printable(reason)}); "
            "start all of them with the same address and number."
        ) from None
    try:
        yield
    except BaseException as error:
        if is_told_to_all(error):
            _leave()
        # The others know nothing of any other error, and JAX would end this process
        # while it waits for them, before it can say what went wrong.
        raise
    _leave()


def _leave() -> None:
    """Waits for the other processes, since the first is what they are connected to."""
    import jax

    # Those that do not come have been told of by their own lines.
    with contextlib.suppress(RuntimeError):
        jax.distributed.shutdown()


def _check(named: dict[str, str | int | None], given: list[str], on_pod: bool) -> None:
    """Raises InputError if the options do not say what is needed, or say it twice."""
    if on_pod and given:
        raise InputError(
            f"{given[0]}: --pod takes it from the environment; leave one of them out."
        )
    if on_pod:
        return
    if missing := [option for option in named if option not in given]:
        raise InputError(
            f"{given[0]} needs {' and '.join(missing)} too, so that the processes of a "
            "run find each other."
        )
    address, count, number = named.values()
    if not _ADDRESS.fullmatch(str(address)):
        raise InputError(
            f"--coordinator {printable(str(address))}: is no address; give HOST:PORT, "
            "such as 10.0.0.2:8476."
        )
    assert isinstance(count, int) and isinstance(number, int)
    if count < 1:
        raise InputError(f"--processes {count}: must be 1 or more.")
    if not 0 <= number < count:
        raise InputError(
            f"--process-id {number}: must be from 0 to {count - 1}, for "
            f"--processes {count}."
        )
