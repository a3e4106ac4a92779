"""Evaluation from files on disk: made-up ones, and real ones where they are."""

import dataclasses
import io
import json

import cv2
import jax
import numpy as np
import pytest
from rich.console import Console

from dst_jax.arch import named
from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.data.frames import read_frame
from dst_jax.data.readers import read_sequences
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.evaluate.results import read_boxes
from dst_jax.models import init_variables
from dst_jax.track import SiamFCTracking, Tracker, TrackResult, make_tracker
from dst_jax.workflows.evaluate import evaluate_results, evaluate_trackers
from dst_jax.workflows.evaluation import run_tracker
from dst_jax.workflows.publishing import Outputs

TRUTH = "11,21,20,10\n13,21,20,10\n15,21,20,10\n17,21,20,10\n"
STILL = "11,21,20,10\n" * 4

# AUC and precision at 20 px of the public siamfc-pytorch tracker on 13 OTB targets.
PUBLISHED = {
    "Crossing": (0.765, 1.000),
    "Dancer2": (0.780, 1.000),
    "Deer": (0.693, 0.958),
    "Dog": (0.427, 0.992),
    "Girl": (0.687, 0.968),
    "Human7": (0.766, 1.000),
    "Jogging-1": (0.708, 0.974),
    "Jogging-2": (0.119, 0.147),
    "Jumping": (0.633, 0.901),
    "MountainBike": (0.650, 0.996),
    "Skiing": (0.098, 0.160),
    "Surfer": (0.674, 0.987),
    "Woman": (0.121, 0.194),
}


@pytest.fixture
def dataset(tmp_path):
    """Two OTB sequences without a single frame."""
    for name, text in {"Dog": TRUTH, "Human4-2": TRUTH.replace(",", "\t")}.items():
        (tmp_path / "otb" / name).mkdir(parents=True)
        (tmp_path / "otb" / name / "groundtruth_rect.txt").write_text(text)
    return f"otb:{tmp_path / 'otb'}"


def folder(tmp_path, **files):
    made = tmp_path / "still"
    made.mkdir()
    for name, text in files.items():
        (made / f"{name.replace('_', '-')}.txt").write_text(text)
    return made


def test_a_tracker_that_never_moves_scores_what_the_hand_computes(tmp_path, dataset):
    made = folder(tmp_path, Dog=STILL, Human4_2=TRUTH, Other=STILL)
    report = tmp_path / "new" / "folder" / "r.json"
    evaluation = evaluate_results(dataset, made, outputs=Outputs(json=report))
    # Overlaps of Dog: 1, 18/22, 16/24, 14/26 exceed 20, 17, 14, 11 thresholds of 21.
    dog = (20 + 17 + 14 + 11) / 21 / 4
    written = json.loads(report.read_text())
    still = written["trackers"]["still"]
    assert still["sequences"]["Dog"]["success_auc"] == pytest.approx(dog, rel=1e-12)
    assert still["success_auc"] == pytest.approx((dog + 20 / 21) / 2, rel=1e-12)
    assert (still["precision_20"], still["op_50"]) == (1.0, 1.0)
    assert written["dataset"] == dataset
    assert evaluation.ignored == ("Other.txt",)


def test_the_origin_of_the_files_can_be_stated(tmp_path, dataset):
    zero = "\n".join(
        ",".join(str(int(v) - (i < 2)) for i, v in enumerate(line.split(",")))
        for line in TRUTH.split()
    )
    made = folder(tmp_path, Dog=zero, Human4_2=zero)
    right = evaluate_results(dataset, made, origin=0).scores["still"]
    wrong = evaluate_results(dataset, made).scores["still"]
    assert right.values["success_auc"] == pytest.approx(20 / 21)
    assert wrong.values["success_auc"] < 0.9


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"Dog": STILL}, "no result for sequence Human4-2"),
        ({"Dog": STILL, "human4_2": STILL}, r"did you mean human4-2\?"),
        ({"Dog": STILL[:30], "Human4_2": STILL}, r"Dog\.txt"),
        ({"Dog": STILL + STILL, "Human4_2": STILL}, r"Dog\.txt goes on at line 5"),
        ({"Dog": STILL.replace("20", "nan"), "Human4_2": STILL}, r"Dog\.txt line 1"),
    ],
)
def test_bad_results_are_refused_and_nothing_is_written(
    tmp_path, dataset, files, message
):
    made = folder(tmp_path, **files)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        evaluate_results(dataset, made, outputs=Outputs(json=tmp_path / "r.json"))
    assert sorted(tmp_path.iterdir()) == before


