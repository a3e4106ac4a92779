"""What a calibration fits, measures, stores and refuses."""

import json

import cv2
import jax
import numpy as np
import pytest

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.errors import InputError
from dst_jax.models import init_variables
from dst_jax.track import OSTrackTracking, SiamFCTracking, probabilities
from dst_jax.track.config import tracking_from_json, tracking_to_json
from dst_jax.workflows import calibrate as workflow
from dst_jax.workflows import observed_scores
from dst_jax.workflows.observed_scores import Observed
from dst_jax.workflows.tune import tune_bundles
from tests import networks
from tests.track import scenes

AWAY = 50  # px to the right, out of the window in which the square was
SEEN, GONE, BACK = 3, 3, 3


def write_videos(folder, *, seeds):
    """Of each seed a video of a square that goes and comes back, and one that moves."""
    for seed in seeds:
        start = (40.0 + 2 * seed, 60.0)
        there = scenes.paint(start, seed=seed)
        away = scenes.paint((start[0] + AWAY, start[1]), seed=seed)
        grey = np.full_like(there, 90)
        row = f"{start[0] - 10:g},50,20,20"
        other = f"{start[0] - 10 + AWAY:g},50,20,20"
        frames = [there] * SEEN + [grey] * GONE + [away] * BACK
        write(
            folder / f"Gone{seed}",
            frames,
            [row] * SEEN + ["absent"] * GONE + [other] * BACK,
        )
        frames, boxes = scenes.video(6, start=start, velocity=(2.0, 0.0), seed=seed)
        rows = [f"{cx - 10:g},{cy - 10:g},20,20" for cx, cy, _, _ in boxes]
        write(folder / f"Moves{seed}", frames, rows)
    return f"folder:{folder}"


def write(folder, frames, rows):
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:04d}.png"), frame[..., ::-1])
    (folder / "boxes.txt").write_text("\n".join(rows) + "\n")


@pytest.fixture
def sets(tmp_path):
    return (
        write_videos(tmp_path / "validation", seeds=(1, 2)),
        write_videos(tmp_path / "test", seeds=(3,)),
    )


@pytest.fixture
def bundle(tmp_path):
    made = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {"made_by": "hand"})
    return save_bundle(made, tmp_path / "square")


def test_line_thresholds_figures_and_origin_go_into_the_bundle(sets, bundle):
    before = load_bundle(bundle)
    found = workflow.calibrate_bundle(
        bundle, sets[0], reported=sets[1], lost_search=3, false_lost=0.0
    )
    after = load_bundle(bundle)
    assert after.tracking == found.tracking
    assert after.weights_sha256 == before.weights_sha256
    assert after.card["made_by"] == "hand"
    card = after.card["calibrated"]
    assert (card["dataset"], card["false_lost"]) == (sets[0], 0.0)
    assert set(card["videos"]) == {"Gone1", "Gone2", "Moves1", "Moves2"}
    assert tracking_from_json(card["tracking_before"]) == before.tracking
    # By hand: right are 2 and 5 frames, absent 3, missed 3, of each of 2 and 1 seeds.
    for name, seeds in zip(sets, (2, 1), strict=True):
        figures = card["measured"][name]
        assert (figures["frames"], figures["videos"]) == (13 * seeds, 2 * seeds)
        assert figures["right"] == pytest.approx(7 / 13)
        lost = figures["called_lost"]
        assert lost["missed"] == lost["absent"] == {"frames": 3 * seeds, "share": 1.0}
        assert lost["right"]["frames"] == 7 * seeds
        search = figures["lost_search"]
        assert search["right"] == pytest.approx(10 / 13)
        assert search["returns"] == search["returns_followed"] == seeds
        assert search["returns_followed_without"] == 0
        assert search["success_auc"] > figures["success_auc"]
    # None of the right boxes of these videos was to be called lost.
    figures = card["measured"][sets[0]]
    assert figures["called_lost"]["right"]["share"] == 0.0
    search = figures["lost_search"]
    assert search["lost_frames"] == 6
    assert search["found_again"] == search["found_again_rightly"] == 2


