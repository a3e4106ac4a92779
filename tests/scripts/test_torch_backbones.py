"""The backbones in PyTorch that tracking is timed beside are those of our networks."""

import importlib
import pathlib
import sys

import jax
import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.models import build, init_variables
from tests import networks

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def embedding():
    folder = str(pathlib.Path(__file__).parents[2] / "scripts")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("torch_backbones").embedding
    finally:
        sys.path.remove(folder)


@pytest.mark.parametrize("name", ["tiny", "tiny-siamdw"])
def test_the_last_features_are_ours(embedding, name):
    spec, rng = named(name), np.random.default_rng(0)
    variables = init_variables(jax.random.key(0), spec)
    # Statistics, scales and biases that no untrained network has.
    variables = jax.tree.map(
        lambda x: x * rng.uniform(0.5, 1.5, x.shape).astype(np.float32), variables
    )
    image = rng.uniform(0, 255, (1, 111, 111, 3)).astype(np.float32)
    *_, last = spec.backbone.stage_names
    ours = jax.jit(lambda v, x: networks.features(build(spec), v, x)[last])(
        variables, image
    )
    theirs = embedding(spec, variables)(torch.from_numpy(image).permute(0, 3, 1, 2))
    found = theirs.detach().permute(0, 2, 3, 1).numpy()
    assert found.shape == ours.shape
    np.testing.assert_allclose(found, ours, rtol=0, atol=1e-4 * np.abs(ours).max())
