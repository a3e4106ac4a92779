"""Parts of networks that are frozen for a while or learn at a rate of their own.

A run has one phase for each set of frozen parts. What is frozen gets no gradient, no
update and no momentum, and the step of each phase is compiled apart, without its
backward pass.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dst_jax.arch import TrackerSpec
from dst_jax.errors import InputError
from dst_jax.models import check_parts, parameter_paths
from dst_jax.models.parts import ADAPTERS, choose, lies_in
from dst_jax.train.optim import OptimConfig
from dst_jax.train.state import TrainState
from dst_jax.typing import Params

# Before the part's path: the student whose part it is.
_OF = ":"


class Phase(NamedTuple):
    """A stretch of a run in which the same parts are frozen.

    Attributes:
      first: Step with which it begins, counted from 0.
      frozen: Frozen parts by student.
      rates: Factors on the learning rate by student and part; 1 elsewhere.
      thawed: Students of which a part begins to learn here.
      decays: Factors on the weight decay by student; 1 elsewhere.
    """

    first: int = 0
    frozen: Mapping[str, tuple[str, ...]] = {}
    rates: Mapping[str, Mapping[str, float]] = {}
    thawed: tuple[str, ...] = ()
    decays: Mapping[str, float] = {}


# That of a run in which nothing is frozen.
ONLY_PHASE = Phase()


class _Part(NamedTuple):
    given: str
    path: str
    rate: float
    first: int


def make_phases(
    config: OptimConfig, students: Mapping[str, TrackerSpec], *, batch: int
) -> tuple[Phase, ...]:
    """Returns the phases of a run; a run without `parts` has one.

    Args:
      config: Settings of the optimizer, with the parts.
      students: The networks that learn, by name.
      batch: Number of pairs in a step, over all devices.

    Raises:
      InputError: If a part names nothing, or two of a student overlap.
    """
    if not config.parts:
        return (ONLY_PHASE,)
    steps = config.steps_per_epoch(batch)
    parts = {name: _parts_of(name, students, config, steps) for name in students}
    for name, spec in students.items():
        _require_parts(name, spec, parts[name])
    thaws = {p.first for own in parts.values() for p in own if p.rate and p.first}

    def phase(first: int) -> Phase:
        frozen = {
            name: tuple(p.path for p in own if not p.rate or p.first > first)
            for name, own in parts.items()
        }
        rates = {name: {p.path: p.rate for p in own} for name, own in parts.items()}
        thawed = tuple(
            name
            for name, own in parts.items()
            if any(p.rate and p.first == first for p in own)
        )
        decays = _early_decays(config, parts, first)
        return Phase(first, frozen, rates, thawed if first else (), decays)

    return tuple(phase(first) for first in sorted({0, *thaws}))


def update(
    tx: optax.GradientTransformation,
    phase: Phase,
    name: str,
    gradient: Params,
    state: tuple[optax.OptState, Params],
) -> tuple[optax.OptState, Params]:
    """Returns optimizer state and parameters of a student after a step.

    Args:
      tx: The optimizer.
      phase: The phase of the run.
      name: The student.
      gradient: Gradient, 0 in frozen parts.
      state: Its optimizer state and parameters before the step.
    """
    opt_state, params = state
    frozen, rates = phase.frozen.get(name, ()), phase.rates.get(name, {})
    # Decay must not gather momentum in what does not move.
    decayed = params
    if frozen:
        decayed = choose(frozen, jax.tree.map(jnp.zeros_like, params), params)
    if (decay := phase.decays.get(name, 1.0)) != 1.0:
        decayed = jax.tree.map(lambda x: x * decay, decayed)
    updates, opt_state = tx.update(gradient, opt_state, decayed)
    for part, rate in rates.items():
        slower = jax.tree.map(lambda x, rate=rate: x * rate, updates)
        updates = choose([part], slower, updates)
    return opt_state, choose(frozen, params, optax.apply_updates(params, updates))


def forget_momentum(
    state: TrainState, tx: optax.GradientTransformation, students: tuple[str, ...]
) -> TrainState:
    """Returns the state with fresh optimizers of some students.

    The learning rate goes on where it was.

    Args:
      state: The state.
      tx: The optimizer.
      students: Their names.
    """
    opt_state = dict(state.opt_state)
    for name in students:
        fresh = tx.init(state.params[name])
        opt_state[name] = keep_rate(opt_state[name], fresh)
    return state._replace(opt_state=opt_state)


def keep_rate(of: optax.OptState, other: optax.OptState) -> optax.OptState:
    """Returns an optimizer's state with the step counts for the rate of another's.

    Args:
      of: The state whose counts are taken.
      other: The state whose everything else is taken.
    """

    def is_rate(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    return jax.tree.map(
        lambda mine, theirs: mine if is_rate(mine) else theirs,
        of,
        other,
        is_leaf=is_rate,
    )


def _early_decays(
    config: OptimConfig, parts: Mapping[str, list[_Part]], first: int
) -> dict[str, float]:
    """Returns factors on the decay of students of which nothing has thawed yet."""
    if config.early_weight_decay is None:
        return {}
    factor = config.early_weight_decay / config.weight_decay
    thaws = {
        n: [p.first for p in own if p.rate and p.first] for n, own in parts.items()
    }
    return {n: factor for n, own in thaws.items() if own and first < min(own)}


def _parts_of(
    name: str, students: Mapping[str, TrackerSpec], config: OptimConfig, steps: int
) -> list[_Part]:
    """Returns the parts of a student, with the steps at which they begin to learn."""
    found = []
    for given, rate, thaw in config.parts:
        student, of, path = given.rpartition(_OF)
        if of and student not in students:
            raise InputError(
                f"OptimConfig.parts: {given}: there is no student {student!r}; there "
                f"are {', '.join(students)}."
            )
        if not of or student == name:
            found.append(_Part(given, path, rate, round(thaw * steps)))
    return found


def _require_parts(name: str, spec: TrackerSpec, parts: list[_Part]) -> None:
    """Raises InputError if a part of a student holds nothing, or what another has."""
    owner: dict[tuple[str, ...], str] = {}
    for part in parts:
        paths = parameter_paths(spec)
        if part.path == ADAPTERS:
            # Which of them there are depends on the terms, not on the network.
            paths = ((ADAPTERS,),)
        else:
            check_parts(spec, [part.path], owner=f"OptimConfig.parts, student {name}")
        for path in (path for path in paths if lies_in(path, part.path)):
            if path in owner:
                raise InputError(
                    f"OptimConfig.parts: {owner[path]} and {part.given} both hold "
                    f"{'/'.join(path)} of student {name}; name each part once."
                )
            owner[path] = part.given
