"""The whole demonstration, with networks and videos of a few pixels."""

import dataclasses
import io
import json
import shutil

import pytest
from rich.console import Console

from dst_jax.arch import spec_from_json
from dst_jax.bundle import load_bundle
from dst_jax.data.pipeline import DataConfig
from dst_jax.data.synthetic.dataset import SyntheticConfig
from dst_jax.distill import with_row
from dst_jax.experiment import Experiment
from dst_jax.ops.augment import AugmentConfig
from dst_jax.search import SearchConfig
from dst_jax.train import LoopConfig, OptimConfig
from dst_jax.workflows import demo
from tests import networks, objectives
from tests.workflows import test_ostrack

pytestmark = [pytest.mark.optax, pytest.mark.slow]

SMALL = SyntheticConfig(videos=6, length=6, height=90, width=120)
TRACKERS = [
    "teacher",
    *(f"{name} {row}" for name in networks.STUDENTS for row in demo.ROWS),
    demo.STILL,
]


def experiments():
    """Two steps of the tiny teacher, two of its students."""
    teacher = Experiment(
        students={"teacher": networks.TEACHER},
        data=DataConfig(
            sources=("replaced:",), batch=4, validation_share=0.34, threads=0
        ),
        augment=AugmentConfig(),
        **objectives.row(objectives.TINY, "NOKD")._asdict(),
        optim=OptimConfig(epochs=1.0, pairs_per_epoch=8, learning_rate=1e-2),
        loop=LoopConfig(log_every=1),
    )
    search = SearchConfig(
        steps=2,
        candidates=2,
        pairs=4,
        epochs=1.0,
        batch=2,
        validation_pairs=4,
        min_width=2,
    )
    students = dataclasses.replace(
        teacher,
        students=dict(networks.STUDENTS),
        distill=objectives.TINY.distill,
        search=search,
    )
    return teacher, students


def run(workdir):
    """The rows and what was printed."""
    printed = io.StringIO()
    console = Console(file=printed, width=80)
    rows = demo.run_demo(*experiments(), workdir=workdir, seed=3, console=console)
    return rows, printed.getvalue()


def bundles(workdir):
    found = sorted(workdir.glob("**/spec.json"))
    return {str(p.parent): load_bundle(p.parent).weights_sha256 for p in found}


def check_lines(teacher, *others):
    """Every student's line, and that of the box that never moves."""
    *students, still = others
    assert teacher.compression == 1.0 and still.parameters == 0
    for row in students:
        assert row.compression == teacher.parameters / row.parameters
        assert row.compression > 1.0 and row.fps > 0.0
        assert 0.0 <= row.success_auc <= 20 / 21
        assert (row.gate_open is None) != row.tracker.endswith("TSsKD")


def check_verdict(told, differences):
    """What is said in words has the numbers of report.json."""
    assert "The teacher's AUC is" in told
    for name in networks.STUDENTS:
        mean = differences[f"{name} TSKD - {name} NOKD"]["mean"]
        said = told.split(f"{name}, ")[-1]
        assert f"without (NOKD): {mean:+.3f} (" in said


