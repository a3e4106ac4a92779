import cv2
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking, make_tracker
from dst_jax.workflows.track import parse_box, track_video
from tests.track import scenes

BOX = (60.25, 50.0, 20.0, 20.0)
QUIET = Console(quiet=True)


@pytest.fixture
def bundle(tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(lost_below=0.01), {})
    return save_bundle(value, tmp_path / "bundle")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "frames"
    path.mkdir()
    frames, _ = scenes.video(4, velocity=(2.0, 0.0))
    for number, frame in enumerate(frames, start=1):
        cv2.imwrite(str(path / f"{number:04d}.png"), frame[..., ::-1])
    return path


def test_boxes_are_written_one_line_a_frame_the_given_one_first(
    bundle, folder, tmp_path
):
    out = tmp_path / "new" / "boxes.txt"
    track_video(bundle, folder, BOX, out, console=QUIET)
    rows = np.loadtxt(out, delimiter=",")
    frames, _ = scenes.video(4, velocity=(2.0, 0.0))
    start = np.array([70.25, 60.0, 20.0, 20.0], np.float32)
    direct = make_tracker(
        scenes.SPEC, scenes.weights(), tracking=SiamFCTracking(lost_below=0.01)
    ).track(frames, start)
    expected = direct.boxes - np.array([0.5, 0.5, 0, 0]) * direct.boxes[:, [2, 3, 2, 3]]
    np.testing.assert_allclose(rows, expected, atol=1e-3)
    assert out.read_text().splitlines()[0] == "60.2500,50.0000,20.0000,20.0000"
    assert [p.name for p in out.parent.iterdir()] == ["boxes.txt"]


def test_annotated_video_has_every_frame_with_a_box(bundle, folder, tmp_path):
    out = tmp_path / "seen.mp4"
    track_video(bundle, folder, BOX, out, console=QUIET)
    capture = cv2.VideoCapture(str(out))
    frames = []
    while True:
        more, frame = capture.read()
        if not more:
            break
        frames.append(frame)
    capture.release()
    assert len(frames) == 4 and frames[0].shape == (120, 150, 3)
    # The upper edge of the first box, green in OpenCV's channel order.
    blue, green, red = frames[0][50, 62:78].astype(int).mean(axis=0)
    assert green > 150 and green > blue + 50 and green > red + 50


def test_video_file_is_tracked_like_its_frames(bundle, folder, tmp_path):
    source = tmp_path / "clip.mp4"
    track_video(bundle, folder, BOX, source, console=QUIET)
    result = track_video(bundle, source, BOX, tmp_path / "boxes.txt", console=QUIET)
    assert len(result.boxes) == 4


@pytest.mark.parametrize(
    "text", ["1,2,3", "1,2,3,x", "1,2,0,4", "nan,2,3,4", "", "1,2,3,-4"]
)
def test_bad_box_text_is_named(text):
    with pytest.raises(InputError, match="--box"):
        parse_box(text)


def test_bad_input_is_named_and_nothing_is_written(bundle, folder, tmp_path):
    out = tmp_path / "out.txt"

    def attempt(message, *, tracker=bundle, video=folder, box=BOX, out=out):
        with pytest.raises(InputError, match=message):
            track_video(tracker, video, box, out, console=QUIET)

    attempt("no such bundle", tracker=tmp_path / "nowhere")
    attempt("missing", video=tmp_path / "missing")
    attempt("outside", box=(500.0, 0.0, 10.0, 10.0))
    attempt("empty", box=(5.0, 5.0, 0.0, 10.0))
    attempt(r"\.mp4 or \.txt", out=tmp_path / "out.gif")
    (folder / "0003.png").write_bytes(b"")
    attempt("0003.png")
    assert not out.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "frames"]


def test_video_of_one_frame_gives_one_line(bundle, folder, tmp_path):
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    track_video(bundle, folder, BOX, tmp_path / "one.txt", console=QUIET)
    assert (tmp_path / "one.txt").read_text() == "60.2500,50.0000,20.0000,20.0000\n"