def test_an_origin_other_than_0_and_1_is_refused(tmp_path, dataset):
    with pytest.raises(InputError, match="results origin 2: must be 0 or 1"):
        evaluate_results(dataset, tmp_path, origin=2)


def test_single_images_are_no_video_to_evaluate_on(tmp_path):
    with pytest.raises(InputError, match="single images"):
        evaluate_results("coco:x", tmp_path)
    (tmp_path / "Dog" / "img").mkdir(parents=True)
    blank = np.zeros((40, 60, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "Dog" / "img" / "0001.jpg"), blank)
    (tmp_path / "Dog" / "groundtruth_rect.txt").write_text("11,21,20,10\n")
    (tmp_path / "Dog.txt").write_text("11,21,20,10\n")
    with pytest.raises(InputError, match="single images"):
        evaluate_results(f"otb:{tmp_path}", tmp_path)


@pytest.mark.real
def test_public_siamfc_results_score_as_published(real_data):
    results = real_data.parent / "reference" / "siamfc_pytorch_otb"
    if not results.is_dir():
        pytest.skip(f"no reference results at {results}")
    evaluation = evaluate_results(f"otb:{real_data / 'otb'}", results)
    (got,) = evaluation.scores.values()
    assert got.values["success_auc"] == pytest.approx(0.5478, abs=5e-5)
    assert got.values["precision_20"] == pytest.approx(0.7905, abs=5e-5)
    assert set(got.sequences) == set(PUBLISHED)
    for name, part in got.sequences.items():
        pair = (part.values["success_auc"], part.values["precision_20"])
        np.testing.assert_allclose(pair, PUBLISHED[name], atol=5.1e-4, err_msg=name)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Three short OTB sequences with frames, of two sizes; a bundle; its boxes."""
    root = tmp_path_factory.mktemp("moving")
    rng = np.random.default_rng(0)
    for name, (height, width), count in (
        ("Ant", (90, 120), 5),
        ("Bee", (90, 120), 3),
        ("Cow", (140, 100), 2),
    ):
        (root / "otb" / name / "img").mkdir(parents=True)
        background = rng.integers(0, 80, (height, width, 3), np.uint8)
        lines = []
        for t in range(count):
            frame = background.copy()
            frame[30:50, 40 + 2 * t : 60 + 2 * t] = 250
            cv2.imwrite(str(root / "otb" / name / "img" / f"{t + 1:04d}.png"), frame)
            lines.append(f"{41 + 2 * t},31,20,20")
        (root / "otb" / name / "groundtruth_rect.txt").write_text("\n".join(lines))
    spec = named("tiny")
    variables = jax.tree.map(np.asarray, init_variables(jax.random.key(0), spec))
    save_bundle(Bundle(spec, variables, SiamFCTracking(), {}), root / "mine")
    return root


def test_a_tracker_is_run_scored_and_its_boxes_written(moving, tmp_path):
    dataset = f"otb:{moving / 'otb'}"
    evaluation = evaluate_trackers(
        dataset,
        [moving / "mine"],
        outputs=Outputs(json=tmp_path / "r.json"),
        results_out=tmp_path / "boxes",
    )
    mine = evaluation.scores["mine"]
    assert list(mine.sequences) == ["Ant", "Bee", "Cow"]
    assert [part.frames for part in mine.sequences.values()] == [5, 3, 2]
    written = json.loads((tmp_path / "r.json").read_text())["trackers"]["mine"]
    assert written["success_auc"] == mine.values["success_auc"]
    assert written["fps"] == evaluation.fps["mine"] > 0.0
    # Independently: one video at a time, and the files scored as anybody's are.
    bundle = load_bundle(moving / "mine")
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    for sequence in read_sequences(dataset):
        frames = [read_frame(path) for path in sequence.frames]
        want = tracker.track(frames, sequence.boxes[0]).boxes
        file = tmp_path / "boxes" / "mine" / f"{sequence.name}.txt"
        got = read_boxes(file, origin=1, frames=len(sequence))
        np.testing.assert_allclose(got, want, atol=2e-4)
    again = evaluate_results(dataset, tmp_path / "boxes" / "mine").scores["mine"]
    assert again.values["success_auc"] == pytest.approx(
        mine.values["success_auc"], abs=1e-9
    )


def test_the_table_and_the_progress_go_to_the_console(moving):
    console = Console(file=io.StringIO(), width=120)
    evaluate_trackers(f"otb:{moving / 'otb'}", [moving / "mine"], console=console)
    shown = console.file.getvalue()
    assert "frames/s" in shown and "mine" in shown and "Cow" in shown


@dataclasses.dataclass(frozen=True)
class Still(Tracker):
    """Never moves; remembers how it was called and compiles nothing."""

    calls: list = dataclasses.field(default_factory=list)

    def track_each(self, videos, boxes, *, batch=None, tracked=lambda _: None):
        lengths = [len(list(video)) for video in videos]
        self.calls.append((lengths, batch))
        for number, (length, box) in enumerate(zip(lengths, boxes, strict=True)):
            tracked(length)
            rows = np.tile(box, (length, 1))
            yield number, TrackResult(rows, np.ones(length, "f4"), None)


def test_videos_of_one_canvas_go_together_after_a_warm_up(tmp_path):
    sizes = {"a": (90, 120), "b": (170, 120), "c": (150, 100), "d": (90, 120)}
    sequences = []
    for t, (name, size) in enumerate(sizes.items(), 2):
        file = tmp_path / f"{name}.png"
        cv2.imwrite(str(file), np.zeros((*size, 3), np.uint8))
        box = np.tile(np.float32([20.0 + t, 20, 10, 10]), (t, 1))
        seen = np.ones(t, bool)
        sequences.append(
            Sequence(name, name, (str(file),) * t, boxes=box, visible=seen, size=size)
        )
    still, read = Still(named("tiny"), {}, SiamFCTracking()), []
    boxes, fps = run_tracker(still, sequences, batch=2, advance=read.append)
    # Longest first; the warm-up sees two frames of as many videos as a batch holds.
    assert still.calls == [([2, 2], 2), ([5, 4, 2], 2), ([2], 2), ([3], 2)]
    assert list(boxes) == ["a", "b", "c", "d"]
    for sequence in sequences:
        np.testing.assert_array_equal(boxes[sequence.name], sequence.boxes)
    assert sum(read) == 2 + 3 + 4 + 5 and fps > 0.0


def test_what_can_be_known_beforehand_is_refused_before_any_tracking(moving, tmp_path):
    dataset, bundle = f"otb:{moving / 'otb'}", moving / "mine"
    (tmp_path / "boxes" / "mine").mkdir(parents=True)
    (tmp_path / "boxes" / "mine" / "old.txt").write_text("")
    with pytest.raises(InputError, match="mine: is given 2 times"):
        evaluate_trackers(dataset, [bundle, f"{bundle}/"])
    with pytest.raises(InputError, match="already holds something"):
        evaluate_trackers(dataset, [bundle], results_out=tmp_path / "boxes")
    with pytest.raises(InputError, match="is a folder"):
        evaluate_trackers(dataset, [bundle], outputs=Outputs(json=tmp_path))
    with pytest.raises(InputError, match="no tracker"):
        evaluate_trackers(dataset, [])
    with pytest.raises(InputError, match="no such bundle"):
        evaluate_trackers(dataset, [tmp_path / "none"])


def test_an_absent_first_box_names_the_sequence_a_resized_frame_its_file(moving):
    bundle = load_bundle(moving / "mine")
    tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    ant, _, cow = read_sequences(f"otb:{moving / 'otb'}")
    absent = ant.boxes.copy()
    absent[0] = np.nan
    hidden = np.arange(5) > 0
    with pytest.raises(InputError, match="'Ant' has no box in its first frame"):
        run_tracker(tracker, [dataclasses.replace(ant, boxes=absent, visible=hidden)])
    mixed = dataclasses.replace(ant, frames=ant.frames[:4] + cow.frames[:1])
    with pytest.raises(InputError, match=r"Cow/img/0001.png has 100x140 px"):
        run_tracker(tracker, [mixed])
