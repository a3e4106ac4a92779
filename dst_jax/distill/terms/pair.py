"""Pair, the distance between similarities of cells (DLF, L_pair)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.terms.features import Compared, FeatureTerm, map_shape
from dst_jax.errors import InputError
from dst_jax.require import require_one_of
from dst_jax.typing import Array, Float, Params


@dataclasses.dataclass(frozen=True)
class Pair(FeatureTerm):
    """How far the similarities of any two cells of a map are from the teacher's.

    Attributes:
      weight: lambda_1 of DLF, whose value is not published; 0 removes the term.
      form: Way of computing it, see `losses.pair_distance`; "auto" takes the one with
        fewer products.
    """

    form: Literal["auto", "direct", "blockwise", "gram"] = "auto"

    def __post_init__(self):
        super().__post_init__()
        require_one_of(("auto", "direct", "blockwise", "gram"), self, "form")

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks what every term of features does, and that maps have pairs of cells.

        Raises:
          InputError: If they do not, or a map of either has one cell.
        """
        super().check(student, teacher, peers)
        if teacher is None:
            return
        for own, other in self.layers_of(student, teacher):
            for image in self.compared_images:
                _require_pairs(teacher, other, image, whose="teacher")
                # Resized, all cells of such a map are the same and teach nothing.
                _require_pairs(student, own, image, whose="student")

    def distance(self, maps: Compared, params: Params) -> Float[Array, " b"]:
        """Returns the distance between the similarities of cells, per example."""
        del params
        form = None if self.form == "auto" else self.form
        return losses.pair_distance(maps.student, maps.teacher, form=form)


def _require_pairs(spec: TrackerSpec, layer: str, image: str, *, whose: str) -> None:
    """Raises InputError if a network's map of a layer has a single cell."""
    if map_shape(spec, layer, image).side == 1:
        raise InputError(
            f"the {whose}'s {image} map of {layer} has one cell, and so no pair of "
            "cells; name another layer or other images."
        )
