"""SiamRPN++ against its PyTorch twin: every map, in inference and in training."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.data.frames import frame_paths, read_frame
from dst_jax.models import build
from tests import pysot_twin
from tests.track import reference

torch = pysot_twin.torch
RELATIVE = 1e-4
FIELDS = {"weight": "scale", "bias": "bias", "running_mean": "mean"}
FIELDS["running_var"] = "var"
LAYERS = {"conv_kernel": "template", "conv_search": "search", "head": "mix"}


def place(name):
    """Where a tensor of pysot's lies: the path of our module, and its field."""
    *path, field = name.split(".")
    match path:
        case ["backbone", ("conv1" | "bn1") as part]:
            found = ["backbone", "conv1", "conv" if part == "conv1" else "norm"]
        case ["backbone", layer, block, "downsample", number]:
            found = ["backbone", layer, f"block{int(block) + 1}", "projection"]
            found.append("norm" if number == "1" else "conv")
        case ["backbone", layer, block, part]:
            kind, number = re.fullmatch(r"(conv|bn)(\d)", part).groups()
            found = ["backbone", layer, f"block{int(block) + 1}", f"conv{number}"]
            found.append("conv" if kind == "conv" else "norm")
        case ["neck", level, "downsample", number]:
            found = ["head", f"layer{level[-1]}", "adjust"]
            found.append("norm" if number == "1" else "conv")
        case ["rpn_head", rpn, branch, part, number]:
            ours = "cls" if branch == "cls" else "r"
            layer = "read" if number == "3" else LAYERS[part]
            found = ["head", f"layer{rpn[-1]}", f"{ours}_{layer}"]
            found += {"0": ["conv"], "1": ["norm"], "3": []}[number]
        case ["rpn_head"]:
            ours = {"cls_weight": "cls_weight", "loc_weight": "r_weight"}[field]
            return ["head", ours]
    if found[-1] == "norm":
        return [*found, FIELDS[field]]
    return [*found, "kernel" if field == "weight" else field]


def carried(tensors):
    """Our variables, or gradients, from arrays by pysot's names."""
    variables = {"params": {}, "batch_stats": {}}
    for name, array in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        *path, field = place(name)
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        if name == "backbone.conv1.weight":
            array = array[:, :, ::-1]  # from BGR to RGB
        kind = "batch_stats" if field in ("mean", "var") else "params"
        here = variables[kind]
        for key in path:
            here = here.setdefault(key, {})
        assert field not in here
        here[field] = np.ascontiguousarray(array)
    return variables


