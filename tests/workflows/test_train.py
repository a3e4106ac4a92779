"""From a configuration to bundles: train, distil, interrupt, go on."""

import dataclasses
import functools
import io
import json
import re
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import load_bundle
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.distill import Setting
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.models import build as build_module
from dst_jax.models import forward, init_variables
from dst_jax.ops.anchors import assign, head_anchors
from dst_jax.ops.augment import AugmentConfig
from dst_jax.ops.kernels import Kernels, chosen_kernels
from dst_jax.train import (
    Deadline,
    LoopConfig,
    OptimConfig,
    TimeUp,
    check_batch,
    make_validate,
)
from dst_jax.workflows.export import export_run
from dst_jax.workflows.gates import gate_share
from dst_jax.workflows.train import print_trained, run_training
from tests import networks, objectives
from tests.distill import reference

pytestmark = pytest.mark.optax

CONSOLE = Console(quiet=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Plain training of the tiny teacher on six short synthetic videos."""
    folder = tmp_path_factory.mktemp("data") / "train"
    write_synthetic(
        folder, SyntheticConfig(videos=6, length=6, height=90, width=120), seed=0
    )
    return Experiment(
        students={"teacher": networks.TEACHER},
        data=DataConfig(
            sources=(f"got10k:{folder}",), batch=4, validation_share=0.34, threads=0
        ),
        augment=AugmentConfig(),
        **objectives.row(objectives.TINY, "NOKD")._asdict(),
        optim=OptimConfig(epochs=2.0, pairs_per_epoch=8, learning_rate=1e-2),
        loop=LoopConfig(log_every=1, checkpoint_every=1),
    )


@pytest.fixture(scope="module")
def teacher(plain, tmp_path_factory):
    """The bundle of a trained teacher and its run."""
    workdir = tmp_path_factory.mktemp("teacher")
    with jax.numpy_dtype_promotion("standard"):
        return run_training(plain, workdir, console=CONSOLE)


@pytest.fixture
def distilled(plain):
    """The configuration that distils one student."""
    return dataclasses.replace(
        plain,
        students={"dull": networks.STUDENTS["dull"]},
        **objectives.row(objectives.TINY, "TSKD")._asdict(),
    )


def test_a_run_leaves_bundles_metrics_and_its_configuration(plain, teacher):
    workdir = teacher.metrics.parent
    bundle = load_bundle(teacher.bundles["teacher"])
    assert bundle.spec == networks.TEACHER
    assert bundle.card["pairs_seen"] == 16
    assert bundle.card["weights"] == "last"
    best = load_bundle(workdir / "bundles" / "teacher-best")
    assert best.card["metrics"]["best_validation_loss"] > 0
    rows = [json.loads(line) for line in teacher.metrics.read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "val/teacher/gt" in row] == [2, 4]
    assert list((workdir / "tensorboard").iterdir())


def test_a_run_that_goes_on_with_other_kernels_says_so(plain, teacher, monkeypatch):
    def said():
        console = Console(file=io.StringIO(), width=300)
        run_training(plain, teacher.metrics.parent, console=console)
        return console.file.getvalue()

    assert "kernels" not in said()
    name = "dst_jax.workflows.run_inputs.kernels_for"
    monkeypatch.setattr(name, lambda *specs: Kernels("accelerator"))
    began = chosen_kernels().kind
    assert f"began with kernels of {began} and goes on with accelerator" in said()


def test_running_again_goes_on_to_the_same_weights(plain, distilled, teacher, tmp_path):
    path = teacher.bundles["teacher"]
    whole = run_training(distilled, tmp_path / "whole", teacher=path, console=CONSOLE)
    # A crash after step 3: its checkpoint is the newest, what follows never came.
    cut = shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for later in ("bundles", "checkpoints/4"):
        shutil.rmtree(cut / later)
    said = io.StringIO()
    console = Console(file=said, width=200)
    again = run_training(distilled, cut, teacher=path, console=console)
    assert "goes on at step 3 of 4" in said.getvalue()
    for kind in ("dull", "dull-best"):
        one, two = (
            load_bundle(run.metrics.parent / "bundles" / kind).weights_sha256
            for run in (whole, again)
        )
        assert one == two, kind


@pytest.fixture
def thawing(plain):
    """A run of two epochs of two steps; the middle stage thaws in the second."""
    optim = dataclasses.replace(
        plain.optim,
        momentum=0.9,
        parts=(("conv1", 0.0, 0.0), ("conv2", 0.1, 1.0)),
        on_thaw="reset",
        skip_above=1e4,
    )
    return dataclasses.replace(plain, optim=optim)


def test_a_run_that_is_stopped_before_a_thaw_goes_on_to_the_same_weights(
    thawing, teacher, tmp_path
):
    class Stop(Deadline):
        def is_near(self, *parts):
            return True

    kinds = {"backbones": {"teacher": teacher.bundles["teacher"]}, "console": CONSOLE}
    whole = run_training(thawing, tmp_path / "whole", **kinds)
    with pytest.raises(TimeUp, match="step 1 of 4"):
        run_training(thawing, tmp_path / "cut", deadline=Stop(60.0), **kinds)
    again = run_training(thawing, tmp_path / "cut", **kinds)
    one, two = (load_bundle(run.bundles["teacher"]) for run in (whole, again))
    assert one.weights_sha256 == two.weights_sha256
    start = load_bundle(teacher.bundles["teacher"]).variables
    for kind in ("params", "batch_stats"):
        before, after = (v[kind]["backbone"] for v in (start, one.variables))
        still, moving = (
            list(zip(*map(jax.tree.leaves, (before[n], after[n])), strict=True))
            for n in ("conv1", "conv2")
        )
        assert all(a.tobytes() == b.tobytes() for a, b in still)
        assert any((a != b).any() for a, b in moving)
    rows = [json.loads(line) for line in whole.metrics.read_text().splitlines()]
    assert [row["skipped"] for row in rows if "loss" in row] == [0.0] * 4
    assert "backbone" in json.loads((tmp_path / "cut" / "config.json").read_text())


def test_steps_that_were_left_out_are_told(thawing, tmp_path):
    optim = dataclasses.replace(thawing.optim, skip_above=1e-6)
    said = io.StringIO()
    trained = run_training(
        dataclasses.replace(thawing, optim=optim), tmp_path / "run", console=CONSOLE
    )
    print_trained(trained, Console(file=said, width=200))
    assert "4 of 4 steps changed nothing: their loss was not finite" in said.getvalue()


def test_a_part_that_names_nothing_is_told_before_data_are_read(
    plain, tmp_path, monkeypatch
):
    from dst_jax.workflows import run_inputs

    monkeypatch.setattr(run_inputs, "load_data", lambda *_: pytest.fail("read data"))
    optim = dataclasses.replace(plain.optim, parts=(("layer2", 0.1, 1.0),))
    with pytest.raises(InputError, match="student teacher: 'layer2' names no part"):
        run_training(
            dataclasses.replace(plain, optim=optim), tmp_path / "run", console=CONSOLE
        )
    assert not (tmp_path / "run").exists()


def finished(teacher, tmp_path):
    """A copy of the finished run, to be spoilt."""
    return shutil.copytree(teacher.metrics.parent, tmp_path / "copy")


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.name != ".lock"}


def test_a_finished_run_is_left_as_it_is(plain, teacher, tmp_path):
    folder = finished(teacher, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    before = contents(folder)
    trained = run_training(plain, folder, console=CONSOLE)
    assert trained.bundles == {"teacher": folder / "bundles" / "teacher"}
    assert contents(folder) == before
    bundle = folder / "bundles" / "teacher" / "weights.safetensors"
    assert bundle.stat().st_mtime_ns == times[bundle]


def test_a_finished_run_makes_again_what_it_has_lost(plain, teacher, tmp_path):
    folder = finished(teacher, tmp_path)
    before = contents(folder / "bundles")
    shutil.rmtree(folder / "bundles" / "teacher")
    path = folder / "bundles" / "teacher-best" / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (folder / "metrics.jsonl").unlink()
    run_training(plain, folder, verb="another", console=CONSOLE)
    assert contents(folder / "bundles") == before
    assert (folder / "metrics.jsonl").read_text() == ""


def test_a_lost_configuration_is_written_again_or_refused(plain, teacher, tmp_path):
    folder = finished(teacher, tmp_path)
    config = (folder / "config.json").read_bytes()
    (folder / "config.json").unlink()
    before = contents(folder)
    other = dataclasses.replace(plain, seed=1)
    told = r"is missing, and .* another configuration \(.*experiment\.seed: 1, was 0\)"
    with pytest.raises(InputError, match=told):
        run_training(other, folder, console=CONSOLE)
    assert contents(folder) == before
    run_training(plain, folder, console=CONSOLE)
    assert contents(folder) == {**before, folder / "config.json": config}


def test_a_run_that_is_stopped_has_bundles_of_its_last_checkpoint(
    plain, teacher, tmp_path
):
    steps = []

    class Stop(Deadline):
        def is_near(self, *parts):
            steps.append(parts)
            return len(steps) == 2

    folder = tmp_path / "run"
    with pytest.raises(TimeUp, match="step 2 of 4, which is saved"):
        run_training(plain, folder, deadline=Stop(60.0), console=CONSOLE)
    # The second step ends the first epoch, after which the third validates nothing.
    # The checkpoint of the first may still be in the making at the second.
    after = [set(parts) for parts in steps]
    assert after == [{"step", "checkpoint", "validation"}, {"step", "checkpoint"}]
    bundle = load_bundle(folder / "bundles" / "teacher")
    assert bundle.card["pairs_seen"] == 8 and bundle.card["weights"] == "last"
    best = load_bundle(folder / "bundles" / "teacher-best")
    assert best.card["metrics"]["best_validation_loss"] > 0
    run_training(plain, folder, console=CONSOLE)
    for kind in ("teacher", "teacher-best"):
        one, two = (
            load_bundle(run / "bundles" / kind).weights_sha256
            for run in (folder, teacher.metrics.parent)
        )
        assert one == two, kind


def test_a_time_that_is_over_begins_nothing(plain, tmp_path):
    with pytest.raises(TimeUp, match="before"):
        run_training(plain, tmp_path / "run", deadline=Deadline(0.0), console=CONSOLE)
    assert not (tmp_path / "run").exists()


def test_bundles_are_made_of_any_checkpoint_without_data(teacher, tmp_path):
    folder = finished(teacher, tmp_path)
    before = contents(folder / "bundles")
    shutil.rmtree(folder / "bundles")
    assert export_run(folder, console=CONSOLE) == {
        "teacher": folder / "bundles" / "teacher"
    }
    assert contents(folder / "bundles") == before
    export_run(folder, step=3, console=CONSOLE)
    older = load_bundle(folder / "bundles-3" / "teacher")
    assert older.card["pairs_seen"] == 12 and older.spec == networks.TEACHER
    newest = load_bundle(folder / "bundles" / "teacher")
    assert older.weights_sha256 != newest.weights_sha256
    with pytest.raises(InputError, match=r"no checkpoint of step 1; there is 3, 4"):
        export_run(folder, step=1, console=CONSOLE)
    with pytest.raises(InputError, match="holds no checkpoint"):
        export_run(tmp_path, console=CONSOLE)
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is not that of the checkpoint"):
        export_run(folder, console=CONSOLE)


def test_a_workdir_that_cannot_be_written_is_told_before_data_are_read(
    plain, tmp_path, monkeypatch
):
    from dst_jax.workflows import run_inputs

    (tmp_path / "file").write_text("")
    monkeypatch.setattr(run_inputs, "load_data", lambda *_: pytest.fail("read data"))
    with pytest.raises(InputError, match="is no folder"):
        run_training(plain, tmp_path / "file", console=CONSOLE)
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(InputError, match=r"0.00 MB are free .* needed"):
        run_training(plain, tmp_path / "run", console=CONSOLE)


def test_space_is_asked_for_all_checkpoints_that_will_stay(
    plain, teacher, tmp_path, monkeypatch
):
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    bundle = load_bundle(teacher.bundles["teacher"])
    # Last and best weights in float32; this optimizer holds next to nothing.
    each = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(bundle.variables)) / 1e6

    def needed(**loop):
        changed = dataclasses.replace(plain.loop, **loop)
        experiment = dataclasses.replace(plain, loop=changed)
        with pytest.raises(InputError) as told:
            run_training(experiment, tmp_path / "run", console=CONSOLE)
        return float(re.search(r"about ([0-9.]+) MB", str(told.value))[1])

    usual = needed(keep_last=2)
    assert usual == pytest.approx(4 * each, rel=0.02, abs=0.01)
    assert needed(keep_last=102) - usual == pytest.approx(100 * each, rel=0.02)
    # Four steps, each of which is saved: two of them for good, and one as the best.
    more = needed(keep_last=1, keep_every=2, keep_best=True) - usual
    assert more == pytest.approx(2 * each, rel=0.02, abs=0.01)


def test_a_full_disk_while_bundles_are_written_is_named(
    plain, teacher, tmp_path, monkeypatch
):
    from dst_jax import files

    folder = finished(teacher, tmp_path)
    shutil.rmtree(folder / "bundles")

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", full)
        with pytest.raises(OSError, match="No space") as told:
            run_training(plain, folder, console=CONSOLE)
    assert told.value.filename == str(folder / "bundles" / "teacher")
    run_training(plain, folder, console=CONSOLE)
    assert load_bundle(folder / "bundles" / "teacher").card["pairs_seen"] == 16


def test_leftovers_of_killed_runs_are_swept(plain, teacher, tmp_path):
    folder = finished(teacher, tmp_path)
    before = contents(folder)
    for name in (".tmp-0a1b2c3d-x", "bundles/.tmp-0a1b2c3d-x"):
        (folder / name).mkdir()
    (folder / "checkpoints" / "9.orbax-checkpoint-tmp-1").mkdir()
    run_training(plain, folder, console=CONSOLE)
    assert contents(folder) == before and not list(folder.rglob("*tmp-*"))


def test_another_configuration_may_not_use_the_workdir(plain, teacher):
    other = dataclasses.replace(plain, seed=1)
    with pytest.raises(InputError, match="another configuration"):
        run_training(other, teacher.metrics.parent, console=CONSOLE)


def test_distillation_without_a_teacher_is_refused_before_any_work(distilled, tmp_path):
    with pytest.raises(InputError, match="--teacher"):
        run_training(distilled, tmp_path / "run", console=CONSOLE)
    assert not (tmp_path / "run").exists()


@functools.partial(jax.jit, static_argnums=0)
def infer(spec, variables, *crops):
    return forward(build_module(spec), variables, *crops)


def test_validation_equals_plain_numpy_and_leaves_out_masked_pairs(teacher):
    spec = networks.TEACHER
    bundle = load_bundle(teacher.bundles["teacher"])
    rng = np.random.default_rng(0)
    batch = {
        "template_patch": rng.integers(0, 256, (3, 31, 31, 3), dtype=np.uint8),
        "search_patch": rng.integers(0, 256, (3, 47, 47, 3), dtype=np.uint8),
        "template_fill_rgb": np.zeros((3, 3), np.float32),
        "search_fill_rgb": np.zeros((3, 3), np.float32),
        "search_box": np.full((3, 4), 23.5, np.float32),
        "mask": np.array([1, 1, 0], np.float32),
        "is_negative": np.zeros(3, bool),
        "index": np.arange(3, dtype=np.int32),
    }
    validate = make_validate({"t": spec}, [batch], setting=objectives.TINY)
    found = validate({"t": bundle.variables})
    crops = (batch[f"{n}_patch"].astype(np.float32) for n in ("template", "search"))
    response = np.asarray(infer(spec, bundle.variables, *crops).answer.response[:2])
    response = response.astype(np.float64)
    labels = np.zeros((2, 5, 5), bool)
    labels[:, 2, 1:4] = labels[:, 1:4, 2] = True
    loss = np.logaddexp(0.0, np.where(labels, -response, response))
    expected = 0.5 * loss[labels].mean() + 0.5 * loss[~labels].mean()
    np.testing.assert_allclose(found["val/t/gt"], expected, rtol=1e-4)
    peaks = [np.unravel_index(r.argmax(), r.shape) for r in response]
    distance = np.mean([4.0 * np.hypot(y - 2, x - 2) for y, x in peaks])
    np.testing.assert_allclose(found["val/t/peak_px"], distance, rtol=1e-4)


def test_validation_of_a_region_head_equals_plain_numpy():
    spec = networks.REGION_TEACHER
    rng = np.random.default_rng(1)
    batch = {
        "template_patch": rng.integers(0, 256, (3, 31, 31, 3), dtype=np.uint8),
        "search_patch": rng.integers(0, 256, (3, 47, 47, 3), dtype=np.uint8),
        "template_fill_rgb": np.zeros((3, 3), np.float32),
        "search_fill_rgb": np.zeros((3, 3), np.float32),
        "search_box": np.tile(np.float32([23.5, 23.5, 16.0, 15.0]), (3, 1)),
        "mask": np.array([1, 0, 1], np.float32),
        "is_negative": np.zeros(3, bool),
        "index": np.arange(3, dtype=np.int32),
    }
    variables = init_variables(jax.random.key(3), spec)
    validate = make_validate({"t": spec}, [batch], setting=Setting())
    found = validate({"t": variables})
    crops = (batch[f"{n}_patch"].astype(np.float32) for n in ("template", "search"))
    output = infer(spec, variables, *crops)
    response, offsets = output.answer
    odds = np.asarray(response[..., 1] - response[..., 0])
    distances, overlaps = [], []
    for row in (0, 2):
        y, x, k = np.unravel_index(odds[row].argmax(), odds[row].shape)
        # Strides of 4 px, 16 px squared anchors of three shapes.
        width, height = [(20.0, 8.0), (16.0, 16.0), (8.0, 16.0)][k]
        dx, dy, dw, dh = np.asarray(offsets[row, y, x, k], np.float64)
        cx = 23.5 + 4.0 * (x - 2) + dx * width
        cy = 23.5 + 4.0 * (y - 2) + dy * height
        w, h = width * np.exp(dw), height * np.exp(dh)
        distances.append(np.hypot(cx - 23.5, cy - 23.5))
        across = min(cx + w / 2, 31.5) - max(cx - w / 2, 15.5)
        down = min(cy + h / 2, 31.0) - max(cy - h / 2, 16.0)
        common = max(across, 0.0) * max(down, 0.0)
        overlaps.append(common / (w * h + 240.0 - common))
    np.testing.assert_allclose(found["val/t/peak_px"], np.mean(distances), rtol=1e-4)
    np.testing.assert_allclose(found["val/t/iou"], np.mean(overlaps), rtol=1e-4)
    expected = region_loss(spec, output, batch["search_box"][0], kept=[0, 2])
    np.testing.assert_allclose(found["val/t/gt"], expected, rtol=1e-4)


def region_loss(spec, output, box, *, kept):
    """Eq. 5 of some examples on the anchors that each draws by its own number."""
    grid = head_anchors(spec.head, side=5, stride=4, search_px=47)
    choose = jax.jit(
        lambda row: assign(jax.random.fold_in(jax.random.key(0), row), grid, box)
    )
    rows = [choose(row) for row in kept]
    labels, deltas, weights = (np.stack(part) for part in zip(*rows, strict=True))
    response, offsets = (np.asarray(x, np.float64)[kept] for x in output.answer)
    boxes = reference.pair_mean(reference.smooth_l1(offsets, deltas), weights)
    return reference.anchor_cross_entropy(response, labels) + boxes


def test_the_share_of_open_gates_weighs_windows_by_their_steps(tmp_path):
    # The line of the steps before 9 is lost.
    rows = [
        {"step": 10, "steps": 1, "gate/dull": 1.0},
        {"step": 10, "val/dull/gt": 0.5},
        {"step": 12, "steps": 2, "gate/dull": 0.25},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert gate_share(path, "dull") == pytest.approx((1 + 2 * 0.25) / 3)
    assert gate_share(path, "other") is None
    path.write_text('{"step": 10, "gate/dull": 1.0}\n')
    with pytest.raises(InputError, match=r"metrics.jsonl: .* lacks its number of st"):
        gate_share(path, "dull")


def test_a_batch_that_does_not_divide_is_refused_with_those_that_do():
    with pytest.raises(InputError, match=r"batch=6 .*4 devices; use 4 or 8"):
        check_batch(6)
    check_batch(8)
