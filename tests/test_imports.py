"""What loading a module may load, checked in interpreters of their own."""

import json
import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "cv2", "torch", "optax", "orbax", "grain", "tensorflow_datasets")
MODEL = ("flax",)
# Module, and what it must not bring along.
FORBIDDEN = {
    "dst_jax": (*HEAVY, *MODEL, "jax"),
    "dst_jax.arch": (*HEAVY, *MODEL, "jax", "numpy"),
    "dst_jax.boxes": (*HEAVY, *MODEL),
    "dst_jax.ops": (*HEAVY, *MODEL),
    "dst_jax.losses": (*HEAVY, *MODEL),
    "dst_jax.models": HEAVY,
    "dst_jax.track": HEAVY,
    "dst_jax.bundle": HEAVY,
    "dst_jax.evaluate": ("tensorflow", "torch", *MODEL),
    "dst_jax.command.main": ("tensorflow", "torch", *MODEL),
    "dst_jax.data": ("tensorflow", "torch", *MODEL),
    "dst_jax.distill": ("tensorflow", "cv2", "torch", "grain"),
    "dst_jax.train": ("tensorflow", "torch"),
}

# Each line is one interpreter, which may load more from module to module: what is not
# there after all of them was brought by none.
LINES = (
    (
        *("dst_jax", "dst_jax.arch", "dst_jax.boxes", "dst_jax.ops", "dst_jax.losses"),
        *("dst_jax.models", "dst_jax.track", "dst_jax.bundle"),
    ),
    ("dst_jax.evaluate", "dst_jax.data", "dst_jax.command.main"),
    ("dst_jax.distill", "dst_jax.train"),
)

PROBE = """
import importlib, json, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    bridge = sys.modules.get("jax._src.xla_bridge")
    touched = bridge is not None and bridge.backends_are_initialized()
    print(json.dumps([sorted(sys.modules), touched]))
"""


@pytest.fixture(scope="module")
def after_loading():
    """By module, what is loaded once it is, and whether a device was touched."""
    found = {}
    for line in LINES:
        run = [sys.executable, "-c", PROBE, *line]
        out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        found |= dict(zip(line, map(json.loads, out.splitlines()), strict=True))
    return found


@pytest.mark.parametrize("module", FORBIDDEN)
def test_loading_brings_nothing_heavy_and_touches_no_device(module, after_loading):
    loaded, touched = after_loading[module]
    assert not set(FORBIDDEN[module]) & set(loaded)
    assert not touched, "a device was initialised at import"
