"""The table of losses that every common test runs over."""

import dataclasses
from collections.abc import Callable
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax import losses
from tests.losses import reference


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss, inputs for it and what is known about it.

    Attributes:
      loss: The function; its first `learnt` arguments are learnt, the rest targets.
      reference: The same in plain loops.
      shapes: Of the arguments, batch first.
      learnt: How many leading arguments receive gradient.
      at_target: Maps targets to learnt arguments at which the loss is 0.
      labels: Whether the target is a map of 0 and 1.
      boxes: Whether the arguments are boxes, whose sides are positive.
    """

    loss: Callable
    reference: Callable
    shapes: tuple[tuple[int, ...], ...]
    learnt: int = 1
    at_target: Callable | None = lambda *targets: targets
    labels: bool = False
    boxes: bool = False

    def compiled(self, *arguments):
        """The loss, in the one program that gives values and gradients."""
        return self.gradients(*arguments)[0]

    @cached_property
    def gradients(self):
        """Values and the gradients of their sum in every argument, compiled once."""

        def total(arguments):
            values = self.loss(*arguments)
            return jnp.sum(values), values

        compiled = jax.jit(jax.grad(total, has_aux=True))
        return lambda *arguments: compiled(arguments)[::-1]

    def arguments(self, seed=0):
        rng = np.random.default_rng(seed)
        arrays = [rng.normal(size=shape) for shape in self.shapes]
        if self.labels:
            arrays[-1] = (arrays[-1] > 0.5).astype(np.float64)
        if self.boxes:
            for boxes in arrays:
                boxes[..., 2:] = np.abs(boxes[..., 2:]) + 0.1
        return arrays


MAPS = ((3, 4, 5), (3, 4, 5))
SEARCH_S, TEMPLATE_S = (3, 5, 4, 2), (3, 2, 3, 2)
SEARCH_T, TEMPLATE_T = (3, 5, 4, 3), (3, 2, 3, 3)
LOGITS, BOXES = ((3, 3, 5, 2),) * 2, ((3, 3, 5, 4),) * 2
FEATURES = (SEARCH_S, TEMPLATE_S, SEARCH_T, TEMPLATE_T)
TOKENS = (SEARCH_T, SEARCH_T)


def _soft(loss, ref, shapes=MAPS, **options):
    swap = options.get("direction") == "teacher_first"
    temperature = options.get("temperature", 1.0)

    def plain(s, t):
        return ref(*((t, s) if swap else (s, t)), temperature)

    return Case(partial(loss, **options), plain, shapes)


def _bounded(**options):
    ours = {key: value for key, value in options.items() if key != "gate"}
    if options.get("gate") == "batch":
        ours["compared"] = jnp.mean
    return Case(
        partial(losses.bounded_regression, **ours),
        partial(reference.bounded_regression, **options),
        (*BOXES, BOXES[0]),
        at_target=lambda teacher, target: (target,),
    )


def _str(**options):
    plain = {k: v for k, v in options.items() if k != "stop_weight"}

    def both(sx, sz, tx, tz):
        rest = {k: v for k, v in plain.items() if k != "weighted"}
        return reference.search_response_loss(
            sx, sz, tx, tz, **plain
        ) + reference.template_response_loss(sz, tz, **rest)

    loss = partial(losses.siamese_target_response, **options)
    return Case(loss, both, FEATURES, learnt=2)


def _pair(form):
    # Fewer channels than the teacher; at the target the student has the same.
    return Case(
        partial(losses.pair_distance, form=form),
        reference.pair_distance,
        (SEARCH_S, SEARCH_T),
    )


CASES: dict[str, Case] = {
    "logistic": Case(
        losses.logistic, reference.logistic, MAPS, at_target=None, labels=True
    ),
    "ts": _soft(losses.bernoulli_kl, reference.bernoulli_kl),
    "ts warm": _soft(losses.bernoulli_kl, reference.bernoulli_kl, temperature=2.5),
    "ts teacher first": _soft(
        losses.bernoulli_kl, reference.bernoulli_kl, direction="teacher_first"
    ),
    "ts spatial": _soft(losses.spatial_kl, reference.spatial_kl, temperature=0.5),
    "ts spatial teacher first": _soft(
        losses.spatial_kl, reference.spatial_kl, direction="teacher_first"
    ),
    "sharing": _soft(losses.knowledge_sharing, reference.bernoulli_kl),
    "str": _str(),
    "str unweighted": _str(weighted=False),
    "str literal": _str(norm="none", reduction="l2"),
    "str raw squares": _str(norm="none"),
    "str unit norm": _str(reduction="l2"),
    "str search": Case(
        losses.search_response_loss,
        reference.search_response_loss,
        FEATURES,
        learnt=2,
    ),
    "str template": Case(
        losses.template_response_loss,
        reference.template_response_loss,
        (TEMPLATE_S, TEMPLATE_T),
    ),
    "ts anchors": _soft(losses.softmax_kl, reference.softmax_kl, LOGITS),
    "ts anchors teacher first": _soft(
        losses.softmax_kl,
        reference.softmax_kl,
        LOGITS,
        direction="teacher_first",
        temperature=2.5,
    ),
    "sharing anchors": _soft(losses.softmax_sharing, reference.softmax_kl, LOGITS),
    "boxes": Case(losses.smooth_l1, reference.smooth_l1, BOXES),
    "boxes l1": Case(losses.l1, partial(reference.smooth_l1, beta=0.0), BOXES),
    "sharing boxes": Case(
        partial(losses.regression_sharing, beta=0.5),
        partial(reference.smooth_l1, beta=0.5),
        BOXES,
    ),
    "focal": Case(losses.focal, reference.focal, MAPS, at_target=None, labels=True),
    "giou": Case(losses.giou, reference.giou, BOXES, boxes=True),
    "boxes corners": Case(losses.corner_l1, reference.corner_l1, BOXES, boxes=True),
    "token kl": Case(losses.token_kl, reference.token_kl, TOKENS),
    "token kl cold": Case(
        partial(losses.token_kl, temperature=0.5),
        partial(reference.token_kl, temperature=0.5),
        TOKENS,
    ),
    "token mse": Case(losses.token_mse, reference.token_mse, TOKENS),
    "point": Case(losses.point_distance, reference.point_distance, (SEARCH_T,) * 2),
    "point norm": Case(
        partial(losses.point_distance, form="l2"),
        partial(reference.point_distance, form="l2"),
        (SEARCH_T,) * 2,
    ),
    "pair": _pair(None),
    "pair direct": _pair("direct"),
    "pair blockwise": _pair("blockwise"),
    "pair gram": _pair("gram"),
    "bounded": _bounded(),
    "bounded batch": _bounded(gate="batch", margin=0.5),
}
