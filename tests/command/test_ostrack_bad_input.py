"""Bad input of OSTrack and LoReTrack gets one line and exit code 2, and leaves nothing.

A run that diverges stops too, and its folder holds what was finite.
"""

import dataclasses
import io
import json
import pathlib
import re

import jax
import numpy as np
import pytest
from rich.console import Console

from dst_jax.arch import named, spec_to_json
from dst_jax.bundle import Bundle, save_bundle
from dst_jax.configs import demo_ostrack_students
from dst_jax.models import init_variables
from dst_jax.track import OSTrackTracking
from dst_jax.workflows.training_data import load_data
from tests import networks
from tests.command import test_siamrpnpp_bad_input
from tests.command.test_main import run
from tests.convert import test_ostrack
from tests.data import small_packs

told = test_siamrpnpp_bad_input.told
SPEC = networks.ONE_STREAM_TEACHER
CONVERT = ("convert", "w.pth", "OUT")


def saved(folder, spec, variables=None):
    variables = variables or init_variables(jax.random.key(0), spec)
    return str(save_bundle(Bundle(spec, variables, OSTrackTracking(), {}), folder))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("bundle") / "teacher", SPEC)


def written(path, spec, part="head", **fields):
    """A file of an architecture, some of whose fields are others, unchecked."""
    values = spec_to_json(spec)
    values[part] |= fields
    path.write_text(json.dumps(values))
    return str(path)


@pytest.mark.parametrize(
    ("source", "state", "message"),
    [
        (
            "ostrack",
            test_ostrack.public,
            "backbone.pos_embed_z has 3 x 3 positions, of a template image of 24 px; "
            "the architecture has 4 x 4, of 32 px. Choose the architecture of the "
            "weights, or resize the positions (--resize-positions).",
        ),
        ("mae", lambda: test_ostrack.classifier(1024, 24), "width 1024 with 24 blocks"),
        (
            "ostrack",
            lambda: (
                test_ostrack.public() | {"backbone.cls_pos_embed": np.zeros((1, 1, 96))}
            ),
            "backbone.cls_pos_embed: networks with a class token or separate",
        ),
        (
            "ostrack",
            lambda: (
                test_ostrack.public()
                | {"backbone.template_segment_pos_embed": np.zeros((1, 1, 96))}
            ),
            "backbone.template_segment_pos_embed: networks with a class token or sep",
        ),
    ],
    ids=["size", "large", "class", "separate"],
)
def test_a_state_dict_that_does_not_fit_is_refused(
    told, tmp_path, source, state, message
):
    torch = pytest.importorskip("torch")
    tensors = {n: torch.from_numpy(np.array(a)) for n, a in state().items()}
    torch.save(tensors, "w.pth")
    words = ("--architecture", "mini-ostrack-64") if source == "ostrack" else ()
    assert message in told(*CONVERT, "--source", source, *words)


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        (
            "input",
            {"search_px": 34, "train_search_px": 34},
            "InputSpec.search_px: an image of 34 px does not consist of whole patches "
            "of 4 px; give a multiple of 4.",
        ),
        (
            "input",
            {"template_px": 12},
            "InputSpec.search_px=32: must be twice template_px=12, as in OSTrack.",
        ),
        (
            "backbone",
            {"eliminate": [[1, 0.0]]},
            "shares that are kept must be above 0, up to 1, so that a token is left",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(told, tmp_path, part, fields, message):
    assert message in told("info", written(tmp_path / "a.json", SPEC, part, **fields))


def distilling(tmp_path, spec, teacher, row):
    """The words of a command that trains two students."""
    students = []
    for name, one in (("px64", spec), ("px48", SPEC)):
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(spec_to_json(one)))
        students += ["--student", f"{name}={file}"]
    words = ("distill", "demo_ostrack_students", "--workdir", "W", "--row", row)
    return (*words, "--teacher", teacher, *students)


def deeper(blocks):
    backbone = dataclasses.replace(SPEC.backbone, depth=blocks)
    return dataclasses.replace(SPEC, backbone=backbone)


@pytest.mark.parametrize(
    ("spec", "row", "message"),
    [
        (
            networks.one_stream(48),
            "gt+qkv",
            "has 48 px, that of the teacher 32; a student",
        ),
        (networks.one_stream(16, factor=4.0), "gt+qkv", "shows 4 times the target's"),
        (
            networks.one_stream(16, width=24),
            "gt+qkv",
            "has 24 channels, the teacher's 12; give a student of the teacher's width, "
            "or Qkv.adapter=True.",
        ),
        (deeper(3), "gt+qkv", "the student has 3 blocks, the teacher 2, so that their"),
    ],
    ids=["larger", "factor", "width", "depth"],
)
def test_students_that_do_not_fit_are_refused(
    told, tmp_path, teacher, spec, row, message
):
    words = distilling(tmp_path, spec, teacher, row)
    said = told(*words)
    assert message in said and "px64" in said


