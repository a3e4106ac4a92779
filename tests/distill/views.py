"""What a term looks at, made up: no network, one device."""

import jax
import jax.numpy as jnp

from dst_jax.distill import TaskConfig, View, reduce_parts
from tests import networks


def view_of(student, teacher=None, *, labels, task=None, peers=None, **rest):
    """The view of a student called "own", whose gates are open."""
    peers = peers or {}
    even = {name: jnp.zeros(()) for name in ("own", "teacher", *peers)}
    made = View(
        name="own",
        specs={"own": networks.TEACHER},
        term="str",
        student=student,
        teacher=teacher,
        peers=peers,
        labels=labels,
        all_labels=dict.fromkeys(even, labels),
        task=task or TaskConfig(),
        task_losses=even,
        sizes={"own": 1, **dict.fromkeys(peers, 2)},
        epoch=jnp.zeros(()),
        since_warmup=jnp.zeros(()),
        psum=lambda tree: tree,
    )
    return made._replace(**rest)


def value(term, view):
    """What a term adds to the loss of one student on one device, before its weight."""

    def loss():
        return reduce_parts(term(view).parts, None)

    return float(jax.jit(loss)())