def images(name, *, batch, seed=0):
    """Template and search images of smooth noise, RGB 0-255, [b, h, w, 3]."""
    rng, crops = np.random.default_rng(seed), arch.named(name).input
    found = []
    for side in (crops.template_px, crops.train_search_px):
        coarse = rng.uniform(0, 255, (batch, side // 8 + 1, side // 8 + 1, 3))
        fine = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :side, :side]
        found.append(np.clip(fine + rng.normal(0, 9, fine.shape), 0, 255))
    return [image.astype(np.float32) for image in found]


def bgr(image):
    """An image as the twin reads it."""
    planes = image[..., ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(planes))


@functools.partial(jax.jit, static_argnames=("name", "train"))
def ours(name, variables, template, search, *, train):
    """Our output, adjusted maps among the intermediates, and new statistics."""
    module = build(arch.named(name))
    kept = ["batch_stats", "intermediates"] if train else ["intermediates"]
    return module.apply(
        variables,
        template,
        search,
        train=train,
        mutable=kept,
        capture_intermediates=lambda one, _: one.name == "adjust",
    )


def maps_of(output, intermediates, k):
    """Our maps by the twin's names, [b, c, h, w]."""
    found = {name: np.moveaxis(x, -1, 1) for name, x in output.taps.items()}
    for level, kept in intermediates["head"].items():
        # The template comes first; each call gives the map twice, in lists.
        for role, (maps, _) in zip(
            ("template", "search"), kept["adjust"]["__call__"], strict=True
        ):
            found[f"{role}/adjusted{level[-1]}"] = np.moveaxis(maps[0], -1, 1)
    for branch, x in zip(("cls", "loc"), output.answer, strict=True):
        batch, side = x.shape[:2]
        x = np.asarray(x).transpose(0, 4, 3, 1, 2)
        found[branch] = x.reshape(batch, -1, side, side)
        assert found[branch].shape[1] == k * x.shape[1]
    return found


def assert_agree(found, expected):
    assert set(found) == set(expected)
    for name, aim in expected.items():
        aim = np.asarray(aim)
        assert found[name].shape == aim.shape, name
        error = np.abs(found[name] - aim).max() / np.abs(aim).max()
        assert error <= RELATIVE, f"{name}: {error}"


def compare(name, template, search, *, train=False):
    """Holds all maps of one pass, and the statistics after it, against the twin's."""
    network = pysot_twin.make_twin(name, bgr(template), bgr(search))
    variables = carried(pysot_twin.state_dict(network))
    with torch.no_grad():
        expected = network.train(train)(bgr(template), bgr(search))
    output, kept = ours(name, variables, template, search, train=train)
    assert_agree(maps_of(output, kept["intermediates"], network.anchors), expected)
    if train:
        after = carried(pysot_twin.state_dict(network))["batch_stats"]
        for path, aim in jax.tree_util.tree_leaves_with_path(after):
            got = functools.reduce(lambda d, k: d[k.key], path, kept["batch_stats"])
            error = np.abs(got - aim).max() / np.abs(aim).max()
            assert error <= RELATIVE, f"{jax.tree_util.keystr(path)}: {error}"


@pytest.mark.parametrize("name", ["tiny-siamrpnpp", "mini-siamrpnpp-r18"])
@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
def test_every_map_agrees_with_the_twin(name, train):
    compare(name, *images(name, batch=2), train=train)


def crops_of(folder, crops):
    """The first target of a video: template and search crop, RGB, [1, h, w, 3]."""
    frame = read_frame(frame_paths(folder / "img")[0])
    first = (folder / "groundtruth_rect.txt").read_text().split()[0]
    x, y, w, h = (float(number) for number in first.split(","))
    centre, found = (x + w / 2, y + h / 2), []
    for side in (crops.template_px, crops.search_px):
        covered = reference.context_side(w, h) * side / crops.template_px
        colour = frame.mean(axis=(0, 1))
        crop = reference.subwindow(frame, centre, side, round(covered), colour)
        found.append(crop[None].astype(np.float32))
    return found


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("name", ["siamrpnpp-r50", "siamrpnpp-r18", "siamrpnpp-big"])
def test_every_map_of_a_real_crop_agrees_with_the_twin(name, real_data):
    compare(name, *crops_of(real_data / "otb" / "Deer", arch.named(name).input))


@pytest.mark.slow
def test_gradients_in_training_agree_with_the_twin():
    name = "tiny-siamrpnpp"
    template, search = images(name, batch=2)
    network = pysot_twin.make_twin(name, bgr(template), bgr(search)).train()
    variables = carried(pysot_twin.state_dict(network))
    answer = network(bgr(template), bgr(search))
    loss = answer["cls"].sin().sum() + answer["loc"].square().mean()
    loss.backward()
    slopes = {n: p.grad.numpy() for n, p in network.named_parameters()}
    expected = carried(slopes)["params"]

    @jax.jit
    def found(params):
        def loss(params):
            output, _ = build(arch.named(name)).apply(
                {"params": params, "batch_stats": variables["batch_stats"]},
                template,
                search,
                train=True,
                mutable=["batch_stats"],
            )
            logits, offsets = output.answer
            return jnp.sin(logits).sum() + jnp.square(offsets).mean()

        return jax.grad(loss)(params)

    found = found(variables["params"])
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    largest = max(np.abs(aim).max() for aim in jax.tree.leaves(expected))
    for got, aim in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(got, aim, rtol=1e-3, atol=1e-5 * largest)


def test_the_twin_has_every_variable_and_no_other():
    for name in ("siamrpnpp-r50", "siamrpnpp-r18"):
        with torch.device("meta"):
            network = pysot_twin.Twin(name)
        count = sum(p.numel() for p in network.parameters())
        assert count == arch.tracker_cost(arch.named(name)).parameters
