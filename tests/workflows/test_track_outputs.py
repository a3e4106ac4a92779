"""Boxes with scores and states as .csv and .jsonl, of several targets, up to a stop."""

import csv
import json

import cv2
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking, make_tracker
from dst_jax.workflows.track import track_video
from tests.track import scenes

QUIET = Console(quiet=True)
BOXES = [(60.25, 50.0, 20.0, 20.0), (55.0, 47.5, 26.0, 24.0)]
COUNT = 5
TRACKING = SiamFCTracking(lost_below=0.6, uncertain_below=0.99)
FRAMES, _ = scenes.video(COUNT, velocity=(2.0, 0.0))
# The last frame is faint: its score is lower.
FRAMES[-1] = (80 + 0.1 * FRAMES[-1]).astype(np.uint8)


@pytest.fixture
def bundle(tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), TRACKING, {})
    return save_bundle(value, tmp_path / "bundle")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "frames"
    path.mkdir()
    for number, frame in enumerate(FRAMES):
        cv2.imwrite(str(path / f"{number}.png"), frame[..., ::-1])
    return path


def alone(box_xywh):
    """What the tracker itself says of one target: corner boxes, scores, states."""
    x, y, w, h = box_xywh
    start = np.array([x + w / 2, y + h / 2, w, h], np.float32)
    tracker = make_tracker(scenes.SPEC, scenes.weights(), tracking=TRACKING)
    boxes, scores, states = tracker.track(FRAMES, start)
    corners = boxes - np.array([0.5, 0.5, 0, 0]) * boxes[:, [2, 3, 2, 3]]
    return corners, scores, [("tracked", "uncertain", "lost")[s] for s in states]


def read_csv(path):
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["frame", "target", "x", "y", "w", "h", "score", "state"]
    return [
        (
            int(row["frame"]),
            int(row["target"]),
            [float(row[name]) for name in "xywh"],
            float(row["score"]),
            row["state"] or None,
        )
        for row in rows
    ]


def read_jsonl(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        tuple(row[n] for n in ("frame", "target", "box", "score", "state"))
        for row in rows
    ]


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize(
    ("name", "read"), [("o.csv", read_csv), ("o.jsonl", read_jsonl)]
)
def test_a_line_has_frame_target_box_score_and_state(
    bundle, folder, tmp_path, name, read, targets
):
    out = tmp_path / name
    assert track_video(bundle, folder, BOXES[:targets], out, console=QUIET) == COUNT
    rows = read(out)
    order = [(t, k) for t in range(COUNT) for k in range(targets)]
    assert [row[:2] for row in rows] == order
    for target, given in enumerate(BOXES[:targets]):
        boxes, scores, states = alone(given)
        mine = [row for row in rows if row[1] == target]
        assert mine[0][2] == list(given) and mine[0][3] == 1.0
        np.testing.assert_allclose([row[2] for row in mine], boxes, atol=1e-3)
        np.testing.assert_allclose([row[3] for row in mine], scores, atol=1e-5)
        assert [row[4] for row in mine] == states
    assert len({row[4] for row in rows}) > 1


def test_without_thresholds_the_state_is_empty(folder, tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {})
    bundle = save_bundle(value, tmp_path / "bundle")
    for name, read in (("o.csv", read_csv), ("o.jsonl", read_jsonl)):
        track_video(bundle, folder, BOXES, tmp_path / name, console=QUIET)
        assert {row[4] for row in read(tmp_path / name)} == {None}


def test_several_targets_need_a_file_that_tells_them_apart(bundle, folder, tmp_path):
    with pytest.raises(
        InputError, match=r"o\.txt: a \.txt has the boxes of one target"
    ):
        track_video(bundle, folder, BOXES, tmp_path / "o.txt", console=QUIET)
    assert not (tmp_path / "o.txt").exists()


def test_several_targets_have_their_numbers_in_an_annotated_video(
    bundle, folder, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        "dst_jax.workflows.drawn_video.cv2.putText",
        lambda image, text, *rest: drawn.append(text),
    )
    track_video(bundle, folder, BOXES, tmp_path / "o.mp4", console=QUIET)
    assert len(drawn) == COUNT * 3
    assert [text.split()[0] for text in drawn[:3]] == ["0", "#0", "#1"]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl", ".mp4"])
