"""Bad input of SiamRPN++ gets one line and exit code 2, and leaves nothing behind."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from dst_jax.arch import named, spec_to_json
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.models import init_variables
from dst_jax.track import default_tracking
from tests.command.test_main import run
from tests.convert import test_pysot

SPEC = named("tiny-siamrpnpp")
WIDE = named("mini-siamrpnpp-r50")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    variables = init_variables(jax.random.key(0), SPEC)
    bundle = Bundle(SPEC, variables, default_tracking(SPEC), {})
    return str(save_bundle(bundle, tmp_path_factory.mktemp("bundle") / "teacher"))


@pytest.fixture
def told(capsys, tmp_path, monkeypatch):
    """What a refused command says; it leaves the folder as it was."""
    monkeypatch.chdir(tmp_path)

    def told(*words):
        before = sorted(tmp_path.iterdir())
        code, _, err = run(capsys, *words)
        assert code == 2, err
        assert len(err.strip().splitlines()) == 1, err
        assert sorted(tmp_path.iterdir()) == before
        return err

    return told


def written(path, spec, **head):
    """A file of an architecture whose head has other fields, unchecked."""
    values = spec_to_json(spec)
    values["head"] |= head
    path.write_text(json.dumps(values))
    return str(path)


def without_levels(state):
    return {name: x for name, x in state.items() if "rpn3" not in name}


@pytest.mark.parametrize(
    ("state", "more", "message"),
    [
        ({"features.0.0.weight": np.zeros((1, 1, 1, 1))}, (), "not a SiamRPN++ of pys"),
        (
            {"backbone.features.0.weight": np.zeros((1, 1, 1, 1))},
            (),
            "variant on AlexNet",
        ),
        (
            test_pysot.state_dict("bottleneck"),
            ("--architecture", "siamrpnpp-r18"),
            "backbone.conv1.weight has shape (4, 3, 7, 7), the architecture wants (64",
        ),
        (without_levels(test_pysot.state_dict()), (), "rpn_head.rpn3"),
    ],
    ids=["family", "variant", "depth", "levels"],
)
def test_a_state_dict_that_does_not_fit_is_refused(
    told, tmp_path, state, more, message
):
    torch = pytest.importorskip("torch")
    torch.save({k: torch.from_numpy(np.array(v)) for k, v in state.items()}, "w.pth")
    assert message in told("convert", "--source", "pysot", "w.pth", "OUT", *more)


class Spring:
    """Nothing that a file of weights may hold."""


def test_a_state_dict_among_pickled_objects_is_refused(told):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {}, "config": Spring()}, "w.pth")
    assert "w.pth" in told("convert", "--source", "pysot", "w.pth", "OUT")


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (WIDE, "--backbone r50=...: its conv1/conv/kernel has shape (7, 7, 3, 4), the"),
        (
            dataclasses.replace(
                SPEC, input=dataclasses.replace(SPEC.input, scale=1 / 255)
            ),
            "--backbone r50=...: its InputSpec.scale is 1.0, the student's 0.0039",
        ),
    ],
    ids=["widths", "input"],
)
def test_a_backbone_of_another_network_is_refused(
    told, tmp_path, teacher, student, message
):
    file = written(tmp_path / "s.json", student)
    words = ("--workdir", "W", "--student", f"r50={file}", "--row", "NOKD")
    how = ("--teacher", teacher, "--backbone", f"r50={teacher}")
    assert message in told("distill", "demo_siamrpnpp_students", *words, *how)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"levels": ["layer2", "layer9"]}, "layer9"),
        ({"template_cells": 16}, "template_cells"),
        ({"template_cells": 2}, "template_cells=2: must not be smaller than the kern"),
    ],
    ids=["level", "map", "kernel"],
)
def test_a_head_that_its_backbone_cannot_serve_is_refused(
    told, tmp_path, head, message
):
    file = written(tmp_path / "s.json", SPEC, **head)
    assert message in told("info", file)
    words = ("demo_siamrpnpp_teacher", "--workdir", "W", "--student", f"teacher={file}")
    assert message in told("train", *words)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("layer9 0.1 1.0", "'layer9' names no part of the network"),
        ("backbone 0.1 1 layer2 0 0", "backbone and layer2 both hold backbone/layer2"),
        ("layer2 0.1 99", "layer2 is to learn from epoch 99, and the run has 10; g"),
    ],
    ids=["nothing", "overlap", "late"],
)
def test_parts_that_mean_nothing_are_refused(told, parts, message):
    words = ("train", "demo_siamrpnpp_teacher", "--workdir", "W", "--optim.parts")
    assert message in told(*words, *parts.split())


def test_the_search_is_refused_on_residual_stages(told, teacher):
    words = ("search", "demo_siamrpnpp_students", "--teacher", teacher)
    said = told(*words, "--workdir", "W")
    assert "Layer shrinkage needs plain convolutions" in said


def test_a_batch_that_the_devices_cannot_share_is_refused(told):
    assert jax.device_count() > 1
    words = ("train", "demo_siamrpnpp_teacher", "--workdir", "W", "--data.batch", "3")
    assert "batch=3" in told(*words)
