"""OSTrack against its PyTorch twin: every map, the head, boxes and gradients."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.models import build, forward, init_variables, proposals
from tests import ostrack_twin

torch = ostrack_twin.torch
RELATIVE = 1e-4
CE = ((1, 0.7), (2, 0.7))
FIELDS = {
    "weight": "scale",
    "bias": "bias",
    "running_mean": "mean",
    "running_var": "var",
}
BRANCHES = {"ctr": "score", "offset": "offset", "size": "size"}


def place(name):
    """Where a tensor of the twin's lies: the path of our module, and its field."""
    *path, field = name.split(".")
    leaf = "kernel" if field == "weight" else field
    match path:
        case ["backbone"]:
            roles = {"pos_embed_z": "template", "pos_embed_x": "search"}
            return ["backbone", "positions", roles[field]]
        case ["backbone", "patch_embed", "proj"]:
            return ["backbone", "patch", leaf]
        case ["backbone", "norm"]:
            return ["backbone", "norm", FIELDS[field]]
        case ["backbone", "blocks", number, ("norm1" | "norm2") as norm]:
            return ["backbone", f"block{number}", norm, FIELDS[field]]
        case ["backbone", "blocks", number, ("attn" | "mlp"), layer]:
            return ["backbone", f"block{number}", layer, leaf]
        case ["box_head", stage, part]:
            conv, branch = stage.split("_")
            found = ["head", BRANCHES[branch], conv]
            return (
                [*found, "conv", leaf]
                if part == "0"
                else [*found, "norm", FIELDS[field]]
            )
        case ["box_head", stage]:
            return ["head", BRANCHES[stage.removeprefix("conv5_")], "read", leaf]
    raise AssertionError(name)


def carried(tensors):
    """Our variables, or gradients, from arrays by the public names."""
    variables = {"params": {}, "batch_stats": {}}
    for name, array in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        *path, field = place(name)
        if "pos_embed" in name:
            array = array[0]
        elif "patch_embed" in name and array.ndim == 4:
            array = array.transpose(2, 3, 1, 0).reshape(-1, len(array))
        elif array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        elif array.ndim == 2:
            array = array.T
        kind = "batch_stats" if field in ("mean", "var") else "params"
        here = variables[kind]
        for key in path:
            here = here.setdefault(key, {})
        assert field not in here
        here[field] = np.ascontiguousarray(array)
    return variables


def spec_of(family, px, eliminate=()):
    spec = arch.named(f"{family}-{px}")
    backbone = dataclasses.replace(spec.backbone, eliminate=eliminate)
    return dataclasses.replace(spec, backbone=backbone)


