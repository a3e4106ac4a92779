"""Parameters of terms, which learn with a student and are no part of its tracker.

They stand among the student's parameters under `ADAPTERS`, by term. So the student's
optimizer takes them along, clips one gradient of both, and checkpoints hold them; the
network and its bundles are given what `of_network` leaves.
"""

import zlib
from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dst_jax.arch import TrackerSpec
from dst_jax.distill.config import DistillConfig
from dst_jax.models.parts import ADAPTERS, choose
from dst_jax.typing import Array, Params


def init_adapters(
    key: Array,
    teacher: TrackerSpec | None,
    students: Mapping[str, TrackerSpec],
    config: DistillConfig,
    *,
    dtype: DTypeLike = jnp.float32,
) -> dict[str, Params]:
    """Returns the first values of all terms' parameters by student, then by term.

    Those of a student depend on `key`, its name, its architecture and the teacher's,
    but not on other students or terms. Students and terms without any are absent.

    Args:
      key: Randomness of the first values.
      teacher: The frozen network, or None.
      students: The networks that learn, by name.
      config: The terms, which `check_fit` has passed.
      dtype: Type of the parameters.
    """
    found: dict[str, Params] = {}
    for student, spec in students.items():
        of_terms = {}
        for name, term in config.active.items():
            own = jax.random.fold_in(key, _number(f"{student}/{name}"))
            if params := term.init(own, spec, teacher, dtype=dtype):
                of_terms[name] = params
        if of_terms:
            found[student] = of_terms
    return found


def of_network(params: Params) -> Params:
    """Returns a student's parameters without those of terms."""
    return {name: own for name, own in params.items() if name != ADAPTERS}


def of_adapters(params: Params) -> Params:
    """Returns the parameters of terms among a student's, by term; none if absent."""
    return params.get(ADAPTERS, {})


def held(params: Params, frozen: Collection[str]) -> Params:
    """Returns the parameters of terms, to which no gradient comes where frozen.

    Args:
      params: A student's parameters.
      frozen: Frozen parts of the student, see `models.parts`.
    """
    apart = {ADAPTERS: of_adapters(params)}
    return choose(frozen, jax.lax.stop_gradient(apart), apart)[ADAPTERS]


def _number(name: str) -> int:
    return zlib.crc32(name.encode()) & 0x7FFFFFFF
