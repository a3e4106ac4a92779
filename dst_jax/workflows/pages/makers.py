"""Finds in a bundle how its tracker was made: student, row, seed, data, teacher."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from dst_jax.arch import tracker_cost
from dst_jax.bundle import Bundle, load_bundle
from dst_jax.distill import ROWS
from dst_jax.errors import InputError
from dst_jax.ops.kernels import kernels_for
from dst_jax.train import METRICS
from dst_jax.workflows.gates import gate_share

TEACHER = "teacher"
# Of rows with the same terms the last one, such as NOKD for GT.
_ROWS = {
    **{frozenset(terms): row for row, terms in ROWS.items()},
    frozenset(("gt", "point", "pair")): "DLF",
    frozenset(("gt", "qkv", "disc")): "LoReTrack",
}
_SHARES = "ks"  # the term with gates
_DIGITS = 12  # of a digest that is shown


@dataclasses.dataclass(frozen=True)
class Maker:
    """How a bundle's tracker was made, as far as its card tells.

    Attributes:
      student: Name of the student in its training; "" of a teacher or a stranger.
      row: How it was trained, such as "TSKD".
      seed: Seed of the training, or None.
      weights: SHA-256 of the weights.
      teacher: SHA-256 of the teacher's weights, or None.
      parameters: Number of learnable parameters.
      megabytes: Size of the parameters as float32, in units of 10^6 bytes.
      search_macs: Number of multiply-adds for a search crop.
      gate_open: Share of open gates, or None.
      kernels: Library that computes it here.
      told: What else the card tells, by what it is.
    """

    student: str
    row: str
    seed: int | None
    weights: str
    teacher: str | None
    parameters: int
    megabytes: float
    search_macs: int
    gate_open: float | None
    kernels: str
    told: Mapping[str, str]


def maker_of(path: pathlib.Path) -> Maker:
    """Returns how the tracker in a folder was made.

    Args:
      path: Folder of the bundle. If it lies in a training's folder, the log there
        tells of the gates.

    Raises:
      InputError: If it is no bundle.
    """
    bundle = load_bundle(path)
    config = _mapping(bundle.card, "config")
    experiment = _mapping(config, "experiment")
    terms = frozenset(_mapping(_mapping(experiment, "distill"), "terms"))
    student, seed = bundle.card.get("student"), bundle.card.get("seed")
    taught = isinstance(student, str) and student != TEACHER and bool(terms)
    cost = tracker_cost(bundle.spec)
    teacher = config.get("teacher")
    return Maker(
        student=str(student) if taught else "",
        row=_row(terms) if taught else "",
        seed=seed if type(seed) is int else None,
        weights=bundle.weights_sha256,
        teacher=teacher if isinstance(teacher, str) else None,
        parameters=cost.parameters,
        megabytes=cost.megabytes,
        search_macs=cost.search_macs,
        gate_open=_gate(path, str(student)) if _SHARES in terms else None,
        kernels=kernels_for(bundle.spec).kind,
        told=_told(bundle, config),
    )


def _row(terms: frozenset[str]) -> str:
    if terms in _ROWS:
        return _ROWS[terms]
    order = ("gt", "ah", "ts", "str", "ks")
    known = [name for name in order if name in terms]
    return "+".join([*known, *sorted(terms.difference(order))])


def _gate(path: pathlib.Path, student: str) -> float | None:
    """Returns the share of open gates that the log of the training tells."""
    folder = path.resolve().parent
    metrics = folder.parent / METRICS
    if folder.name != "bundles" or not metrics.is_file():
        return None
    try:
        return gate_share(metrics, student)
    except (InputError, OSError):
        return None  # the page says nothing of gates that it cannot know


def _told(bundle: Bundle, config: Mapping[str, Any]) -> dict[str, str]:
    card, versions = bundle.card, _mapping(bundle.card, "versions")
    names = ("dst-jax", "jax", "flax", "python")
    found = {
        "made by": card.get("made_by"),
        "weights": bundle.weights_sha256[:_DIGITS],
        "data": _digits(config.get("data")),
        "teacher's weights": _digits(config.get("teacher")),
        "trained on": card.get("devices"),
        "versions": ", ".join(f"{n} {versions[n]}" for n in names if n in versions),
    }
    return {what: str(value) for what, value in found.items() if value}


def _digits(value: Any) -> str | None:
    return value[:_DIGITS] if isinstance(value, str) else None


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Returns a mapping within JSON values that may be of any release, or an empty."""
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