def images(px, *, batch=2, seed=0):
    """Template and search images of coarse noise, RGB 0-255, [b, h, w, 3]."""
    rng, found = np.random.default_rng(seed), []
    for side in (px // 2, px):
        coarse = rng.uniform(0, 255, (batch, side // 4 + 1, side // 4 + 1, 3))
        fine = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :side, :side]
        found.append(np.clip(fine + rng.normal(0, 9, fine.shape), 0, 255))
    return [image.astype(np.float32) for image in found]


def planes(image):
    """An image as the twin reads it."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))


@functools.partial(jax.jit, static_argnums=0)
def ours(spec, variables, template, search):
    return forward(build(spec), variables, template, search)


def by_twins_names(output):
    """Our maps and numbers of the head, [b, c, h, w]."""
    response, offsets = output.answer
    found = {"ctr": response[..., None], "offset": offsets[..., :2]}
    found |= {"size": offsets[..., 2:], **output.taps}
    return {name: np.moveaxis(np.asarray(x), -1, 1) for name, x in found.items()}


def error(got, aim):
    return np.abs(got - aim).max() / np.abs(aim).max()


def compare(family, px, eliminate=(), *, batch=2):
    """Holds all that is computed for two images against the twin's."""
    template, search = images(px, batch=batch)
    network = ostrack_twin.make_twin(family, px, eliminate=eliminate)
    variables = carried(ostrack_twin.state_dict(network))
    spec = spec_of(family, px, eliminate)
    shapes = jax.tree.map(np.shape, variables)
    assert shapes == jax.tree.map(np.shape, init_variables(jax.random.key(0), spec))
    with torch.no_grad():
        expected = network(planes(template), planes(search))
    output = ours(spec, variables, template, search)
    found = by_twins_names(output)
    assert set(found) == set(expected)
    for name, aim in expected.items():
        assert found[name].shape == tuple(aim.shape), name
        assert error(found[name], aim.numpy()) <= RELATIVE, name
    boxes, scores = proposals(spec, output.answer, search_px=px)
    best = np.take_along_axis(
        np.asarray(boxes), np.argmax(scores, axis=1)[:, None, None], axis=1
    )
    aim = ostrack_twin.best_boxes(expected).numpy() * px
    np.testing.assert_allclose(best[:, 0], aim, rtol=RELATIVE, atol=1e-3)


@pytest.mark.parametrize("px", [64, 48])
@pytest.mark.parametrize("eliminate", [(), CE], ids=["all", "eliminating"])
def test_every_map_and_box_of_the_miniature_agrees_with_the_twin(px, eliminate):
    compare("mini-ostrack", px, eliminate)


@pytest.mark.slow
def test_every_map_and_box_of_the_base_at_128_px_agrees_with_the_twin():
    compare("ostrack", 128, batch=1)


@pytest.mark.parametrize("px", [64, 48])
def test_gradients_and_statistics_in_training_agree_with_the_twin(px):
    template, search = images(px)
    network = ostrack_twin.make_twin("mini-ostrack", px, eliminate=CE)
    variables = carried(ostrack_twin.state_dict(network))
    found = network.train()(planes(template), planes(search))
    boxes = ostrack_twin.best_boxes(found)
    loss = found["ctr"].sin().mean() + boxes.square().sum()
    loss = loss + found["search/q3"].sin().mean() + found["search/norm"].cos().mean()
    loss.backward()
    slopes = {n: p.grad.numpy() for n, p in network.named_parameters()}
    expected = carried(slopes)["params"]
    after = carried(ostrack_twin.state_dict(network))["batch_stats"]
    spec = spec_of("mini-ostrack", px, CE)

    @jax.jit
    def graded(params):
        def loss(params):
            output, mutated = build(spec).apply(
                {"params": params, "batch_stats": variables["batch_stats"]},
                template,
                search,
                train=True,
                mutable=["batch_stats"],
            )
            every, scores = proposals(spec, output.answer, search_px=1)
            best = jnp.argmax(scores, axis=1)[:, None, None]
            chosen = jnp.take_along_axis(every, best, axis=1)
            value = jnp.sin(scores).mean() + jnp.square(chosen).sum()
            value += jnp.sin(output.taps["search/q3"]).mean()
            value += jnp.cos(output.taps["search/norm"]).mean()
            return value, mutated["batch_stats"]

        return jax.value_and_grad(loss, has_aux=True)(params)

    (value, stats), gradients = graded(variables["params"])
    np.testing.assert_allclose(value, loss.item(), rtol=1e-5)
    assert jax.tree.structure(gradients) == jax.tree.structure(expected)
    largest = max(np.abs(aim).max() for aim in jax.tree.leaves(expected))
    for got, aim in zip(*map(jax.tree.leaves, (gradients, expected)), strict=True):
        np.testing.assert_allclose(got, aim, rtol=1e-3, atol=1e-5 * largest)
    for got, aim in zip(*map(jax.tree.leaves, (stats, after)), strict=True):
        assert error(np.asarray(got), aim) <= RELATIVE


@pytest.mark.parametrize("px", [384, 256, 192, 128, 96])
def test_the_twin_has_every_variable_and_no_other(px):
    with torch.device("meta"):
        network = ostrack_twin.Twin("ostrack", px)
    count = sum(p.numel() for p in network.parameters())
    assert count == arch.tracker_cost(arch.named(f"ostrack-{px}")).parameters
