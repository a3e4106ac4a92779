"""State dicts of OSTrack and of vision transformers, made by the PyTorch twin."""

import argparse
import dataclasses
import functools
import re

import jax
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.convert import (
    ostrack_from_pytorch,
    ostrack_spec,
    resized_positions,
    vit_from_pytorch,
    vit_spec,
    with_positions_of,
)
from dst_jax.errors import InputError
from dst_jax.track import OSTrackTracking
from dst_jax.workflows.warm_start import load_start
from tests import ostrack_twin
from tests.models import test_ostrack_twin as parity

torch = ostrack_twin.torch
MINI = arch.named("mini-ostrack-48")
# What public state dicts hold besides, and nothing uses.
UNUSED = {"backbone.cls_token": (1, 1, 96), "backbone.pos_embed": (1, 197, 96)}


@functools.cache
def tensors():
    return ostrack_twin.state_dict(ostrack_twin.make_twin("mini-ostrack", 48))


def public():
    """A state dict of the miniature in public names, with what is not used."""
    unused = {name: np.zeros(shape, np.float32) for name, shape in UNUSED.items()}
    return dict(tensors()) | unused


def shapes_only(search_px):
    """The base's state dict, all of whose numbers are one zero in memory."""
    with torch.device("meta"):
        network = ostrack_twin.Twin("ostrack", search_px)
    zero = np.float32(0.0)
    return {n: np.broadcast_to(zero, t.shape) for n, t in network.state_dict().items()}


def test_a_public_state_dict_converts_with_only_the_unused_left_over():
    state = {f"net.{name}": array for name, array in public().items()}
    variables, left_over = ostrack_from_pytorch(state, MINI)
    assert set(left_over) == set(UNUSED)
    expected = parity.carried(tensors())
    assert jax.tree.structure(variables) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)


@pytest.mark.slow
def test_what_is_left_over_of_the_base_has_152_064_numbers():
    shapes = {"backbone.cls_token": (1, 1, 768), "backbone.pos_embed": (1, 197, 768)}
    unused = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    state = shapes_only(96) | unused
    _, left_over = ostrack_from_pytorch(state, arch.named("ostrack-96"))
    assert sum(state[name].size for name in left_over) == 152_064


@pytest.mark.parametrize(("px", "factor"), [(256, 4.0), (384, 5.0), (96, 5.0)])
def test_sizes_come_from_shapes_and_the_factor_from_the_user(px, factor):
    name = "ostrack-256-f4" if factor == 4.0 else f"ostrack-{px}"
    assert ostrack_spec(shapes_only(px), factor) == arch.named(name)


def test_a_network_of_another_size_is_refused_with_both_sizes_and_the_mend():
    with pytest.raises(InputError) as said:
        ostrack_from_pytorch(public(), arch.named("mini-ostrack-64"))
    assert str(said.value) == (
        "backbone.pos_embed_z has 3 x 3 positions, of a template image of 24 px; the "
        "architecture has 4 x 4, of 32 px. Choose the architecture of the weights, or "
        "resize the positions (--resize-positions)."
    )


def test_with_resized_positions_the_weights_fit_other_crops():
    spec = arch.named("mini-ostrack-64")
    variables, _ = ostrack_from_pytorch(with_positions_of(public(), spec), spec)
    found = variables["params"]["backbone"]["positions"]
    aim = by_torch(tensors()["backbone.pos_embed_x"][0], 8)
    np.testing.assert_allclose(found["search"], aim, atol=1e-5)
    assert found["template"].shape == (16, 96)


def by_torch(positions, side):
    """Positions resized by PyTorch."""
    before = int(len(positions) ** 0.5)
    grid = torch.from_numpy(positions.T.reshape(1, -1, before, before).copy())
    found = torch.nn.functional.interpolate(
        grid, size=(side, side), mode="bicubic", align_corners=False
    )
    return found[0].flatten(1).T.numpy()


@pytest.mark.parametrize("side", [3, 8, 12, 14, 16, 24])
def test_positions_are_resized_as_pytorch_does(side):
    positions = np.random.default_rng(0).normal(size=(196, 5)).astype(np.float32)
    found = resized_positions(positions, side)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_torch(positions, side), atol=1e-5)


