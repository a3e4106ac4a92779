"""The networks in PyTorch that tracking is timed beside are our networks."""

import jax
import numpy as np
import pytest

from dst_jax.arch import named
from dst_jax.models import build, init_variables, remember, respond
from tests import networks

torch = pytest.importorskip("torch")


def trained(spec, rng):
    """Statistics, scales and biases that no untrained network has."""
    variables = init_variables(jax.random.key(0), spec)
    return jax.tree.map(
        lambda x: x * rng.uniform(0.5, 1.5, x.shape).astype(np.float32), variables
    )


@pytest.mark.parametrize("name", ["tiny", "tiny-siamdw"])
def test_the_last_features_are_ours(script, name):
    spec, rng = named(name), np.random.default_rng(0)
    variables = trained(spec, rng)
    embedding = script("torch_backbones").embedding
    image = rng.uniform(0, 255, (1, 111, 111, 3)).astype(np.float32)
    *_, last = spec.backbone.stage_names
    ours = jax.jit(lambda v, x: networks.features(build(spec), v, x)[last])(
        variables, image
    )
    theirs = embedding(spec, variables)(torch.from_numpy(image).permute(0, 3, 1, 2))
    found = theirs.detach().permute(0, 2, 3, 1).numpy()
    assert found.shape == ours.shape
    np.testing.assert_allclose(found, ours, rtol=0, atol=1e-4 * np.abs(ours).max())


@pytest.mark.parametrize("name", ["mini-ostrack-48", "mini-ostrack-64"])
def test_the_answers_of_ostrack_are_ours(script, name):
    """Grids of an odd and of an even side."""
    spec, rng = named(name), np.random.default_rng(0)
    variables = trained(spec, rng)
    theirs = script("torch_ostrack").OSTrack(spec, variables).eval()
    template, search = (
        rng.uniform(0, 255, (count, px, px, 3)).astype(np.float32)
        for count, px in ((1, spec.input.template_px), (2, spec.input.search_px))
    )
    module = build(spec)
    memory = remember(module, variables, template)
    ours = jax.jit(lambda *given: respond(module, *given))(variables, memory, search)
    tokens = [
        theirs.embed(torch.from_numpy(images).permute(0, 3, 1, 2), role)
        for images, role in ((template, "template"), (search, "search"))
    ]
    with torch.no_grad():
        score, offset, size, _ = theirs.answer(*tokens)
    boxes = torch.cat([offset, size.sigmoid()], dim=1)
    for own, found in ((ours.response, score[:, 0]), (ours.offsets, boxes)):
        found = (found if found.ndim == 3 else found.permute(0, 2, 3, 1)).numpy()
        assert found.std() > 0.01
        np.testing.assert_allclose(found, own, rtol=0, atol=1e-4 * np.abs(own).max())
