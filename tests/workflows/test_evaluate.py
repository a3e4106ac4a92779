"""Evaluation from files on disk: made-up ones, and real ones where they are."""

import json

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.workflows.evaluate import evaluate_results

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
    evaluation = evaluate_results(dataset, made, json_path=tmp_path / "r.json")
    # Overlaps of Dog: 1, 18/22, 16/24, 14/26 exceed 20, 17, 14, 11 thresholds of 21.
    dog = (20 + 17 + 14 + 11) / 21 / 4
    written = json.loads((tmp_path / "r.json").read_text())
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
    assert right.success_auc == pytest.approx(20 / 21)
    assert wrong.success_auc < 0.9


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
        evaluate_results(dataset, made, json_path=tmp_path / "r.json")
    assert sorted(tmp_path.iterdir()) == before


def test_single_images_are_no_video_to_evaluate_on(tmp_path):
    with pytest.raises(InputError, match="single images"):
        evaluate_results("coco:x", tmp_path)


@pytest.mark.real
def test_public_siamfc_results_score_as_published(real_data):
    results = real_data.parent / "reference" / "siamfc_pytorch_otb"
    if not results.is_dir():
        pytest.skip(f"no reference results at {results}")
    evaluation = evaluate_results(f"otb:{real_data / 'otb'}", results)
    (got,) = evaluation.scores.values()
    assert got.success_auc == pytest.approx(0.5478, abs=5e-5)
    assert got.precision_20 == pytest.approx(0.7905, abs=5e-5)
    assert set(got.sequences) == set(PUBLISHED)
    for name, part in got.sequences.items():
        pair = (part.success_auc, part.precision_20)
        np.testing.assert_allclose(pair, PUBLISHED[name], atol=5.1e-4, err_msg=name)
