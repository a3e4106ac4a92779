"""Validation during training: the loss on held-out videos, without augmentation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax import losses
from dst_jax.arch import TrackerSpec
from dst_jax.models import Variables, build, forward
from dst_jax.ops.augment import centre_crops
from dst_jax.ops.labels import response_labels
from dst_jax.typing import Array

Validate = Callable[[Mapping[str, Variables]], dict[str, float]]


def make_validate(
    specs: Mapping[str, TrackerSpec],
    batches: Sequence[Mapping[str, np.ndarray]],
    *,
    label_radius_px: float,
) -> Validate:
    """Returns a function of the networks' variables, by name.

    Args:
      specs: The networks; all see the same crops.
      batches: Host batches of held-out pairs; `mask` is 0 where padded.
      label_radius_px: As in training.

    Returns:
      `validate(variables) -> {"val/NAME/gt": ..., "val/NAME/peak_px": ...}`: the
      balanced logistic loss, and the mean distance of the response's peak from the
      target's centre in pixels of the search crop.
    """
    measures = {n: jax.jit(_make_measure(s, label_radius_px)) for n, s in specs.items()}

    def validate(variables: Mapping[str, Variables]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, values in variables.items():
            parts = [jax.device_get(measures[name](values, b)) for b in batches]
            total = jax.tree.map(lambda *x: float(np.sum(x)), *parts)
            gt = sum(
                0.5 * total[f"{sign}_sum"] / max(total[f"{sign}_count"], 1.0)
                for sign in ("positive", "negative")
            )
            found[f"val/{name}/gt"] = gt
            pairs = max(total["pairs"], 1.0)
            found[f"val/{name}/peak_px"] = total["distance_px"] / pairs
        return found

    return validate


def _make_measure(spec: TrackerSpec, label_radius_px: float) -> Callable[..., Any]:
    side = spec.response_side(spec.input.train_search_px)
    stride = float(spec.backbone.total_stride)
    grid = response_labels(side, stride=stride, radius_px=label_radius_px)
    module = build(spec)

    def measure(variables: Variables, batch: Mapping[str, Array]) -> dict[str, Array]:
        examples = centre_crops(batch, input=spec.input)
        response = forward(
            module, variables, examples.template, examples.search
        ).response
        labels = jnp.broadcast_to(jnp.asarray(grid)[None], response.shape)
        values = losses.logistic(response, labels)
        mask = (examples.mask * (1.0 - examples.is_negative))[:, None, None]
        peak = jnp.argmax(response.reshape(response.shape[0], -1), axis=-1)
        offset = jnp.stack([peak // side, peak % side]).astype(jnp.float32)
        distance = jnp.hypot(*(offset - 0.5 * (side - 1))) * stride
        return {
            "positive_sum": jnp.sum(values * labels * mask),
            "positive_count": jnp.sum(labels * mask),
            "negative_sum": jnp.sum(values * (1.0 - labels) * mask),
            "negative_count": jnp.sum((1.0 - labels) * mask),
            "distance_px": jnp.sum(distance * mask[:, 0, 0]),
            "pairs": jnp.sum(mask),
        }

    return measure
