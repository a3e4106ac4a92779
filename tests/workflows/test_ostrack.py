"""A miniature OSTrack from video to boxes: trained, distilled to two sizes, tracked."""

import dataclasses
import io
import json
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig, write_synthetic
from dst_jax.data.windows import WindowConfig
from dst_jax.distill import Disc, DistillConfig, Qkv, Task
from dst_jax.errors import InputError
from dst_jax.experiment import Experiment
from dst_jax.models import init_variables
from dst_jax.ops.augment import AugmentConfig
from dst_jax.ops.kernels import VARIABLE, kernels_for
from dst_jax.track import OSTrackTracking, SiamRPNTracking
from dst_jax.train import LoopConfig, OptimConfig
from dst_jax.workflows import run_parts
from dst_jax.workflows.evaluation import evaluate_bundle, read_videos
from dst_jax.workflows.pack import PackConfig, pack_data
from dst_jax.workflows.run_inputs import read_networks
from dst_jax.workflows.train import run_training
from tests import networks

pytestmark = pytest.mark.optax
TEACHER, STUDENTS = networks.ONE_STREAM_TEACHER, networks.ONE_STREAM_STUDENTS
KD = DistillConfig({"gt": Task(), "qkv": Qkv(), "disc": Disc()})
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Video and an untrained teacher."""
    folder = tmp_path_factory.mktemp("ostrack")
    video = SyntheticConfig(videos=4, length=5, height=90, width=120)
    write_synthetic(folder / "data", video, seed=0)
    variables = init_variables(jax.random.key(1), TEACHER)
    save_bundle(Bundle(TEACHER, variables, OSTrackTracking(), {}), folder / "teacher")
    return folder


def experiment_of(source, students=STUDENTS, distill=KD, steps=6):
    return Experiment(
        students=students,
        data=DataConfig(
            (source,),
            batch=4,
            validation_share=0.3,
            threads=0,
            max_gap=199,
            order="causal",
            windows=WindowConfig(),
        ),
        augment=AugmentConfig(
            stretch=0.0,
            search_shift_px=0.0,
            flip=0.5,
            flip_each=0.5,
            grey=0.05,
            brightness=0.2,
        ),
        distill=distill,
        optim=OptimConfig(
            epochs=steps / 4,
            hold_epochs=0.25,
            fall="step",
            pairs_per_epoch=16,
            method="adamw",
            learning_rate=4e-4,
            final_learning_rate=4e-5,
            weight_decay=1e-4,
            clip_norm=0.1,
            parts=(("backbone", 0.1, 0.0),),
        ),
        loop=LoopConfig(log_every=2, checkpoint_every=3),
        tracking=OSTrackTracking(),
    )


def with_students(experiment, **students):
    return dataclasses.replace(experiment, students=students)


def run(experiment, folder, workdir, *, teacher="teacher", **rest):
    """A run and what it said."""
    console = Console(file=io.StringIO(), width=300)
    with jax.numpy_dtype_promotion("standard"):
        run_training(
            experiment,
            folder / workdir,
            teacher=folder / teacher,
            console=console,
            **rest,
        )
    return folder / workdir, console.file.getvalue()


@pytest.fixture(scope="module")
def experiment(folder):
    return experiment_of(f"got10k:{folder / 'data'}")


@pytest.fixture(scope="module")
def trained(folder, experiment):
    return run(experiment, folder, "kd")


def rows(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return list(map(json.loads, lines))


def test_two_students_of_other_sizes_learn_under_one_teacher(trained):
    reports = [row for row in rows(trained[0]) if "loss" in row]
    assert [row["step"] for row in reports] == [2, 4, 6]
    for row in reports:
        for name in STUDENTS:
            for term in KD.terms:
                assert row[f"loss/{name}/{term}"] > 0.0
            assert 0.0 <= row[f"disc_salient/{name}"] <= 1.0
            # Windows of factor 5 and their spread: a box has a few hundredths.
            assert 0.001 < row[f"disc_area/{name}"] < 0.3
        assert row["narrowed"] == 0.0 and 0.0 <= row["redrawn"] <= 0.5
        parts = [v for n, v in row.items() if n.startswith("loss/")]
        assert row["loss"] == pytest.approx(sum(parts), rel=1e-5)


def test_a_run_asks_for_the_kernels_of_a_transformer(folder, experiment, monkeypatch):
    class Asked(Exception):
        pass

    def ask(step, *, kernels):
        raise Asked(kernels.kind)

    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(run_parts, "data_parallel", ask)
    with pytest.raises(Asked, match=f"^{kernels_for(TEACHER).kind}$"):
        run(experiment, folder, "asked")


def test_each_is_validated_at_its_own_size(trained):
    (last,) = [row for row in rows(trained[0]) if "val/dull/iou" in row][-1:]
    for name in (*STUDENTS, "teacher"):
        assert 0.0 <= last[f"val/{name}/iou"] <= 1.0
        assert last[f"val/{name}/gt"] > 0.0
    # Distances count pixels of the network's own image, of 16 and 32 px.
    assert last["val/dull/peak_px"] < 16.0


@pytest.mark.slow
def test_a_student_trained_alone_ends_where_it_does_beside_another(
    trained, folder, experiment
):
    alone = dataclasses.replace(experiment, students={"dull": STUDENTS["dull"]})
    workdir, _ = run(alone, folder, "alone")
    one, two = (
        load_bundle(place / "bundles" / "dull").variables
        for place in (trained[0], workdir)
    )
    for ours, theirs in zip(*map(jax.tree.leaves, (one, two)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_bit_for_bit_the_same(trained, folder, experiment):
    optim = dataclasses.replace(experiment.optim, epochs=6 / 4)
    again = dataclasses.replace(experiment, optim=optim)
    workdir, _ = run(again, folder, "again")
    kept = sorted((workdir / "checkpoints").iterdir())
    assert len(kept) > 1
    # The run goes on from the checkpoint before the last.
    shutil.rmtree(kept[-1])
    shutil.rmtree(workdir / "bundles")
    run(again, folder, "again")
    for name in STUDENTS:
        paths = [place / "bundles" / name for place in (trained[0], workdir)]
        one, two = ((p / "weights.safetensors").read_bytes() for p in paths)
        assert one == two, name


def test_a_finished_student_tracks_a_video(trained, folder):
    videos = read_videos(f"got10k:{folder / 'data'}")[:1]
    bundle = load_bundle(trained[0] / "bundles" / "dull")
    assert bundle.spec == STUDENTS["dull"] and bundle.tracking == OSTrackTracking()
    found = evaluate_bundle(bundle, videos, name="dull", console=QUIET)
    (boxes,) = found.boxes.values()
    assert boxes.shape == (5, 4) and np.isfinite(boxes).all()


@pytest.mark.slow
def test_a_pack_serves_windows_and_counts_those_that_it_narrows(folder, experiment):
    config = PackConfig(encoding="raw", workers=1)
    largest = with_students(experiment, teacher=TEACHER)
    pack_data(largest, folder / "pack", config=config, console=QUIET)
    packed = experiment_of(f"packed:{folder / 'pack'}", steps=2)
    wide = dataclasses.replace(packed.data, windows=WindowConfig(scale=1.0))
    workdir, _ = run(dataclasses.replace(packed, data=wide), folder, "packed")
    (row,) = [row for row in rows(workdir) if "loss" in row]
    assert 0.0 < row["narrowed"] < 1.0 and np.isfinite(row["loss"])


CONFIG = """
from tests.workflows import test_ostrack


