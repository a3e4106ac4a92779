"""`dst-jax convert`, from a file of PyTorch's to a tracked video."""

import json

import cv2
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import load_bundle
from dst_jax.command.main import main
from dst_jax.errors import InputError
from dst_jax.track import (
    SIAMDW_PRESETS,
    SIAMRPN_PRESETS,
    SiamFCTracking,
    SiamRPNTracking,
)
from dst_jax.workflows import convert as workflow
from tests import dasiamrpn
from tests.bundles import as_format_1
from tests.dasiamrpn import torch
from tests.track import scenes

QUIET = Console(quiet=True)
WIDTHS, FEATURES = (4, 6, 8, 8, 6), 5


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "net.model"
    state = dasiamrpn.Network(WIDTHS, FEATURES).state_dict()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    return path


def test_dasiamrpn_is_converted_tracked_and_evaluated(weights, tmp_path, capsys):
    bundle, out = tmp_path / "bundle", tmp_path / "boxes.txt"
    assert main(["convert", "--source", "dasiamrpn", str(weights), str(bundle)]) == 0
    assert "widths [4, 6, 8, 8, 6]" in capsys.readouterr().out
    loaded = load_bundle(bundle)
    assert loaded.spec.backbone.widths == WIDTHS
    assert loaded.spec.head.features == FEATURES
    assert loaded.tracking == SiamRPNTracking()
    assert loaded.card["source"] == "dasiamrpn" and loaded.card["left_over"] == []
    kind = json.loads((bundle / "tracking.json").read_text())["kind"]
    assert kind == "siamrpn"
    # One sequence in OTB's layout.
    images = tmp_path / "otb" / "Square" / "img"
    images.mkdir(parents=True)
    frames, boxes = scenes.video(3, velocity=(2.0, 0.0))
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(str(images / f"{number:04d}.jpg"), frame[..., ::-1])
    rows = boxes - np.float32([0.5, 0.5, 0, 0]) * boxes[:, [2, 3, 2, 3]]
    lines = [",".join(f"{v:g}" for v in row + np.float32([1, 1, 0, 0])) for row in rows]
    (images.parent / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    box = ",".join(f"{v:g}" for v in rows[0])
    arguments = ["--tracker", str(bundle), "--video", str(images), "--box", box]
    assert main(["track", *arguments, "--out", str(out)]) == 0
    found = np.loadtxt(out, delimiter=",")
    assert found.shape == (3, 4) and np.isfinite(found).all()
    scores = tmp_path / "scores.json"
    data = ["--dataset", f"otb:{tmp_path / 'otb'}", "--tracker", str(bundle)]
    assert main(["evaluate", *data, "--json", str(scores)]) == 0
    assert "bundle" in scores.read_text()


@pytest.mark.parametrize(
    ("name", "preset"), [("siamrpn-big", "big"), ("siamrpn", "vot"), ("dstrpn", "big")]
)
def test_public_widths_get_the_public_settings(name, preset):
    spec = workflow.named(name)
    assert workflow.public_tracking(spec) == SIAMRPN_PRESETS[preset]


def test_a_preset_is_taken_in_place_of_the_networks_own(weights, tmp_path):
    options = ["--source", "dasiamrpn", "--preset", "otb"]
    assert main(["convert", *options, str(weights), str(tmp_path / "out")]) == 0
    assert load_bundle(tmp_path / "out").tracking == SIAMRPN_PRESETS["otb"]
    with pytest.raises(InputError, match="--preset tob: there are big, vot, otb, alex"):
        workflow.convert(
            "dasiamrpn", weights, tmp_path / "no", preset="tob", console=QUIET
        )
    assert not (tmp_path / "no").exists()


def test_presets_are_for_networks_that_propose_regions():
    spec = workflow.named("siamfc-alexnet")
    with pytest.raises(InputError, match=r"--preset otb: .* leave it out"):
        workflow._preset("otb", spec)


def test_a_network_that_no_preset_fits_is_told_to_leave_it_out():
    with pytest.raises(InputError, match=r"of another head; leave it out\.$"):
        workflow._preset("big", workflow.named("ostrack-256"))


def test_siamdw_gets_its_own_settings():
    for name in ("siamdw", "siamdw-rpn"):
        found = workflow.public_tracking(workflow.named(name))
        assert found == SIAMDW_PRESETS[f"{name}-otb15"]


def test_a_preset_brings_the_search_crop_that_it_was_tuned_for(weights, tmp_path):
    options = ["--source", "dasiamrpn", "--preset", "siamdw-rpn-vot17"]
    assert main(["convert", *options, str(weights), str(tmp_path / "out")]) == 0
    assert load_bundle(tmp_path / "out").spec.input.search_px == 271


def test_siamfc_keeps_its_own_settings():
    spec = workflow.named("siamfc-alexnet")
    assert workflow.public_tracking(spec) == SiamFCTracking()


def test_what_does_not_fit_is_named(weights, tmp_path):
    def attempt(message, source, file=weights, **options):
        out = tmp_path / "out"
        with pytest.raises(InputError, match=message):
            workflow.convert(source, file, out, console=QUIET, **options)
        assert not out.exists()

    attempt("there is siamfc-pytorch, dasiamrpn", "nanotrack")
    attempt("net.model: no tensor is called backbone", "siamfc-pytorch")
    attempt("has shape", "dasiamrpn", architecture="siamrpn")
    attempt("up-channel head", "dasiamrpn", architecture="siamfc-alexnet")
    attempt("no architecture 'x'", "dasiamrpn", architecture="x")
    other = tmp_path / "other.pth"
    torch.save({"backbone.conv1.0.weight": torch.zeros(1)}, other)
    attempt("other.pth: no tensor is called featureExtract", "dasiamrpn", other)


def convert(*words):
    return main(["convert", "--source", "dasiamrpn", *map(str, words)])


def test_a_bundle_is_replaced_only_when_asked(weights, tmp_path, capsys):
    out = tmp_path / "out"
    assert convert(weights, out) == 0
    before = (out / "card.json").read_bytes()
    # It is said before the weights are read, which may take a while.
    assert convert(tmp_path / "missing.pth", out) == 2
    line = capsys.readouterr().err
    assert f"{out}: a bundle is there; " in line and "--force" in line
    assert (out / "card.json").read_bytes() == before
    assert convert("--preset", "otb", "--force", weights, out) == 0
    assert load_bundle(out).tracking == SIAMRPN_PRESETS["otb"]


def test_a_folder_that_is_no_bundle_is_never_replaced(weights, tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    assert convert("--force", weights, tmp_path / "thesis") == 2
    assert "exists and is no bundle" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told_first(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert convert(tmp_path / "missing.pth", tmp_path / "file" / "out") == 2
    assert "file is no folder" in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_named_and_nothing_is_written(
    weights, tmp_path, capsys
):
    state = torch.load(weights)
    state["module.featureExtract.4.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, weights)
    assert convert(weights, tmp_path / "out") == 2
    assert "net.model: backbone.conv2.0.weight holds numbers that are not finite" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_names_of_files_are_printed_as_they_are(weights, tmp_path, capsys):
    state = torch.load(weights)
    torch.save({**state, "[/b]\x1b[2J": torch.zeros(1)}, weights)
    assert convert(weights, tmp_path / "[bold]x[/]") == 0
    printed = capsys.readouterr().out
    assert "[bold]x[/]: widths" in printed and r"left out: [/b]\x1b[2J" in printed


def test_a_bundle_of_format_1_is_shown_with_what_is_unprotected(
    weights, tmp_path, capsys
):
    out = tmp_path / "out"
    assert convert(weights, out) == 0 and main(["info", str(out)]) == 0
    assert "format 1" not in capsys.readouterr().out
    as_format_1(out)
    # So does a kill between two renames leave it.
    out.rename(tmp_path / ".out.replaced")
    assert main(["info", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "damage of spec.json, tracking.json, card.json is not" in shown


@pytest.mark.slow
def test_a_classifier_becomes_a_backbone_that_is_not_tracked_with(tmp_path, capsys):
    shapes = {"fc.weight": (10, 512), "conv1.weight": (64, 3, 7, 7)}
    norms = {"bn1": 64}
    below = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            stem = f"layer{stage}.{block}"
            shapes[f"{stem}.conv1.weight"] = (width, below, 3, 3)
            shapes[f"{stem}.conv2.weight"] = (width, width, 3, 3)
            norms |= {f"{stem}.bn1": width, f"{stem}.bn2": width}
            if below != width:
                shapes[f"{stem}.downsample.0.weight"] = (width, below, 1, 1)
                norms[f"{stem}.downsample.1"] = width
            below = width
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    for name, width in norms.items():
        for field in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{field}"] = torch.ones(width)
    path, bundle = tmp_path / "resnet18.pth", tmp_path / "r18"
    torch.save(state, path)
    words = ["convert", "--source", "imagenet-resnet", str(path), str(bundle)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "siamrpnpp-r18" in said and "the head is fresh" in said
    assert "left out: fc.weight" in said
    loaded = load_bundle(bundle, partial=True)
    assert loaded.spec.input.mean == (0.485, 0.456, 0.406)
    video = ["--video", str(tmp_path), "--box", "1,2,3,4", "--out", "x.txt"]
    assert main(["track", "--tracker", str(bundle), *video]) == 2
    assert "holds a backbone alone" in capsys.readouterr().err