def vit(width=96, depth=4, extra=1):
    """The transformer of the miniature by the names of MAE and timm."""
    rng = np.random.default_rng(1)
    state = {
        name.removeprefix("backbone."): array
        for name, array in tensors().items()
        if name.startswith("backbone.") and "pos_embed" not in name
    }
    positions = rng.normal(size=(1, 196 + extra, width)).astype(np.float32)
    more = {"cls_token": np.zeros((1, 1, width)), "head.weight": np.zeros((9, width))}
    return {**state, "pos_embed": positions, **more}


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_a_vision_transformer_gives_the_backbone_at_any_size(extra):
    state = vit(extra=extra)
    variables, left_over = vit_from_pytorch(state, MINI)
    assert left_over == ("cls_token", "head.weight")
    found = variables["params"]["backbone"]
    expected = parity.carried(tensors())["params"]["backbone"]
    for name in ("patch", "block0", "block3", "norm"):
        jax.tree.map(np.testing.assert_array_equal, found[name], expected[name])
    cells = state["pos_embed"][0, extra:]
    for role, side in (("template", 3), ("search", 6)):
        aim = by_torch(cells, side)
        np.testing.assert_allclose(found["positions"][role], aim, atol=1e-5)
    # The head is fresh: its biases are zero.
    bias = variables["params"]["head"]["score"]["read"]["bias"]
    np.testing.assert_array_equal(bias, 0.0)


def classifier(width, depth):
    names = {"patch_embed.proj.weight": (width, 3, 16, 16)}
    names |= {f"blocks.{index}.norm1.weight": (width,) for index in range(depth)}
    zero = np.float32(0.0)
    return {name: np.broadcast_to(zero, shape) for name, shape in names.items()}


@pytest.mark.parametrize(
    ("width", "name"), [(768, "256"), (384, "s-256"), (192, "ti-256")]
)
def test_the_width_of_a_vision_transformer_says_which_it_is(width, name):
    assert vit_spec(classifier(width, 12)) == arch.named(f"ostrack-{name}")


def without(name):
    state = public()
    del state[name]
    return state


def base_without(*names):
    return {n: a for n, a in shapes_only(128).items() if n not in names}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: vit_spec(classifier(1024, 24)),
            "a transformer of width 1024 with 24 blocks is not known; there are widths "
            "768, 384, 192 with 12 blocks.",
        ),
        (
            lambda: ostrack_spec(public(), 5.0),
            "a transformer of width 96 with 4 blocks is not known",
        ),
        (
            lambda: ostrack_spec({"features.0.weight": np.zeros(1)}, 5.0),
            "no tensor is called backbone.pos_embed_z, so this is not OSTrack; the "
            "file holds features.0.weight",
        ),
        (
            lambda: vit_spec({"features.0.weight": np.zeros(1)}),
            "no tensor is called patch_embed.proj.weight, so this is no vision",
        ),
        (
            lambda: ostrack_spec(base_without("box_head.conv1_ctr.0.weight"), 5.0),
            "box_head.conv1_ctr.0.weight is missing; the state dict is incomplete.",
        ),
        (
            lambda: ostrack_from_pytorch(
                without("backbone.blocks.2.attn.qkv.bias"), MINI
            ),
            "backbone.blocks.2.attn.qkv.bias is missing",
        ),
        (
            lambda: ostrack_from_pytorch(
                public() | {"backbone.template_segment_pos_embed": np.zeros(1)}, MINI
            ),
            "backbone.template_segment_pos_embed: networks with a class token or",
        ),
        (
            lambda: ostrack_from_pytorch(
                public() | {"backbone.cls_pos_embed": np.zeros(1)}, MINI
            ),
            "backbone.cls_pos_embed: networks with a class token or separate",
        ),
        (
            lambda: ostrack_from_pytorch(
                public() | {"backbone.pos_embed_x": np.zeros((1, 35, 96))}, MINI
            ),
            "backbone.pos_embed_x has 35 positions, which are no square grid.",
        ),
        (
            lambda: ostrack_from_pytorch(
                public() | {"backbone.norm.weight": np.full(96, np.nan)}, MINI
            ),
            "backbone.norm.weight holds numbers that are not finite",
        ),
        (
            lambda: ostrack_from_pytorch(public(), arch.named("tiny")),
            "these weights need a transformer; use ostrack-256.",
        ),
        (
            lambda: ostrack_from_pytorch(public(), arch.with_conv_stem(MINI)),
            'TokenBackboneSpec.stem="conv": public weights hold a patch embedding',
        ),
        (
            lambda: vit_from_pytorch(vit(), arch.with_conv_stem(MINI)),
            'TokenBackboneSpec.stem="conv": public weights hold a patch embedding',
        ),
        (
            lambda: vit_from_pytorch(
                vit() | {"pos_embed": np.zeros((1, 196, 95))}, MINI
            ),
            "pos_embed_x has shape (1, 36, 95), the architecture wants (1, 36, 96)",
        ),
    ],
)
def test_other_files_are_refused_in_one_line(call, message):
    with pytest.raises(InputError, match=re.escape(message)) as said:
        call()
    assert "\n" not in str(said.value)


def test_elimination_is_the_users_word_and_needs_no_weights():
    backbone = dataclasses.replace(MINI.backbone, eliminate=((1, 0.7),))
    spec = dataclasses.replace(MINI, backbone=backbone)
    whole, _ = ostrack_from_pytorch(public(), MINI)
    fewer, _ = ostrack_from_pytorch(public(), spec)
    jax.tree.map(np.testing.assert_array_equal, whole, fewer)