def experiment():
    return test_ostrack.PROBED
"""


@pytest.mark.slow
def test_a_probe_says_how_much_stands_out(folder, experiment, capsys, monkeypatch):
    monkeypatch.setitem(globals(), "PROBED", experiment)
    (folder / "config.py").write_text(CONFIG)
    words = [str(folder / "config.py"), "--teacher", str(folder / "teacher")]
    workdir = ["--workdir", str(folder / "probed")]
    assert main(["distill", *words, *workdir, "--probe"]) == 0
    said = capsys.readouterr().out
    assert "of the teacher's cells stand out; the target has" in said
    assert "(--distill.disc.threshold)" in said


def refusal(experiment, folder, teacher="teacher"):
    with pytest.raises(InputError) as refused:
        read_networks(experiment, folder / teacher, {}, {})
    return str(refused.value)


def test_what_does_not_fit_is_told_before_data_are_read(folder, experiment):
    larger = with_students(experiment, large=networks.one_stream(48))
    assert "has 48 px, that of the teacher 32; a student" in refusal(larger, folder)
    other = with_students(experiment, near=networks.one_stream(16, factor=4.0))
    assert "shows 4 times the target's size" in refusal(other, folder)
    wide = with_students(experiment, wide=networks.one_stream(16, width=24))
    assert "has 24 channels, the teacher's 12" in refusal(wide, folder)


def test_windows_must_be_given_and_stand_alone(folder, experiment):
    data = dataclasses.replace(experiment.data, windows=None)
    message = refusal(dataclasses.replace(experiment, data=data), folder)
    assert message.startswith("DataConfig.windows: OSTrack is trained on windows")
    augment = dataclasses.replace(experiment.augment, search_shift_px=3.0)
    message = refusal(dataclasses.replace(experiment, augment=augment), folder)
    assert "must be 0 where the host draws windows" in message


def test_windows_are_refused_for_networks_with_context(experiment):
    plain = DistillConfig({"gt": Task()})
    chains = dataclasses.replace(
        experiment,
        students=networks.REGION_STUDENTS,
        distill=plain,
        tracking=SiamRPNTracking(),
        optim=dataclasses.replace(experiment.optim, parts=()),
    )
    with pytest.raises(InputError, match=r"windows is for networks whose crops"):
        read_networks(chains, None, {}, {})
