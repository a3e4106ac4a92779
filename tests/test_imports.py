"""What loading a module may load, each checked in an interpreter of its own."""

import json
import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "cv2", "torch", "optax", "orbax", "grain", "tensorflow_datasets")
MODEL = ("flax",)
# Module, and what it must not bring along.
FORBIDDEN = {
    "dst_jax": (*HEAVY, *MODEL, "jax", "numpy"),
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

PROBE = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
bridge = sys.modules.get("jax._src.xla_bridge")
touched = bridge is not None and bridge.backends_are_initialized()
print(json.dumps([sorted(sys.modules), touched]))
"""


@pytest.mark.parametrize("module", FORBIDDEN)
def test_loading_brings_nothing_heavy_and_touches_no_device(module):
    run = [sys.executable, "-c", PROBE, module]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    loaded, touched = json.loads(out)
    assert not set(FORBIDDEN[module]) & set(loaded)
    assert not touched, "a device was initialised at import"
