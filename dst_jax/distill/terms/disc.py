"""Disc, imitation weighted towards regions that stand out (LoReTrack)."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.distill.labels.make import labelled_boxes
from dst_jax.distill.parts import agreed_mean
from dst_jax.distill.term import View
from dst_jax.distill.terms.tokens import TokenTerm
from dst_jax.ops.centre import cells_in_boxes
from dst_jax.require import require, require_not_negative, require_one_of
from dst_jax.typing import Array, Bool, Float, Scalar

_MAP = "norm"
# Shares of cells that stand out beyond which the weights say next to nothing.
_LEAST, _MOST = 0.005, 0.6


@dataclasses.dataclass(frozen=True)
class Disc(TokenTerm):
    """How far the last features of search tokens are from the teacher's.

    Cells that stand out in the teacher's map weigh more. Logged of every student are
    "TERM_salient/STUDENT", the share of such cells, "TERM_area/STUDENT", the target's
    share of the search image, and "TERM_matching/STUDENT", the mean square that as
    large a share of a map's cells reaches.

    Attributes:
      saliency: Which cells stand out: those whose mean square over channels reaches
        `threshold` ("threshold", as in public code), the `share` of largest ones in
        each map ("quantile"), or those of the target's box ("box").
      threshold: Mean square from which a cell stands out. It belongs to one teacher,
        because it depends on the scale and shift of its last normalisation.
      share: Share of a map's cells that stand out by "quantile".
      weights: Weights of cells that stand out and of the others. Public code has .75
        and .25 too, for GOT-10k.
    """

    saliency: Literal["threshold", "quantile", "box"] = "threshold"
    threshold: float = 0.20
    share: float = 0.05
    weights: tuple[float, float] = (0.6, 0.4)

    def __post_init__(self):
        super().__post_init__()
        require_one_of(("threshold", "quantile", "box"), self, "saliency")
        require_not_negative(self, "threshold")
        require(0.0 < self.share <= 1.0, self, "share", "must lie above 0, up to 1")
        fits = len(self.weights) == 2 and all(0.0 <= w < 1e6 for w in self.weights)
        require(fits, self, "weights", "must be two numbers of at least 0")

    def maps(self, spec: TrackerSpec) -> tuple[str, ...]:
        """Returns the name of the last map, after the last normalisation."""
        del spec
        return (_MAP,)

    def cell_weights(
        self, teacher: Float[Array, "b h w d"], view: View
    ) -> Float[Array, "b h w"]:
        """Returns the larger weight for cells that stand out, else the smaller.

        Args:
          teacher: The teacher's map.
          view: What the term sees.
        """
        inside, outside = self.weights
        salient = self._salient(teacher, view)
        return losses.salience_weights(salient, inside=inside, outside=outside)

    def logs(self, view: View) -> dict[str, Scalar]:
        """Returns what is logged of a student, means over the batch of all devices."""
        assert view.teacher is not None
        mask = view.labels.mask
        teacher = view.teacher.taps[f"search/{_MAP}"]
        salient = self._salient(teacher, view)
        boxes = labelled_boxes(view.labels)
        area = boxes[:, 2] * boxes[:, 3]
        found = {
            "salient": jnp.mean(salient.astype(mask.dtype), axis=(1, 2)),
            "area": area,
            "matching": losses.least_salience(losses.salience(teacher), area),
        }
        return {
            f"{view.term}_{name}": agreed_mean(
                values.astype(mask.dtype), mask, view.psum
            )
            for name, values in found.items()
        }

    def probed(self, name: str, logs: Mapping[str, float]) -> str:
        """Returns the share of cells that stand out and the threshold that fits boxes.

        Args:
          name: Name of the term.
          logs: What the term logged of one student, by name.
        """
        salient, area = logs[f"{name}_salient"], logs[f"{name}_area"]
        return (
            f"{salient:.1%} of the teacher's cells stand out; the target has "
            f"{area:.1%} of the search image, and as many cells reach a mean square of "
            f"{logs[f'{name}_matching']:.3g} (--distill.{name}.threshold)"
        )

    def remark(self, name: str, logs: Mapping[str, float]) -> str | None:
        """Returns a warning if hardly any cells stand out, or most do.

        Args:
          name: Name of the term.
          logs: What the term logged of one student, by name.
        """
        share = logs[f"{name}_salient"]
        if _LEAST <= share <= _MOST:
            return None
        mend = f"set --distill.{name}.threshold for this teacher, or "
        if self.saliency != "threshold":
            mend = ""
        return (
            f"{share:.1%} of the teacher's cells stand out in the first step, so that "
            f"{name} weighs almost all alike; {mend}give --distill.{name}.saliency "
            "quantile."
        )

    def _salient(self, teacher: Array, view: View) -> Bool[Array, "b h w"]:
        if self.saliency == "box":
            boxes = labelled_boxes(view.labels)
            return cells_in_boxes(boxes, (teacher.shape[1], teacher.shape[2]))
        salience = losses.salience(teacher)
        if self.saliency == "threshold":
            return salience >= self.threshold
        return losses.most_salient(salience, share=self.share)
