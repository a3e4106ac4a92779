"""STR, the Siamese target response, which compares activation maps (eq. 12-15)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.decode import OMIT_DEFAULT
from dst_jax.distill.parts import Parts, agreed_mean, mean_over_examples
from dst_jax.distill.term import Term, View, listed
from dst_jax.errors import InputError
from dst_jax.models import Output
from dst_jax.ops.resize import resized
from dst_jax.require import require
from dst_jax.typing import Array

# Constants of scale="cells". The maps of SiamFC's layers 3, 4 and 5 have 24, 22 and 20
# cells a side for search crops of 239 px, and 10, 8 and 6 for templates of 127 px.
# There a sum over cells times the mean of 1 / cells equals the mean over cells,
# averaged over these layers, so that 100 weighs SiamFC's maps as it does with "mean".
SEARCH_SCALE = (1 / 24**2 + 1 / 22**2 + 1 / 20**2) / 3
TEMPLATE_SCALE = (1 / 10**2 + 1 / 8**2 + 1 / 6**2) / 3


@dataclasses.dataclass(frozen=True)
class Response(Term):
    """The distance between the activation maps of student and teacher in some layers.

    L_x and L_z of eq. 13 are logged apart and without the weight, as "TERM_x/STUDENT"
    and "TERM_z/STUDENT".

    Attributes:
      weight: omega of eq. 16; 0 removes the term.
      layers: tau, the stages whose maps are compared, by name ("layer2") or, for
        plain chains, by number counted from 1 (3 is "conv3").
      template_cells: Cells of the template's maps that are compared and that W is made
        with. "head": those in the middle that the head's correlation sees, where it
        cuts its map and a stage's has the same side; "full": all.
      norm: Whether each map is divided by its own norm ("l2"); the equations do not
        divide ("none").
      weighted: Whether the search map is weighted by W, eq. 14.
      stop_weight: Whether the student's W is a constant for the gradient.
      reduction: Mean of squares over cells ("mse"), or the 2-norm that the equations
        have ("l2").
      resize: Whether maps of unequal sides are compared, the student's resized to the
        teacher's bilinearly; without it such networks are refused.
      scale: Factor on the squares of a map with reduction "mse": 1 / cells ("mean"), or
        one constant for all search maps and one for all templates ("cells"). Maps of
        norm 1 differ by at most 2 in sum, whatever their size, so that a mean falls
        as 1 / cells; the constants keep the value for SiamFC at 127 and 239 px.
    """

    weight: float = 100.0
    layers: tuple[int | str, ...] = (3, 4, 5)
    norm: Literal["l2", "none"] = "l2"
    weighted: bool = True
    stop_weight: bool = False
    reduction: Literal["mse", "l2"] = "mse"
    scale: Literal["mean", "cells"] = "mean"
    # The JSON leaves it out at its default, so that older runs can go on.
    template_cells: Literal["head", "full"] = dataclasses.field(
        default="head", metadata=OMIT_DEFAULT
    )
    resize: bool = dataclasses.field(default=False, metadata=OMIT_DEFAULT)

    def __post_init__(self):
        once = bool(self.layers) and len(set(self._stages)) == len(self._stages)
        require(once, self, "layers", "name each layer once, at least one")
        fits = self.scale == "mean" or self.reduction == "mse"
        require(fits, self, "scale", "must be 'mean' where reduction='l2', a norm")

    def check(
        self,
        student: TrackerSpec,
        teacher: TrackerSpec | None,
        peers: Mapping[str, TrackerSpec],
    ) -> None:
        """Checks that the layers exist and, unless `resize`, that their sides agree.

        Raises:
          InputError: If a layer is missing or its maps differ in their sides.
        """
        del peers
        for spec in (student, *([teacher] if teacher is not None else [])):
            self._require_stages(spec)
        if teacher is None or self.resize:
            return
        for ours, theirs in zip(
            self._sides(student), self._sides(teacher), strict=True
        ):
            if ours != theirs:
                raise InputError(
                    f"the student's feature maps of layers {self.layers} have sides "
                    f"{ours}, the teacher's {theirs}; kernels, strides, pooling and "
                    "the cut of templates must agree, or give resize=True."
                )

    def __call__(self, view: View) -> Parts:
        """Returns the distance between the maps, summed over layers, and its logs."""
        mask = view.labels.mask
        values, search, template = (jnp.zeros_like(mask) for _ in range(3))
        for stage in self._stages:
            of_search, of_template = self._distances(stage, view)
            values += of_search + of_template
            search += of_search
            template += of_template
        kinds = {"x": search, "z": template}
        logs = {
            f"{view.term}_{kind}": agreed_mean(found, mask, view.psum)
            for kind, found in kinds.items()
        }
        return Parts([mean_over_examples(values, mask)], logs)

    def reads_maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns the names of the stages that are compared."""
        del spec
        return self._stages

    @property
    def _stages(self) -> tuple[str, ...]:
        """Returns the names of the stages; a number is one of a plain chain."""
        return tuple(n if isinstance(n, str) else f"conv{n}" for n in self.layers)

    def _require_stages(self, spec: TrackerSpec) -> None:
        """Raises InputError if a network lacks a stage."""
        known = [one.name for one in spec.maps(spec.input.template_px)]
        for layer, stage in zip(self.layers, self._stages, strict=True):
            if stage not in known:
                raise InputError(
                    f"Response.layers has {layer}; the backbone has {listed(spec)}."
                )

    def _sides(self, spec: TrackerSpec) -> tuple[list[int], list[int]]:
        """Returns the sides of the maps that are compared, of template and search."""
        template, search = (
            {one.name: one.side for one in spec.maps(px)}
            for px in (spec.input.template_px, spec.input.train_search_px)
        )
        whole = [template[stage] for stage in self._stages]
        seen = [len(range(side)[self._seen(side, spec)]) for side in whole]
        return seen, [search[stage] for stage in self._stages]

    def _seen(self, side: int, spec: TrackerSpec) -> slice:
        """Returns the cells of a template's map, along a side, that are compared."""
        # Heads that cut nothing need not say so.
        cells = getattr(spec.head, "template_cells", 0)
        whole = spec.feature_side(spec.input.template_px)
        if self.template_cells == "full" or not cells or side != whole:
            return slice(side)
        before = (side - cells) // 2
        return slice(before, before + cells)

    def _maps(
        self, stage: str, output: Output, spec: TrackerSpec
    ) -> tuple[Array, Array]:
        """Returns the maps of search image and template, the latter as it is seen."""
        template = output.taps[f"template/{stage}"]
        rows, columns = (self._seen(side, spec) for side in template.shape[1:3])
        return output.taps[f"search/{stage}"], template[:, rows, columns]

    def _distances(self, stage: str, view: View) -> tuple[Array, Array]:
        """Returns L_x and L_z of one stage, [b] each."""
        assert view.teacher is not None
        other = self._maps(stage, view.teacher, view.specs.get("teacher", view.spec))
        own = tuple(
            resized(found, (wanted.shape[1], wanted.shape[2]))
            for found, wanted in zip(
                self._maps(stage, view.student, view.spec), other, strict=True
            )
        )
        search = losses.search_response_loss(
            own[0],
            own[1],
            other[0],
            other[1],
            norm=self.norm,
            weighted=self.weighted,
            reduction=self.reduction,
            stop_weight=self.stop_weight,
        )
        template = losses.template_response_loss(
            own[1], other[1], norm=self.norm, reduction=self.reduction
        )
        if self.scale == "mean":
            return search, template
        return (
            search * (SEARCH_SCALE * _cells(own[0])),
            template * (TEMPLATE_SCALE * _cells(own[1])),
        )


def _cells(features: Array) -> int:
    """Returns the number of cells of a layer's map [b, h, w, d]."""
    return features.shape[1] * features.shape[2]