# From a file to a bundle, on the command line.
NAMED = "--architecture", "ostrack-256"


def saved(tmp_path, state, *, key="net"):
    """A file of PyTorch's with a state dict under a key."""
    path = tmp_path / "net.pth"
    torch.save({key: {n: torch.tensor(a) for n, a in state.items()}}, path)
    return str(path)


@pytest.fixture
def known(monkeypatch):
    """The miniature's widths among those that shapes can tell."""
    monkeypatch.setattr("dst_jax.convert.ostrack._KINDS", {96: "s-"})
    monkeypatch.setattr("dst_jax.convert.ostrack._DEPTH", 4)


def said_by(capsys, *words, code=0):
    assert main(["convert", *words]) == code
    said = capsys.readouterr()
    return " ".join((said.out + said.err).split())


def test_the_command_asks_for_the_factor_and_says_what_cannot_go_on(
    tmp_path, capsys, known
):
    file, out = saved(tmp_path, public()), str(tmp_path / "b")
    words = "--source", "ostrack", file, out
    said = said_by(capsys, *words, code=2)
    assert "give --search-factor 4 (OSTrack at 256 px) or 5" in said
    said = said_by(capsys, *words, "--search-factor", "5")
    assert "all found" in said and "its training cannot be resumed" in said
    bundle = load_bundle(out)
    # Patches of 8 px and 3 x 3 and 6 x 6 positions; 64 channels a head.
    crops = bundle.spec.input
    assert (crops.template_px, crops.search_px) == (24, 48)
    assert crops.area == arch.AreaCrop(2.0, 5.0)
    assert bundle.tracking == OSTrackTracking()
    assert set(bundle.card["left_over"]) == set(UNUSED)


def test_the_command_resizes_positions_for_a_named_architecture(tmp_path, capsys):
    file, out = saved(tmp_path, public()), str(tmp_path / "b")
    words = "--source", "ostrack", file, out, "--architecture", "mini-ostrack-64"
    said = said_by(capsys, *words, code=2)
    assert "3 x 3 positions, of a template image of 24 px" in said
    assert "--resize-positions" in said
    assert "all found" in said_by(capsys, *words, "--resize-positions")
    assert load_bundle(out).spec == arch.named("mini-ostrack-64")


def test_weights_of_mae_make_a_backbone_at_any_size(tmp_path, capsys):
    file, out = saved(tmp_path, vit(), key="model"), str(tmp_path / "b")
    words = "--source", "mae", file, out, "--architecture", "mini-ostrack-48"
    said = said_by(capsys, *words)
    assert "the head is fresh, so use --backbone" in said
    assert load_bundle(out, partial=True).spec == MINI


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--source", "siamdw", "--search-factor", "5"],
            "--search-factor: weights of siamdw have one rule of cropping",
        ),
        (
            ["--source", "ostrack", "--search-factor", "5", *NAMED],
            "--search-factor: --architecture says how much a search crop shows",
        ),
        (
            ["--source", "ostrack", "--resize-positions"],
            "--resize-positions: is for weights of ostrack and needs --architecture",
        ),
        (
            ["--source", "mae", "--resize-positions", "--architecture", "ostrack-96"],
            "--resize-positions: is for weights of ostrack and needs --architecture",
        ),
    ],
)
def test_options_that_say_nothing_are_refused(words, message, tmp_path, capsys):
    said = said_by(capsys, *words, "x.pth", str(tmp_path / "b"), code=2)
    assert message in said


def test_a_checkpoint_with_settings_says_how_to_save_its_network(tmp_path, capsys):
    path = tmp_path / "OSTrack_ep0300.pth.tar"
    tensors = {n: torch.tensor(a) for n, a in public().items()}
    torch.save({"net": tensors, "settings": argparse.Namespace(a=1)}, path)
    out = str(tmp_path / "b")
    said = said_by(capsys, "--source", "ostrack", str(path), out, code=2)
    assert 'checkpoint["net"], alone' in said


def test_a_student_begins_with_its_teachers_weights_and_resized_positions(tmp_path):
    teacher, student = MINI, arch.named("mini-ostrack-64")
    variables, _ = ostrack_from_pytorch(public(), teacher)
    save_bundle(Bundle(teacher, variables, OSTrackTracking(), {}), tmp_path / "t")
    start = load_start({"px64": student}, {"px64": tmp_path / "t"}, {})
    (found,) = start.whole.values()
    assert found.spec == student
    expected, _ = ostrack_from_pytorch(with_positions_of(public(), student), student)
    jax.tree.map(np.testing.assert_array_equal, found.variables, expected)
    # Another width is refused, as any other architecture is.
    with pytest.raises(InputError, match=r"or leave it to begin anew \(also"):
        load_start({"a": arch.named("ostrack-96")}, {"a": tmp_path / "t"}, {})
