"""Bad input of SiamDW and DLF gets one line and exit code 2, and leaves nothing behind.

`--tune` on videos that are evaluated too is in tests/workflows/test_tune.py.
"""

import dataclasses
import json
import re

import cv2
import jax
import numpy as np
import pytest

from dst_jax.arch import InputSpec, named, spec_to_json
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.models import init_variables
from dst_jax.track import default_tracking
from tests import networks
from tests.command import test_siamrpnpp_bad_input
from tests.command.test_main import run
from tests.convert import test_siamdw
from tests.data import small_packs
from tests.data.readers import test_coco

told = test_siamrpnpp_bad_input.told
SPEC = named("tiny-siamdw")


def saved(folder, spec, variables=None):
    variables = variables or init_variables(jax.random.key(0), spec)
    return str(save_bundle(Bundle(spec, variables, default_tracking(spec), {}), folder))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("bundle") / "teacher", SPEC)


def distilling(tmp_path, spec, teacher, row, *more):
    """The words of a command that trains two students of one architecture."""
    file = tmp_path / "student.json"
    file.write_text(json.dumps(spec_to_json(spec)))
    students = [word for name in "ls" for word in ("--student", f"{name}={file}")]
    words = ("distill", "demo_siamdw_students", "--workdir", "W", "--row", row)
    return (*words, "--teacher", teacher, *students, *more)


def test_point_is_refused_without_a_common_grid(told, tmp_path, teacher):
    smaller = dataclasses.replace(SPEC, input=InputSpec(79, 111, train_search_px=95))
    said = told(*distilling(tmp_path, smaller, teacher, "gt+point"))
    assert (
        "student l, term point: the student's search map of layer2 has 7 cells of 8 px "
        "in 95 px, the teacher's of layer2 has 9 of 8 in 111; name layers on a common "
        "grid, or give resize=True."
    ) in said


def test_a_layer_that_one_side_lacks_is_named(told, tmp_path, teacher):
    words = distilling(tmp_path, SPEC, teacher, "gt+point+pair")
    for term in ("point", "pair"):
        said = told(*words, f"--distill.{term}.layers", "layer3")
        assert f"student l, term {term}: " in said and "layer3" in said
        assert "conv1, layer1, layer2" in said


def test_pairs_of_one_cell_are_refused(told, tmp_path):
    # 47 px: 24 cells, 20, 10 behind the stem; 8 | 6, 3, 1.
    small = dataclasses.replace(SPEC, input=InputSpec(47, 111, train_search_px=111))
    teacher = saved(tmp_path / "teacher", small)
    said = told(*distilling(tmp_path, small, teacher, "gt+pair"))
    assert (
        "term pair: the teacher's template map of layer2 has one cell, and so no pair "
        "of cells; name another layer or other images."
    ) in said


def test_an_adapter_in_a_bundle_is_refused(told, tmp_path, teacher, monkeypatch):
    variables = init_variables(jax.random.key(0), SPEC)
    kernel = np.zeros((1, 1, 12, 12), np.float32)
    variables["params"]["adapters"] = {"point": {"layer2": {"kernel": kernel}}}
    with monkeypatch.context() as unchecked:
        unchecked.setattr("dst_jax.bundle.check_weights", lambda *given: None)
        bundle = saved(tmp_path / "adapted", SPEC, variables)
    said = told("info", bundle)
    assert "adapters/point/layer2/kernel" in said


def files():
    """State dicts of SiamDW's repository that no network here can take."""
    return {
        "Incep22": test_siamdw.incep(),
        "NeXt22": {"features.features.conv0.weight": np.zeros((1, 1, 1, 1))},
        "ResNet22W": test_siamdw.wide(),
        "5 class outputs": test_siamdw.one_output(),
    }


@pytest.mark.parametrize("which", ["Incep22", "NeXt22", "ResNet22W", "5 class outputs"])
def test_weights_of_its_other_networks_are_told_apart(told, which):
    torch = pytest.importorskip("torch")
    state = files()[which]
    torch.save({k: torch.from_numpy(np.array(v)) for k, v in state.items()}, "w.pth")
    said = told("convert", "--source", "siamdw", "w.pth", "OUT")
    assert "w.pth" in said and which in said


def test_a_pack_of_narrower_windows_is_refused(told, tmp_path):
    raw = small_packs.write_raw(tmp_path / "raw")
    pack = small_packs.pack(raw, tmp_path / "pack")
    said = told("train", "siamdw_teacher", "--workdir", "W", "--data.sources", pack)
    assert f"{pack} serves " in said and "; this training needs " in said


def test_empty_boxes_are_left_out_and_counted(tmp_path, capsys):
    boxes = [
        test_coco.annotation(number, [0, 0, 10 * (number % 3), 15])
        for number in range(1, 10)
    ]
    test_coco.write(tmp_path, boxes)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "images" / "07.png"), image)
    code, out, err = run(capsys, "data", "verify", f"coco:{tmp_path}")
    assert code == 0, out + err
    # Of nine boxes every third has no width.
    assert re.search(r"note +box without area +3 +1 ", out)
    assert "6 sequences" in out


def test_a_teacher_without_features_is_warned_of_and_changes_nothing_to_nan(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    source = small_packs.write_raw(tmp_path / "raw")
    variables = jax.tree.map(np.asarray, networks.teacher_variables())
    last = variables["params"]["backbone"]["conv3"]
    last["conv"] = jax.tree.map(np.zeros_like, last["conv"])
    teacher = saved(tmp_path / "zeros", networks.TEACHER, variables)
    words = distilling(tmp_path, networks.STUDENTS["dull"], teacher, "gt+point+pair")
    data = ("--data.sources", source, "--data.batch", "4", "--data.threads", "0")
    data = (*data, "--data.validation-share", "0.34")
    steps = ("--optim.epochs", "1", "--optim.pairs-per-epoch", "8")
    code, out, err = run(capsys, *words, *data, *steps)
    assert code == 0, err
    for term in ("point", "pair"):
        line = f"student l, term {term}: the teacher's features are all zero in 100%"
        assert line in " ".join(out.split())
    last = json.loads((tmp_path / "W" / "metrics.jsonl").read_text().splitlines()[-1])
    assert all(np.isfinite(value) for value in last.values())
