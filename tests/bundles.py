"""A small bundle, and ways to change its files."""

import json

import jax

from dst_jax import arch
from dst_jax.bundle import Bundle
from dst_jax.models import init_variables
from dst_jax.track.config import SiamFCTracking

SPEC = arch.named("tiny")
FILES = ("card.json", "spec.json", "tracking.json", "weights.safetensors")


def small():
    variables = init_variables(jax.random.key(0), SPEC)
    return Bundle(SPEC, variables, SiamFCTracking(scale_step=1.05), {"seed": 3})


def edit_json(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def as_format_1(path):
    """Makes a saved bundle one of format 1, whose weights alone have a digest."""
    edit_json(path / "spec.json", lambda v: v.update(format_version=1))
    edit_json(path / "card.json", lambda v: v.pop("files_sha256"))