def observed(scores, right):
    right = np.array(right)
    nothing = np.zeros(len(right), bool)
    video = np.zeros(len(right), int)
    return Observed(np.array(scores), right, ~right, nothing, None, video, 0.5)


def test_the_threshold_is_where_a_share_of_right_boxes_lies_below():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.3, 0.99, 400)
    seen = observed(scores, rng.random(400) < scores)
    tracking = workflow.fitted(seen, SiamFCTracking(scale_step=1.1), false_lost=0.1)
    good = scores[seen.right]
    assert (good < tracking.lost_below).mean() == pytest.approx(0.1, abs=1 / len(good))
    assert tracking.scale_step == 1.1
    # Uncertain is what is rather wrong than right.
    at = probabilities(np.array([tracking.uncertain_below]), tracking)
    assert at == pytest.approx(0.5)
    # Here a right box was drawn with just the score's probability.
    assert probabilities(np.array([0.8]), tracking) == pytest.approx(0.8, abs=0.06)


def test_without_doubt_between_them_nothing_is_uncertain():
    seen = observed([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    tracking = workflow.fitted(seen, SiamFCTracking(), false_lost=0.0)
    # Their log odds lie about 0, so that an even chance is in the middle. No right box
    # lies below .8, yet what is more probably right than wrong is not lost.
    assert tracking.lost_below == pytest.approx(0.5, abs=1e-6)
    assert tracking.uncertain_below is None


def test_a_new_calibration_starts_from_what_was_before_the_first(sets, bundle):
    plain = load_bundle(bundle)
    workflow.calibrate_bundle(bundle, sets[0], lost_search=2)
    first = load_bundle(bundle)
    assert first.tracking.lost_search == 2
    workflow.calibrate_bundle(bundle, sets[1])
    second = load_bundle(bundle)
    assert second.tracking.lost_search == 1
    card = second.card["calibrated"]
    assert card["dataset"] == sets[1]
    assert card["tracking_before"] == tracking_to_json(plain.tracking)
    removed = workflow.uncalibrated(second)
    assert removed.tracking == plain.tracking and "calibrated" not in removed.card


def test_tuning_takes_a_calibration_out(sets, bundle):
    workflow.calibrate_bundle(bundle, sets[0])
    tune_bundles(sets[0], [bundle], reported=sets[1], trials=2)
    after = load_bundle(bundle)
    assert after.tracking.calibration is None and after.tracking.lost_below is None
    assert set(after.card) >= {"tuned", "made_by"} and "calibrated" not in after.card


def test_a_transformers_scores_are_calibrated_too(sets, tmp_path, monkeypatch):
    spec = networks.one_stream(32)
    made = Bundle(
        spec,
        init_variables(jax.random.key(0), spec),
        OSTrackTracking(border_px=9.0),
        {},
    )
    path = save_bundle(made, tmp_path / "o")
    look = observed_scores.observe

    def lucky(*given, **options):
        seen = look(*given, **options)
        # An untrained network is right nowhere: the upper half of its scores shall be.
        return seen._replace(right=seen.scores > np.median(seen.scores))

    monkeypatch.setattr(workflow, "observe", lucky)
    workflow.calibrate_bundle(path, sets[1])
    tracking = load_bundle(path).tracking
    assert isinstance(tracking, OSTrackTracking) and tracking.border_px == 9.0
    assert tracking.calibration is not None and tracking.lost_below is not None


def one_line(capsys):
    err = capsys.readouterr().err.strip()
    assert len(err.splitlines()) == 1
    return err


def files_of(bundle):
    return {path.name: path.read_bytes() for path in bundle.iterdir()}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--false-lost", "0.7"), "--false-lost 0.7: must be a share from 0 to 0.5."),
        (("--false-lost", "nan"), "--false-lost nan: must be a share from 0 to 0.5."),
        (("--lost-search", "4"), "--lost-search 4: must be from 1 to 3 widths"),
        (("--plot", "r.pdf"), "--plot r.pdf: end it in .png or .svg."),
        (("--plot", "taken.png"), "--plot taken.png: is a folder; name a file."),
        (("--reported", "same"), "its video 'Gone1' is also evaluated, as 'Gone1' of"),
        (("--reported", "otb:none"), "none"),
    ],
)
def test_bad_options_get_one_line_and_change_nothing(
    sets, bundle, tmp_path, monkeypatch, capsys, more, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.png").mkdir()
    before = files_of(bundle)
    words = [sets[0] if word == "same" else word for word in more]
    assert main(["calibrate", str(bundle), "--dataset", sets[0], *words]) == 2
    assert message in one_line(capsys)
    assert files_of(bundle) == before


def test_videos_without_both_kinds_of_boxes_are_refused(bundle, tmp_path, capsys):
    frames, boxes = scenes.video(4, velocity=(1.0, 0.0))
    rows = [f"{cx - 10:g},{cy - 10:g},20,20" for cx, cy, _, _ in boxes]
    write(tmp_path / "easy" / "Moves", frames, rows)
    dataset = f"folder:{tmp_path / 'easy'}"
    before = files_of(bundle)
    assert main(["calibrate", str(bundle), "--dataset", dataset]) == 2
    assert (
        f"--dataset {dataset}: every box overlaps its target by more than half in 3 "
        "frames; boxes of both kinds are needed"
    ) in one_line(capsys)
    assert files_of(bundle) == before


def test_evaluation_refuses_the_videos_and_takes_others(sets, bundle, capsys, tmp_path):
    plain, more = tmp_path / "plain.json", tmp_path / "more.json"
    words = ["evaluate", "--tracker", str(bundle), "--dataset"]
    assert main([*words, sets[1], "--json", str(plain)]) == 0
    plot = tmp_path / "plots" / "r.svg"
    calibrating = ["calibrate", str(bundle), "--dataset", sets[0], "--plot", str(plot)]
    assert main(calibrating) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"{bundle}: calibrated on 26 frames of 4 videos of {sets[0]}" in out
    assert "54 % of 26 frames of 4 videos are right" in out
    assert "100 % of 6 frames in which the target is absent or covered" in out
    assert plot.read_text().startswith("<svg")
    assert main([*words, sets[0]]) == 2
    assert (
        f"--tracker square: was calibrated on 4 of the videos of {sets[0]}, such as "
        "'Gone1', as 'Gone1'; evaluate on other videos"
    ) in one_line(capsys)
    # A calibration moves no box.
    assert main([*words, sets[1], "--json", str(more)]) == 0
    first, second = (json.loads(path.read_text()) for path in (plain, more))
    for values in (first, second):
        for measured in ("fps", "speed"):
            values["trackers"]["square"].pop(measured)
    assert first == second


def test_absent_frames_without_a_return_and_other_videos_are_kept_apart():
    unseen = np.array([0, 1, 1, 0, 1, 0, 1, 0, 1], bool)
    right = np.array([1, 0, 0, 0, 0, 1, 0, 1, 0], bool)
    # The second video begins at 3: its first frame is no return.
    video = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])
    seen = observed(np.ones(9), right)
    seen = seen._replace(unseen=unseen, video=video, states=np.zeros(9, int))
    lost = seen._replace(right=np.array([1, 0, 0, 1, 0, 0, 0, 1, 0], bool))
    values = observed_scores.measured_search(seen, lost)
    assert (values["returns"], values["returns_followed"]) == (2, 2)
    assert values["returns_followed_without"] == 1


def test_bundles_without_a_calibration_are_taken_as_they_are(bundle):
    found = load_bundle(bundle)
    assert workflow.uncalibrated(found) is found
    workflow.require_not_calibrated_on({"square": found}, (), "otb:x")


def test_no_video_without_a_first_box_is_tracked(bundle, tmp_path):
    grey = np.full((120, 150, 3), 90, np.uint8)
    write(tmp_path / "late" / "Late", [grey] * 3, ["absent", "5,5,9,9", "5,5,9,9"])
    with pytest.raises(InputError, match=r"sequence 'Late': box .* is not finite"):
        workflow.calibrate_bundle(bundle, f"folder:{tmp_path / 'late'}")