def test_of_a_video_that_stops_the_frames_before_are_there(
    bundle, folder, tmp_path, suffix
):
    (folder / "3.png").write_bytes(b"no image")
    out = tmp_path / f"o{suffix}"
    with pytest.raises(InputError, match=r"3\.png") as told:
        track_video(bundle, folder, BOXES[:1], out, console=QUIET)
    assert str(told.value).endswith(f" {out} has the 3 frames before.")
    if suffix == ".mp4":
        capture = cv2.VideoCapture(str(out))
        assert sum(1 for _ in iter(capture.grab, False)) == 3
        capture.release()
    else:
        lines = out.read_text().splitlines()
        assert len(lines) == 3 + (suffix == ".csv")


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".mp4"])
def test_ctrl_c_leaves_the_frames_so_far(
    bundle, folder, tmp_path, monkeypatch, capsys, suffix
):
    from dst_jax.workflows import track_source

    read = track_source.video_frames

    def interrupted(path, *, note):
        for number, frame in enumerate(read(path, note=note)):
            if number == 2:
                raise KeyboardInterrupt
            yield frame

    monkeypatch.setattr(track_source, "video_frames", interrupted)
    out = tmp_path / f"o{suffix}"
    words = ["track", "--tracker", str(bundle), "--video", str(folder)]
    assert main([*words, "--box", "60,50,20,20", "--out", str(out)]) == 130
    told = capsys.readouterr().err
    assert told.endswith(f"dst-jax: interrupted; {out} has the first 2 frames\n")
    assert out.stat().st_size > 0
    if suffix != ".mp4":
        assert len(out.read_text().splitlines()) == 2 + (suffix == ".csv")


def test_ctrl_c_before_anything_is_tracked_leaves_the_earlier_file(
    bundle, folder, tmp_path, monkeypatch
):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("dst_jax.workflows.track.follow_targets", interrupted)
    out = tmp_path / "o.txt"
    out.write_text("earlier\n")
    with pytest.raises(KeyboardInterrupt):
        track_video(bundle, folder, BOXES[:1], out, console=QUIET)
    assert out.read_text() == "earlier\n"


def test_the_command_takes_a_box_for_each_target(bundle, folder, tmp_path, capsys):
    words = ["track", "--tracker", str(bundle), "--video", str(folder)]
    boxes = ["--box", "60.25,50,20,20", "--box", "55,47.5,26,24"]
    out = tmp_path / "o.csv"
    assert main([*words, *boxes, "--out", str(out)]) == 0
    assert len(read_csv(out)) == 2 * COUNT
    assert main([*words, "--out", str(out)]) == 2
    assert "missing: --box X,Y,W,H" in capsys.readouterr().err
    assert main([*words, *boxes[:3], "1,2,3", "--out", str(out)]) == 2
    assert "--box '1,2,3': give four numbers" in capsys.readouterr().err


CALIBRATED = SiamFCTracking(
    lost_below=0.6, uncertain_below=0.99, calibration=(0.5, -1.0)
)


def likely(score):
    """By hand: the logistic of half the score's log odds, less 1."""
    odds = np.log(score / (1 - score))
    return 1 / (1 + np.exp(-(0.5 * odds - 1.0)))


@pytest.fixture
def calibrated(tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), CALIBRATED, {})
    return save_bundle(value, tmp_path / "calibrated")


def test_a_calibrated_trackers_lines_also_have_the_probability(
    bundle, calibrated, folder, tmp_path
):
    for suffix in (".csv", ".jsonl"):
        names = tmp_path / f"plain{suffix}", tmp_path / f"more{suffix}"
        for tracker, name in zip((bundle, calibrated), names, strict=True):
            track_video(tracker, folder, BOXES, name, console=QUIET)
        plain, more = (name.read_text().splitlines() for name in names)
        assert len(plain) == len(more) == COUNT * 2 + (suffix == ".csv")
        if suffix == ".csv":
            assert more[0] == "frame,target,x,y,w,h,score,state,probability"
            parts = [line.rsplit(",", 1) for line in more]
            assert [before for before, _ in parts] == plain
            found = [float(value) for _, value in parts[1:]]
            scores = [float(line.split(",")[6]) for line in plain[1:]]
        else:
            rows = [json.loads(line) for line in more]
            found = [row.pop("probability") for row in rows]
            assert [json.dumps(row) for row in rows] == plain
            scores = [row["score"] for row in rows]
        # The given boxes are right.
        assert found[:2] == [1.0, 1.0]
        # The scores in the file have six digits.
        expected = [likely(score) for score in scores[2:]]
        np.testing.assert_allclose(found[2:], expected, atol=1e-3)


def test_a_calibrated_trackers_video_shows_per_cent_and_state(
    calibrated, folder, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        "dst_jax.workflows.drawn_video.cv2.putText",
        lambda image, text, *rest: drawn.append(text),
    )
    track_video(calibrated, folder, BOXES[:1], tmp_path / "o.mp4", console=QUIET)
    _, scores, states = alone(BOXES[0])
    words = {"tracked": "", "uncertain": " uncertain", "lost": " lost"}
    expected = [
        f"{100 * likely(float(score)):.0f}%{words[state]}"
        for score, state in zip(scores[1:], states[1:], strict=True)
    ]
    assert drawn[1::2] == ["100%", *expected]
    assert len(set(states)) > 1