SHARING = """
import dataclasses

from dst_jax.configs import demo_ostrack_students
from dst_jax.distill import DistillConfig, Sharing, Task


def experiment():
    base = demo_ostrack_students.experiment()
    distill = DistillConfig({"gt": Task(), "ks": Sharing()})
    return dataclasses.replace(base, distill=distill)
"""


def test_students_share_among_equal_grids_alone(told, tmp_path, teacher):
    (tmp_path / "sharing.py").write_text(SHARING)
    words = list(distilling(tmp_path, networks.one_stream(16), teacher, "unused"))
    words[1:6] = ["sharing.py", "--workdir", "W"]
    said = told(*words)
    assert "term ks: the student answers on 4 cells of 4 px" in said
    assert "crops must be of one size, only widths may differ." in said


def test_settings_of_another_family_are_refused(told, tmp_path):
    bundle = saved(tmp_path / "mixed", named("tiny-siamrpn"))
    small_packs.write_raw(tmp_path / "raw")
    video = str(next((tmp_path / "raw").glob("*/")))
    words = ("track", "--tracker", bundle, "--video", video, "--box", "9,9,20,20")
    said = told(*words, "--out", "o.txt")
    assert "tracking settings OSTrackTracking: this tracker's head answers" in said


def test_a_box_of_less_than_a_pixel_is_refused(told, teacher):
    words = ("track", "--tracker", teacher, "--video", "v", "--out", "o.txt", "--box")
    for box in ("10,20,0.5,8", "10,20,8,0.999"):
        said = told(*words, box)
        assert f"--box '{box}': all four must be finite" in said
        assert "width and height at least 1 pixel" in said


def smaller(source, rows):
    """Makes boxes of half a pixel of the first frames of every video of a source."""
    for file in pathlib.Path(source.removeprefix("got10k:")).glob("*/groundtruth.txt"):
        lines = file.read_text().splitlines()
        lines[:rows] = ["9,9,0.5,30"] * len(lines[:rows])
        file.write_text("\n".join(lines))


def test_training_boxes_of_less_than_a_pixel_are_left_out_and_counted(tmp_path):
    source = small_packs.write_raw(tmp_path / "raw")
    smaller(source, rows=2)
    base = demo_ostrack_students.experiment()
    data = dataclasses.replace(base.data, sources=(source,))
    console = Console(file=io.StringIO(), width=200)
    split = load_data(dataclasses.replace(base, data=data), console)
    said = console.file.getvalue()
    # Five videos of six frames.
    assert "left out 10 frames in 5: area below 20 px^2" in said
    for sequence in (*split[0], *split[1]):
        assert not sequence.visible[:2].any()


def test_a_data_set_of_boxes_of_less_than_a_pixel_is_refused(told, tmp_path, teacher):
    source = small_packs.write_raw(tmp_path / "raw")
    smaller(source, rows=6)
    words = distilling(tmp_path, networks.one_stream(16), teacher, "gt+qkv")
    said = told(*words, "--data.sources", source)
    assert f"{source} has no box fit for training; use another set." in said


@pytest.mark.optax
def test_a_box_that_is_no_number_stops_the_run_at_its_step(
    tmp_path, capsys, monkeypatch, teacher
):
    monkeypatch.chdir(tmp_path)
    source = small_packs.write_raw(tmp_path / "raw")
    variables = jax.tree.map(np.array, init_variables(jax.random.key(0), SPEC))
    # Offsets that are finite, of boxes so large that the hull has no area in float32.
    variables["params"]["head"]["offset"]["read"]["bias"][:] = 3e38
    start = saved(tmp_path / "far", SPEC, variables)
    words = distilling(tmp_path, SPEC, teacher, "gt+qkv")
    words = (*words, "--init", f"px64={start}", "--data.sources", source)
    data = ("--data.batch", "4", "--data.threads", "0", "--data.validation-share")
    steps = ("0.34", "--optim.epochs", "1", "--optim.pairs-per-epoch", "8")
    steps = (*steps, "--optim.hold-epochs", "0.5")
    code, out, err = run(capsys, *words, *data, *steps)
    assert code == 2, out + err
    assert len(err.strip().splitlines()) == 1, err
    # Two steps are taken before the first report.
    assert re.search(r": loss is nan at step 1; nothing was saved yet", err), err
