"""Measures during training how good networks are on held-out videos."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dst_jax.arch import InputSpec, TrackerSpec
from dst_jax.boxes import iou
from dst_jax.distill import Setting, make_labels, task_parts
from dst_jax.models import Answer, Variables, build, forward, proposals
from dst_jax.ops.augment import AugmentConfig, augment, centre_crops
from dst_jax.ops.examples import Examples, examples_for
from dst_jax.ops.kernels import compiled, kernels_for
from dst_jax.typing import Array, Float

Validate = Callable[[Mapping[str, Variables]], dict[str, float]]
PLAIN = AugmentConfig(stretch=0.0, search_shift_px=0.0)


def make_validate(
    specs: Mapping[str, TrackerSpec],
    batches: Sequence[Mapping[str, np.ndarray]],
    *,
    setting: Setting,
    windows: AugmentConfig = PLAIN,
    cut_for: InputSpec | None = None,
) -> Validate:
    """Returns a function that measures networks on held-out pairs.

    Args:
      specs: The networks by name; all see the same pairs.
      batches: Host batches of held-out pairs; `mask` is 0 where padded.
      setting: Settings of labels, views and the tracker's own loss, as in training.
      windows: The argument of `held_out_crops`.
      cut_for: The argument of `held_out_crops`.

    Returns:
      `validate(variables)`, which takes variables by name and returns scalars.
      "val/NAME/gt" is the loss on the labels. "val/NAME/peak_px" is the mean distance
      of the likeliest place from the target's centre, pixels of the search crop. If the
      head has boxes, "val/NAME/iou" is the mean overlap of the likeliest box with the
      target.
    """
    measures = {
        n: compiled(_make_measure(s, setting, windows, cut_for), kernels=kernels_for(s))
        for n, s in specs.items()
    }

    def validate(variables: Mapping[str, Variables]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, values in variables.items():
            parts = [jax.device_get(measures[name](values, b)) for b in batches]
            total = jax.tree.map(lambda *x: np.sum(x, axis=0, dtype=np.float64), *parts)
            means = total["losses"] / np.maximum(total["counts"], 1.0)
            found[f"val/{name}/gt"] = float(np.sum(parts[0]["weights"] * means))
            pairs = max(float(total["pairs"]), 1.0)
            for key, value in total["answers"].items():
                found[f"val/{name}/{key}"] = float(value) / pairs
        return found

    return validate


def _make_measure(
    spec: TrackerSpec,
    setting: Setting,
    windows: AugmentConfig,
    cut_for: InputSpec | None,
) -> Callable[..., Any]:
    module, label = build(spec), make_labels(spec, setting.labels)
    seen: Any = {
        "windows": windows,
        "cut_for": cut_for,
        "antialias": setting.model.antialias,
    }

    def measure(variables: Variables, batch: Mapping[str, Array]) -> dict[str, Any]:
        examples = held_out_crops(spec, batch, **seen)
        # Pairs without a target are left out: no place or box would be right.
        examples = examples._replace(mask=examples.mask * (1.0 - examples.is_negative))
        output = forward(module, variables, examples.template, examples.search)
        labels = label(examples, jax.random.key(0))
        group = task_parts(output.answer, labels, setting.task)
        answers = _answers(spec, output.answer, examples.search_box)
        return {
            "losses": jnp.stack([part.total for part in group]),
            "counts": jnp.stack([part.number for part in group]),
            "weights": np.array([part.weight for part in group], np.float32),
            "answers": {k: jnp.sum(v * examples.mask) for k, v in answers.items()},
            "pairs": jnp.sum(examples.mask),
        }

    return measure


def held_out_crops(
    spec: TrackerSpec,
    batch: Mapping[str, Array],
    *,
    windows: AugmentConfig = PLAIN,
    cut_for: InputSpec | None = None,
    antialias: bool | None = None,
) -> Examples:
    """Returns the crops on which a network is measured, the same at every call.

    Crops for SiamFC have the target in the middle, as in its training. Those for a
    region head are moved, stretched and scaled as in training, but keep their colours.

    Args:
      spec: The network.
      batch: A host batch of held-out pairs.
      windows: Settings by which crops for a region head are moved, stretched and
        scaled.
      cut_for: Input that the host's patches serve, the widest of a run; None for that
        of this network.
      antialias: The argument of `examples_for`.
    """
    widest = cut_for or spec.input
    if not spec.head.proposes_boxes:
        middle = centre_crops(batch, input=widest)
        return examples_for(middle, spec.input, antialias=antialias)
    unchanged = "flip", "flip_each", "grey", "brightness", "colour", "blur", "jitter"
    plain = dataclasses.replace(windows, **dict.fromkeys(unchanged, 0.0))
    examples = augment(jax.random.key(0), batch, input=widest, config=plain)
    return examples_for(examples, spec.input, antialias=antialias)


def _answers(
    spec: TrackerSpec, answer: Answer, truth: Float[Array, "b 4"]
) -> dict[str, Float[Array, " b"]]:
    """Returns the distance of the likeliest place from the target, and its overlap."""
    found = proposals(spec, answer, search_px=spec.input.train_search_px)
    best = jnp.argmax(found.scores, axis=-1)
    box = jnp.take_along_axis(found.boxes, best[:, None, None], axis=1)[:, 0]
    distance = jnp.linalg.norm(box[:, :2] - truth[:, :2], axis=-1)
    if not spec.head.proposes_boxes:
        return {"peak_px": distance}
    return {"peak_px": distance, "iou": iou(box, truth)}
