"""STR, the Siamese target response, which compares activation maps (eq. 12-15)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.parts import Parts, mean_over_examples
from dst_jax.distill.term import Term, View
from dst_jax.errors import InputError
from dst_jax.require import require


@dataclasses.dataclass(frozen=True)
class Response(Term):
    """The distance between the activation maps of student and teacher in some layers.

    Attributes:
      weight: omega of eq. 16; 0 removes the term.
      layers: tau, the stages whose maps are compared, counted from 1.
      norm: Whether each map is divided by its own norm ("l2"); the equations do not
        divide ("none").
      weighted: Whether the search map is weighted by W, eq. 14.
      stop_weight: Whether the student's W is a constant for the gradient.
      reduction: Mean of squares over cells ("mse"), or the 2-norm that the equations
        have ("l2").
    """

    weight: float = 100.0
    layers: tuple[int, ...] = (3, 4, 5)
    norm: Literal["l2", "none"] = "l2"
    weighted: bool = True
    stop_weight: bool = False
    reduction: Literal["mse", "l2"] = "mse"

    def __post_init__(self):
        once = bool(self.layers) and len(set(self.layers)) == len(self.layers)
        require(once, self, "layers", "name each layer once, at least one")

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks that the layers exist and their maps have equal sides.

        Raises:
          InputError: If a layer is missing or its maps differ in their sides.
        """
        del peers
        for spec in (student, *([teacher] if teacher is not None else [])):
            depth = len(spec.maps(spec.input.template_px))
            if bad := [j for j in self.layers if not 1 <= j <= depth]:
                raise InputError(
                    f"Response.layers has {bad[0]}; the backbone has {depth}."
                )
        if teacher is None:
            return
        for role in ("template_px", "train_search_px"):
            ours, theirs = (
                [spec.maps(getattr(spec.input, role))[j - 1].side for j in self.layers]
                for spec in (student, teacher)
            )
            if ours != theirs:
                raise InputError(
                    f"the student's feature maps of layers {self.layers} have sides "
                    f"{ours}, the teacher's {theirs}; kernels, strides and pooling "
                    "must agree, only widths may differ."
                )

    def __call__(self, view: View) -> Parts:
        """Returns the distance between the maps, summed over layers."""
        assert view.teacher is not None
        mask = view.labels.mask
        values = jnp.zeros_like(mask)
        for layer in self.layers:
            taps = f"search/conv{layer}", f"template/conv{layer}"
            values += losses.siamese_target_response(
                *(view.student.taps[tap] for tap in taps),
                *(view.teacher.taps[tap] for tap in taps),
                norm=self.norm,
                weighted=self.weighted,
                reduction=self.reduction,
                stop_weight=self.stop_weight,
            )
        return Parts([mean_over_examples(values, mask)])