def test_the_demonstration_reports_every_tracker_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "TRAIN_VIDEOS", SMALL)
    monkeypatch.setattr(demo, "TEST_VIDEOS", dataclasses.replace(SMALL, videos=2))
    rows, printed = run(tmp_path)
    assert [row.tracker for row in rows] == TRACKERS
    headings = ("tracker", "params", "MB", "ratio", "MMACs", "AUC", "P@20", "fps")
    (line,) = (line for line in printed.splitlines() if "params" in line)
    assert line.split() == [*headings, "gate"]
    for name in TRACKERS:
        assert f" {name} " in printed
    check_lines(*rows)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["tracker"] for row in report["rows"]] == TRACKERS
    check_verdict(" ".join(printed.split()), report["differences"])
    # The dull student is the network that the search has found.
    found = json.loads((tmp_path / "search" / "student.json").read_text())
    duller = [load_bundle(tmp_path / r.lower() / "bundles/dull") for r in demo.ROWS]
    assert {bundle.spec for bundle in duller} == {spec_from_json(found)}
    html = (tmp_path / "report.html").read_text()
    assert html.rstrip().endswith("</html>") and "http://" not in html.split("<svg")[0]

    # As if it had stopped within the last stage: the others are kept as they are.
    before = bundles(tmp_path)
    metrics = sorted(tmp_path.glob("*/metrics.jsonl"), key=lambda p: p.stat().st_mtime)
    kept = {path: path.stat().st_mtime_ns for path in metrics[:-1]}
    shutil.rmtree(metrics[-1].parent)
    again, _ = run(tmp_path)
    assert bundles(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    scores = [
        [(r.tracker, r.success_auc, r.gate_open) for r in x] for x in (rows, again)
    ]
    assert scores[0] == scores[1]


def test_rows_of_features_are_trained_in_place_of_sharing(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "TRAIN_VIDEOS", SMALL)
    monkeypatch.setattr(demo, "TEST_VIDEOS", dataclasses.replace(SMALL, videos=2))
    teacher, students = experiments()
    own = dict(zip(("l", "s"), networks.STUDENTS.values(), strict=True))
    students = dataclasses.replace(students, students=own)
    rows = demo.run_demo(
        teacher,
        students,
        workdir=tmp_path,
        seed=3,
        trainings=demo.ROWS_OF_FAMILY["siamdw"],
        rates={"NOKD": 0.02},
        console=Console(file=io.StringIO(), width=80),
    )
    trained = [f"{name} {row}" for name in own for row in ("NOKD", "DLF")]
    assert [row.tracker for row in rows] == ["teacher", *trained, demo.STILL]
    metrics = (tmp_path / "dlf" / "metrics.jsonl").read_text()
    assert '"loss/l/point"' in metrics and '"loss/s/pair"' in metrics
    html = (tmp_path / "report.html").read_text()
    assert "imitating the teacher" in html and "Point (DLF)" in html
    made = [
        json.loads((tmp_path / row / "config.json").read_text())["experiment"]
        for row in ("nokd", "dlf")
    ]
    assert [one["optim"]["learning_rate"] for one in made] == [0.02, 0.01]
    assert "of their own (NOKD 0.02, DLF 0.01)" in html
    assert "TSsKD" not in html.split("<svg")[0]


def test_students_that_are_chosen_by_hand_are_not_searched(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "TRAIN_VIDEOS", SMALL)
    monkeypatch.setattr(demo, "TEST_VIDEOS", dataclasses.replace(SMALL, videos=2))
    teacher, students = experiments()
    own = dict(zip(("r50", "r18"), networks.STUDENTS.values(), strict=True))
    students = dataclasses.replace(students, students=own)
    console = Console(file=io.StringIO(), width=80)
    rows = demo.run_demo(teacher, students, workdir=tmp_path, seed=3, console=console)
    expected = [f"{name} {row}" for name in own for row in demo.ROWS]
    assert [row.tracker for row in rows] == ["teacher", *expected, demo.STILL]
    assert not (tmp_path / "search").exists()
    html = (tmp_path / "report.html").read_text()
    assert "chosen by hand" in html and "r18 TSsKD has an AUC of" in html
    assert "policy searched" not in html


@pytest.mark.slow
def test_students_of_lower_resolution_learn_from_tokens(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "TRAIN_VIDEOS", SMALL)
    monkeypatch.setattr(demo, "TEST_VIDEOS", dataclasses.replace(SMALL, videos=2))
    # None may be called dull, whose architecture would be searched.
    own = {"px16": networks.one_stream(16), "px24": networks.one_stream(24)}
    students = test_ostrack.experiment_of("got10k:x", own, steps=2)
    teacher = dataclasses.replace(
        students,
        students={"teacher": networks.ONE_STREAM_TEACHER},
        distill=with_row(students.distill, "NOKD"),
    )
    rows = demo.run_demo(
        teacher,
        students,
        workdir=tmp_path,
        seed=3,
        trainings=demo.ROWS_OF_FAMILY["ostrack"],
        console=Console(file=io.StringIO(), width=80),
    )
    trained = [f"{name} {row}" for name in own for row in ("NOKD", "LoReTrack")]
    assert [row.tracker for row in rows] == ["teacher", *trained, demo.STILL]
    html = (tmp_path / "report.html").read_text()
    assert "the same network on smaller images" in html and "Disc (LoReTrack)" in html
    # 64 + 16 tokens cost four times as much as 16 + 4, and more in attention.
    assert "px16, 4.0 times fewer multiply-adds" in html
