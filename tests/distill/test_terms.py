"""Single terms on made-up outputs, without any network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import losses
from dst_jax.distill import DistillConfig
from dst_jax.distill import terms as t
from dst_jax.models import Output

CONFIG = DistillConfig(response_layers=(2,))


def output(seed, *, depth=3):
    rng = np.random.default_rng(seed)
    maps = {
        kind: {"conv2": rng.normal(size=(2, side, side, depth)).astype(np.float32)}
        for kind, side in (("template", 3), ("search", 6))
    }
    response = rng.normal(size=(2, 4, 4)).astype(np.float32)
    return jax.tree.map(jnp.asarray, Output(response, maps["template"], maps["search"]))


CELLS = t.cells_of(jnp.zeros((4, 4)), jnp.ones(2), jnp.zeros(2))


@pytest.mark.parametrize("stop", [False, True])
def test_the_students_weight_is_a_constant_if_told_so(stop):
    student, teacher = output(0), output(1)
    config = dataclasses.replace(CONFIG, response_stop_weight=stop)

    def total(template):
        own = student._replace(template={"conv2": template})
        (term,) = t.response_terms(own, teacher, CELLS, config, 1.0)
        return term.total

    def template_part(template):
        values = losses.template_response_loss(template, teacher.template["conv2"])
        return values.sum()

    @jax.jit
    def through_w(template):
        # W alone lets the search part see the student's template.
        return jax.grad(total)(template) - jax.grad(template_part)(template)

    found = np.abs(through_w(student.template["conv2"])).max()
    assert bool(found > 1e-5) == (not stop)
