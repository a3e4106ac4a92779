"""Trains and tracks with the toy family: run where its patch has been applied.

python -m tests.families.run_temperature prints, as JSON, where the package lies, the
losses before and after one step of two students, and what a tracker said of a video.
"""

import dataclasses
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import dst_jax
from dst_jax import arch, track
from dst_jax.distill import DistillConfig, Response, Sharing, Task, make_objective
from dst_jax.models import init_variables
from dst_jax.ops.examples import Examples
from tests import networks, objectives

# Gates wide open, and a rate at which one step shows.
TERMS = DistillConfig().with_terms(
    gt=Task(), str=Response(layers=(2, 3)), ks=Sharing(margin=1e3)
)
RATE = 1e-3


def with_temperature(spec, initial=1e2):
    """The network with the toy's head in place of its own."""
    return dataclasses.replace(spec, head=arch.TemperatureHeadSpec(initial=initial))


def examples(spec):
    """A batch of noise."""
    rng = np.random.default_rng(0)
    template, search = (
        jnp.asarray(rng.uniform(0, 255, (2, side, side, 3)), jnp.float32)
        for side in (spec.input.template_px, spec.input.train_search_px)
    )
    ones = jnp.ones(2, jnp.float32)
    boxes = jnp.full((2, 4), 0.5 * spec.input.train_search_px, jnp.float32)
    number = jnp.arange(2, dtype=jnp.int32)
    return Examples(template, search, ones, 0.0 * ones, boxes, number, spec.input)


def train(teacher, students):
    """Losses before and after a step, parts of the first, gradients of temperatures."""
    setting = objectives.TINY._replace(distill=TERMS)
    objective = make_objective(teacher, students, setting)
    frozen = init_variables(jax.random.key(9), teacher)
    fresh = {n: init_variables(jax.random.key(1), s) for n, s in students.items()}
    params, stats = (
        {name: one[part] for name, one in fresh.items()}
        for part in ("params", "batch_stats")
    )
    graded = jax.jit(jax.value_and_grad(objective, has_aux=True))
    rest = stats, frozen, examples(teacher)
    when = {"epoch": jnp.float32(0.0), "key": jax.random.key(0)}
    (before, (_, metrics)), gradients = graded(params, *rest, **when)
    moved = jax.tree.map(lambda p, g: p - RATE * g, params, gradients)
    after = graded(moved, *rest, **when)[0][0]
    return {
        "losses": [float(before), float(after)],
        "parts": {name: float(value) for name, value in metrics.terms.items()},
        "gradients": {
            name: float(gradients[name]["head"]["logarithm"]) for name in students
        },
    }


def follow(spec, variables):
    """Boxes and scores of a short video of noise."""
    frames = np.random.default_rng(1).integers(0, 256, (3, 60, 80, 3), dtype=np.uint8)
    tracker = track.make_tracker(spec, variables)
    found = tracker.track(frames, [40.0, 30.0, 16.0, 12.0])
    return np.column_stack([found.boxes, found.scores]).tolist()


def look(spec):
    """What one network counts and follows, beside SiamFC of the same weights."""
    variables = init_variables(jax.random.key(2), spec)
    leaves = jax.tree.leaves(variables["params"])
    scale = 1.0 / spec.head.initial
    siamfc = dataclasses.replace(spec, head=arch.CorrelationHeadSpec(scale))
    backbone = {name: {"backbone": one["backbone"]} for name, one in variables.items()}
    return {
        "counted": arch.tracker_cost(spec).parameters,
        "parameters": sum(math.prod(leaf.shape) for leaf in leaves),
        "stored": arch.spec_from_json(arch.spec_to_json(spec)) == spec,
        "toy": follow(spec, variables),
        "siamfc": follow(siamfc, backbone),
    }


if __name__ == "__main__":
    learners = {name: with_temperature(s) for name, s in networks.STUDENTS.items()}
    print(
        json.dumps(
            {
                "package": str(pathlib.Path(dst_jax.__file__).parent),
                **train(with_temperature(networks.TEACHER, 5e4), learners),
                **look(with_temperature(networks.STUDENTS["dull"], 5e2)),
            }
        )
    )
