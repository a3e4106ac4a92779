"""Settings of tracking that are searched on validation videos, and what is refused."""

import dataclasses

import cv2
import jax
import numpy as np
import pytest

from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB
from dst_jax.models import init_variables
from dst_jax.track import OSTrackTracking, SiamFCTracking, SiamRPNTracking
from dst_jax.track.config import tracking_to_json
from dst_jax.workflows import tune as workflow
from dst_jax.workflows.evaluation import Evaluated, read_videos, score_boxes
from tests import networks
from tests.track import scenes


def write_videos(folder, *, seeds):
    """Videos of a square in OTB's layout; returns the data set's name."""
    for seed in seeds:
        images = folder / f"Square{seed}" / "img"
        images.mkdir(parents=True)
        start = (40.0 + 2 * seed, 50.0)
        frames, boxes = scenes.video(5, start=start, velocity=(2.0, 0.0), seed=seed)
        for number, frame in enumerate(frames, start=1):
            cv2.imwrite(str(images / f"{number:04d}.png"), frame[..., ::-1])
        rows = boxes - np.float32([0.5, 0.5, 0, 0]) * boxes[:, [2, 3, 2, 3]]
        rows += np.float32([1, 1, 0, 0])
        lines = [",".join(f"{value:g}" for value in row) for row in rows]
        (images.parent / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    return f"otb:{folder}"


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


def by_hand(monkeypatch, aucs):
    """Scores of one trial after another, and the settings that were tried."""
    tried, given = [], iter(aucs)

    def evaluate(bundle, videos, *, name, console):
        tried.append(bundle.tracking)
        boxes = {video.name: video.boxes for video in videos}
        score = score_boxes(boxes, videos, OTB)
        values = {**score.values, "success_auc": next(given)}
        return Evaluated(boxes, dataclasses.replace(score, values=values), 1.0)

    monkeypatch.setattr(workflow, "evaluate_bundle", evaluate)
    return tried


def test_the_best_settings_and_their_origin_go_into_the_bundle(
    sets, bundle, monkeypatch
):
    tried = by_hand(monkeypatch, [0.5, 0.4, 0.7, 0.6])
    before = load_bundle(bundle)
    found = workflow.tune_bundles(sets[0], [bundle], reported=sets[1], trials=4)
    after = load_bundle(bundle)
    assert tried[0] == before.tracking == SiamFCTracking()
    assert after.tracking == found[str(bundle)].tracking == tried[2]
    assert after.weights_sha256 == before.weights_sha256
    tuned = after.card["tuned"]
    assert after.card["made_by"] == "hand"
    assert (tuned["dataset"], tuned["trials"], tuned["seed"]) == (sets[0], 4, 0)
    assert (tuned["success_auc"], tuned["success_auc_before"]) == (0.7, 0.5)
    assert set(tuned["videos"]) == {"Square1", "Square2"}
    assert tuned["tracking_before"] == tracking_to_json(SiamFCTracking())


def test_settings_that_are_best_already_stay(sets, bundle, monkeypatch):
    by_hand(monkeypatch, [0.5, 0.4])
    workflow.tune_bundles(sets[0], [bundle], reported=sets[1], trials=2)
    assert load_bundle(bundle).tracking == SiamFCTracking()


@pytest.mark.parametrize("tracking", [SiamFCTracking(), SiamRPNTracking()])
def test_only_the_familys_numbers_are_searched(tracking, monkeypatch, sets):
    tried = by_hand(monkeypatch, [0.5] * 30)
    made = Bundle(scenes.SPEC, {}, tracking, {})
    workflow.tune(made, read_videos(sets[0]), trials=30)
    changed = {
        "SiamFCTracking": "scale_step scale_rate scale_penalty window_influence",
        "SiamRPNTracking": "penalty_k size_rate window_influence",
    }[type(tracking).__name__].split()
    fields = [field.name for field in dataclasses.fields(tracking)]
    for field in fields:
        values = {getattr(one, field) for one in tried}
        assert (len(values) > 25) == (field in changed), field
    # The same seed gives the same settings.
    again = by_hand(monkeypatch, [0.5] * 30)
    workflow.tune(made, read_videos(sets[0]), trials=30)
    assert again == tried


def test_videos_that_are_evaluated_are_refused_whatever_they_are_called(
    sets, bundle, tmp_path
):
    before = (bundle / "card.json").read_bytes()
    copy = tmp_path / "copy"
    (tmp_path / "validation" / "Square2").rename(tmp_path / "aside")
    copy.mkdir()
    (tmp_path / "aside").rename(copy / "Renamed")
    validation = write_videos(tmp_path / "validation", seeds=(2,))
    with pytest.raises(InputError) as error:
        workflow.tune_bundles(validation, [bundle], reported=f"otb:{copy}")
    assert (
        f"--tune {validation}: its video 'Square2' is also evaluated, as 'Renamed' of "
        f"otb:{copy}; tune on other videos"
    ) in str(error.value)
    assert (bundle / "card.json").read_bytes() == before


@pytest.mark.parametrize("trials", [0, 1, 10_001])
def test_an_unfit_number_of_trials_is_refused(trials, sets, bundle):
    with pytest.raises(InputError, match=f"--trials {trials}: must be from 2"):
        workflow.tune_bundles(sets[0], [bundle], reported=sets[1], trials=trials)


def test_the_command_tunes_evaluates_and_warns_later(sets, bundle, capsys):
    validation, test = sets
    words = ["evaluate", "--tracker", str(bundle)]
    tuning = ["--tune", validation, "--trials", "2"]
    assert main([*words, "--dataset", test, *tuning]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"on {validation} after 2 trials: scale_step" in out
    assert "were tuned on" not in out
    assert main([*words, "--dataset", validation]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "square: its settings of tracking were tuned on 2 of these videos" in out


def test_the_command_refuses_the_same_data_set_and_boxes(sets, bundle, capsys):
    words = ["evaluate", "--dataset", sets[1], "--tune", sets[1]]
    assert main([*words, "--tracker", str(bundle)]) == 2
    assert "'Square3' is also evaluated" in capsys.readouterr().err
    assert main([*words, "--results", str(bundle)]) == 2
    assert "--tune is for --tracker" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--json", "taken"), "taken"),
        (("--protocol", "wimbledon"), "wimbledon"),
        (("--results-out", "kept"), "has boxes of square with its settings of before"),
        (("--trials", "1"), "--trials 1: must be from 2"),
    ],
)
def test_what_evaluation_would_refuse_is_refused_before_bundles_change(
    sets, bundle, tmp_path, monkeypatch, capsys, more, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    words = ["evaluate", "--tracker", str(bundle), "--dataset", sets[1]]
    assert main([*words, "--results-out", "kept"]) == 0
    before = (bundle / "card.json").read_bytes()
    capsys.readouterr()
    assert main([*words, "--tune", sets[0], *more]) == 2
    err = capsys.readouterr().err
    assert message in " ".join(err.split()) and len(err.strip().splitlines()) == 1
    assert (bundle / "card.json").read_bytes() == before


def test_a_number_of_trials_without_videos_is_refused(sets, bundle, capsys):
    words = ["evaluate", "--tracker", str(bundle), "--dataset", sets[1]]
    assert main([*words, "--trials", "5"]) == 2
    assert "--trials is for --tune" in capsys.readouterr().err


def test_settings_without_numbers_to_search_are_refused(sets, tmp_path):
    spec = networks.one_stream(16)
    variables = init_variables(jax.random.key(0), spec)
    path = save_bundle(Bundle(spec, variables, OSTrackTracking(), {}), tmp_path / "o")
    with pytest.raises(
        InputError, match=r"--tune: .*o has settings of OSTrackTracking"
    ):
        workflow.tune_bundles(sets[0], [path], reported=sets[1], trials=4)
