"""SiamDW against its PyTorch twin: every map, in inference and in training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.models import build, forward, forward_train
from tests import siamdw_twin
from tests.models.test_pysot_twin import (
    FIELDS,
    RELATIVE,
    assert_agree,
    bgr,
    crops_of,
    images,
)

torch = siamdw_twin.torch
HEAD = {"template_cls": "cls1", "template_reg": "r1", "search_cls": "cls2"}
HEAD |= {"search_reg": "r2", "adjust": "regress_adjust"}


def place(name):
    """Where a public tensor lies: the path of our module, and its field."""
    *path, field = name.split(".")
    match path:
        case ["features", "features", ("conv1" | "bn1") as part]:
            found = ["backbone", "conv1", "conv" if part == "conv1" else "norm"]
        case ["features", "features", layer, index, *part]:
            # The pooling stands second in layer2.
            number = int(index) + (1 if layer == "layer1" or index == "0" else 0)
            found = ["backbone", layer, f"block{number}"]
            if part[0] == "downsample":
                found += ["projection", "conv" if part[1] == "0" else "norm"]
            else:
                kind = "conv" if part[0].startswith("conv") else "norm"
                found += [f"conv{part[0][-1]}", kind]
        case ["connect_model", part]:
            found = ["head", HEAD[part]]
    if found[-1] == "norm":
        return [*found, FIELDS[field]]
    return [*found, "kernel" if field == "weight" else field]


def carried(tensors):
    """Our variables, or gradients, from arrays by public names."""
    variables = {"params": {}, "batch_stats": {}}
    for name, array in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        *path, field = place(name)
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        if name == "features.features.conv1.weight":
            array = array[:, :, ::-1]  # from BGR to RGB
        here = variables["batch_stats" if field in ("mean", "var") else "params"]
        for key in path:
            here = here.setdefault(key, {})
        assert field not in here
        here[field] = np.ascontiguousarray(array)
    return variables


@functools.partial(jax.jit, static_argnames=("name", "train"))
def ours(name, variables, template, search, *, train):
    module = build(arch.named(name))
    if train:
        return forward_train(module, variables, template, search)
    return forward(module, variables, template, search), {}


def maps_of(output):
    """Our maps by the twin's names, [b, c, h, w]."""
    found = {name: np.moveaxis(x, -1, 1) for name, x in output.taps.items()}
    if not hasattr(output.answer, "offsets"):
        return found | {"response": output.answer.response[:, None]}
    for branch, x in zip(("cls", "loc"), output.answer, strict=True):
        batch, side = x.shape[:2]
        x = np.asarray(x).transpose(0, 4, 3, 1, 2)
        found[branch] = x.reshape(batch, -1, side, side)
    return found


def compare(name, template, search, *, train=False):
    """Holds all maps of one pass, and the statistics after it, against the twin's."""
    network = siamdw_twin.make_twin(name, bgr(template), bgr(search))
    variables = carried(siamdw_twin.state_dict(network))
    with torch.no_grad():
        expected = network.train(train)(bgr(template), bgr(search))
    output, statistics = ours(name, variables, template, search, train=train)
    assert_agree(maps_of(output), expected)
    if train:
        after = carried(siamdw_twin.state_dict(network))["batch_stats"]
        assert jax.tree.structure(after) == jax.tree.structure(statistics)
        for got, aim in zip(*map(jax.tree.leaves, (statistics, after)), strict=True):
            assert np.abs(got - aim).max() <= RELATIVE * np.abs(aim).max()


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
def test_every_map_agrees_with_the_twin(train):
    compare("mini-siamdw", *images("mini-siamdw", batch=2), train=train)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("name", ["siamdw", "siamdw-l", "siamdw-s", "siamdw-rpn"])
@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
def test_every_map_of_a_real_crop_agrees_with_the_twin(name, train, real_data):
    crops = crops_of(real_data / "otb" / "Deer", arch.named(name).input)
    if train:
        # Statistics of one example and 25 cells would be noise.
        crops = [np.concatenate([crop, crop[:, ::-1]]) for crop in crops]
    compare(name, *crops, train=train)


def test_gradients_in_training_agree_with_the_twin():
    name = "tiny-siamdw"
    template, search = images(name, batch=2)
    network = siamdw_twin.make_twin(name, bgr(template), bgr(search)).train()
    variables = carried(siamdw_twin.state_dict(network))
    network(bgr(template), bgr(search))["response"].sin().sum().backward()
    slopes = {n: p.grad.numpy() for n, p in network.named_parameters()}
    expected = carried(slopes)["params"]

    @jax.jit
    @jax.grad
    def found(params):
        own = {"params": params, "batch_stats": variables["batch_stats"]}
        output, _ = forward_train(build(arch.named(name)), own, template, search)
        return jnp.sin(output.answer.response).sum()

    found = found(variables["params"])
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    largest = max(np.abs(aim).max() for aim in jax.tree.leaves(expected))
    for got, aim in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(got, aim, rtol=1e-3, atol=1e-5 * largest)


def test_the_twin_has_every_variable_and_no_other():
    for name in ("siamdw", "siamdw-l", "siamdw-s", "siamdw-rpn", "mini-siamdw"):
        with torch.device("meta"):
            network = siamdw_twin.Twin(name)
        count = sum(p.numel() for p in network.parameters())
        assert count == arch.tracker_cost(arch.named(name)).parameters
