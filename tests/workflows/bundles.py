"""A bundle of the smallest tracker, for tests of what runs it."""

import jax
import numpy as np

from dst_jax.arch import named
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.models import init_variables
from dst_jax.track import SiamFCTracking


def save_tiny(path, *, seed=0):
    spec = named("tiny")
    variables = jax.tree.map(np.asarray, init_variables(jax.random.key(seed), spec))
    return save_bundle(Bundle(spec, variables, SiamFCTracking(), {}), path)
