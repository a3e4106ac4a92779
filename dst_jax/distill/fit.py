"""Checks that teacher, students and terms fit, before anything is compiled."""

from collections.abc import Mapping

from dst_jax.arch import TrackerSpec, check_views
from dst_jax.distill.config import DistillConfig
from dst_jax.errors import InputError


def needs_teacher(students: Mapping[str, TrackerSpec], config: DistillConfig) -> bool:
    """Returns whether any term reads the teacher for any student."""
    terms = config.active.values()
    return any(term.reads_teacher(spec) for term in terms for spec in students.values())


def check_fit(
    teacher: TrackerSpec | None,
    students: Mapping[str, TrackerSpec],
    config: DistillConfig,
) -> None:
    """Checks that every term can compare the networks, and that one crop serves them.

    Args:
      teacher: The frozen network, or None.
      students: The networks that learn, by name.
      config: The terms.

    Raises:
      InputError: If they do not fit; it names the first student and term and the
        reason.
    """
    if not students:
        raise InputError("there is no student to train; name at least one.")
    reads = needs_teacher(students, config)
    if reads and teacher is None:
        raise InputError(
            "the objective has teacher terms but there is no teacher; give a bundle "
            "with --teacher, or use the row NOKD."
        )
    networks = dict(students)
    if teacher is not None and reads:
        networks["teacher"] = teacher
    check_views({name: spec.input for name, spec in networks.items()})
    for name, spec in students.items():
        peers = {other: s for other, s in students.items() if other != name}
        for term_name, term in config.active.items():
            try:
                term.check(spec, teacher, peers)
            except InputError as error:
                raise InputError(f"student {name}, term {term_name}: {error}") from None
