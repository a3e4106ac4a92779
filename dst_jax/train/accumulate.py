"""Adds up the gradient of a batch over parts that are computed one after another.

A loss is a sum of means whose counts, and whose gates, are of the whole batch. So there
are two passes over the parts, each a `lax.scan` within one program. The first adds up
what an objective sums over devices; the second computes each part's share of loss and
gradient with those sums, as a device does among others. XLA leaves out of the first
pass what the loss does not need: for plain training all but the labels; where a gate
compares losses, it runs the networks forward.

Batch normalisation alone is another: a part is normalised by its own statistics, over
all devices, and the running statistics take the mean over the parts.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from dst_jax.distill import psum
from dst_jax.errors import InputError
from dst_jax.ops.examples import Examples

# A function (params, examples, *, everywhere) -> (loss, (stats, metrics)) of a part.
Loss: TypeAlias = Callable[..., tuple[Any, Any]]


class _Sums:
    """Stands for the sum over all devices and parts: notes what it is asked for.

    Args:
      known: The sums, in the order in which they are asked for; None if they are not
        known yet.
    """

    def __init__(self, known: Sequence[Any] | None = None):
        self.asked: list[Any] = []
        self._known = known

    def __call__(self, tree: Any) -> Any:
        tree = jax.tree.map(jnp.asarray, tree)
        self.asked.append(jax.lax.stop_gradient(tree))
        return tree if self._known is None else self._known[len(self.asked) - 1]


def accumulated(
    loss: Loss, params: Any, examples: Examples, *, parts: int, axis_name: str | None
) -> tuple[tuple[Any, tuple[Any, Any]], Any]:
    """Returns what `jax.value_and_grad` of a batch's loss does, computed in parts.

    Args:
      loss: Function of parameters, examples, and a function that sums a tree over all
        devices; it returns this device's share of the loss, new statistics and metrics.
      params: The parameters.
      examples: This device's share of the batch.
      parts: Number of parts; it divides the number of examples.
      axis_name: Device axis over which the batch is split, or None.

    Raises:
      InputError: If something is summed that depends on another such sum.
    """
    split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), examples)
    one = jax.tree.map(lambda x: x[0], split)
    _require_flat(loss, params, one)

    def measure(_: None, part: Examples) -> tuple[None, list[Any]]:
        sums = _Sums()
        loss(params, part, everywhere=sums)
        return None, sums.asked

    def share(params: Any, part: Examples, known: Any) -> tuple[Any, Any]:
        sums = _Sums(known)
        value, (stats, metrics) = loss(params, part, everywhere=sums)
        return value, (stats, metrics.terms, sums.asked)

    known = _total(jax.lax.scan(measure, None, split)[1], axis_name)

    def learn(gradients: Any, part: Examples) -> tuple[Any, Any]:
        values = jax.value_and_grad(share, has_aux=True)
        (value, (stats, terms, asked)), gradient = values(params, part, known)
        return _plus(gradients, gradient), (value, terms, stats, asked)

    zeros = jax.tree.map(jnp.zeros_like, params)
    gradients, (value, terms, stats, asked) = jax.lax.scan(learn, zeros, split)
    stats = jax.tree.map(lambda x: jnp.mean(x, axis=0), stats)
    value, terms = jax.tree.map(lambda x: jnp.sum(x, axis=0), (value, terms))
    # Logs are functions of the sums, and those of the second pass are at hand.
    logs = loss(params, one, everywhere=_Sums(_total(asked, axis_name)))[1][1]
    return (value, (stats, logs._replace(terms=terms))), gradients


def _total(asked: Any, axis_name: str | None) -> Any:
    """Returns sums over parts, which lie along the first axis, and devices."""
    return psum(jax.tree.map(lambda x: jnp.sum(x, axis=0), asked), axis_name)


def _plus(one: Any, other: Any) -> Any:
    return jax.tree.map(jnp.add, one, other)


def _require_flat(loss: Loss, params: Any, part: Examples) -> None:
    """Raises InputError if a sum depends on another one, which is not known by then."""
    shapes = jax.eval_shape(lambda *of: _asked(loss, *of), params, part)

    def again(known: Any, params: Any, part: Any) -> list[Any]:
        return _asked(loss, params, part, known)

    traced = jax.make_jaxpr(again)(shapes, params, part)
    first = len(jax.tree.leaves(shapes))
    reached: set[Any] = set(traced.jaxpr.invars[:first])
    for equation in traced.jaxpr.eqns:
        if any(x in reached for x in equation.invars if not isinstance(x, Literal)):
            reached |= set(equation.outvars)
    outputs = (x for x in traced.jaxpr.outvars if not isinstance(x, Literal))
    if any(x in reached for x in outputs):
        raise InputError(
            "OptimConfig.microbatches: a term sums over the batch what depends on "
            "another sum over the batch, which parts of a batch do not know; set 1."
        )


def _asked(loss: Loss, params: Any, part: Any, known: Any = None) -> list[Any]:
    sums = _Sums(known)
    loss(params, part, everywhere=sums)
    return sums.asked
