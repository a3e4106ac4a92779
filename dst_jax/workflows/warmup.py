"""`dst-jax warmup` compiles all programs of a training before it is run."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.ops.kernels import VARIABLE, chosen_kernels
from dst_jax.train import Pod, Snapshot, first_best, fit, of_first, this_pod
from dst_jax.workflows.compilations import counted
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import waiting
from dst_jax.workflows.run_inputs import gather, read_networks
from dst_jax.workflows.run_parts import Given, make_run
from dst_jax.workflows.train import first_state

_FOLDER = "jax_compilation_cache_dir"


def warm_up(
    experiment: Experiment, *, teacher: pathlib.Path | None = None, console: Console
) -> None:
    """Takes the first step of each phase of a run, and validates; keeps the programs.

    The run then finds all of them in JAX's cache. A program belongs to the
    configuration with its seed, to the kinds and numbers of devices and processes, and
    to the versions; with which weights a run begins makes no difference. Nothing is
    written but programs. Of several processes the first writes them.

    Args:
      experiment: The configuration.
      teacher: Bundle of the frozen teacher; needed if a term reads the teacher.
      console: Console for messages.

    Raises:
      InputError: If configuration, data and teacher do not fit together, or programs
        cannot be kept here.
    """
    _require_kept()
    pod = this_pod()
    console = console if pod.writes else Console(quiet=True)
    with counted() as found:
        with pod.together("reading what the run computes from"):
            networks = read_networks(experiment, teacher, {}, {})
            given = gather(experiment, networks, verb="dst-jax warmup", console=console)
        with waiting(console, "compiling"):
            _run_shortly(given, pod, console)
    say(console, found.line, f"kept in {_setting(_FOLDER)}")


def _run_shortly(given: Given, pod: Pod, console: Console) -> None:
    """Takes one step of each phase as the run would."""
    with pod.together("preparing the steps"):
        run = make_run(given, 0, console)
    # No process saves, as the others do not in a run.
    run = run._replace(pod=Pod(0, pod.count))
    for first in (0, *(phase.first for phase in run.later)):
        state = first_state(given)
        state = state._replace(step=jnp.asarray(first, state.step.dtype))
        begun = Snapshot(state, first_best(state))
        of_first(pod, begun if pod.writes else None, begun)
        fit(begun, run._replace(total_steps=first + 1), given.experiment.loop)


def _setting(name: str) -> Any:
    """Returns a setting of JAX, whose types do not name it."""
    return getattr(jax.config, name)


def _require_kept() -> None:
    """Raises InputError if this process keeps no programs, or none of this kind."""
    if not (_setting(_FOLDER) and _setting("jax_enable_compilation_cache")):
        raise InputError(
            "warmup: no folder keeps compiled programs; set JAX_COMPILATION_CACHE_DIR "
            "to one, for the run too."
        )
    if chosen_kernels().kind == "onednn":
        raise InputError(
            "warmup: jaxlib cannot keep programs with oneDNN's kernels; set "
            f"{VARIABLE}=eigen for this and for the run, which is slower then."
        )
