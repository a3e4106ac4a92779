"""What PyAV reads of an annotated video: browsers play it, boxes lie where they are."""

import av
import cv2
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.track import SiamFCTracking
from dst_jax.workflows.drawn_video import draw_boxes
from dst_jax.workflows.encoded_video import encodable_rate, encoder
from dst_jax.workflows.track import track_video
from tests.track import scenes
from tests.workflows.browser import find_browser, played

QUIET = Console(quiet=True)
GREEN = (60, 220, 60)


def encoded(path, frames, *, fps=25.0):
    path.touch()
    with encoder(path, frames[0].shape[:2], fps=encodable_rate(fps)) as write:
        for frame in frames:
            write(frame)
    return path


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def top_level_boxes(path):
    """Names of an MP4 file's outermost boxes, in order."""
    content, at, names = path.read_bytes(), 0, []
    while at < len(content):
        size = int.from_bytes(content[at : at + 4])
        names.append(content[at + 4 : at + 8].decode())
        at += size
    return names


def test_a_browser_plays_it_before_all_of_it_is_there(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 90, 122, 3), np.uint8)
    path = encoded(tmp_path / "o.mp4", frames, fps=30000 / 1001)
    with av.open(str(path)) as container:
        (stream,) = container.streams
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.average_rate.numerator, stream.average_rate.denominator) == (
            30000,
            1001,
        )
        assert stream.frames == 5
    names = top_level_boxes(path)
    assert names.index("moov") < names.index("mdat")


@pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")
def test_chromium_plays_it_to_the_end_in_its_colours(tmp_path):
    colours = np.array([[200, 60, 40], [40, 160, 60], [60, 80, 150]], np.uint8)
    frames = [np.full((91, 123, 3), colour) for colour in colours.repeat(10, axis=0)]
    video = encoded(tmp_path / "o.mp4", frames, fps=15.0)
    (tmp_path / "browser").mkdir()
    told = played(find_browser(), video, tmp_path / "browser")
    assert told.get("ended"), told.get("error")
    assert (told["width"], told["height"]) == (124, 92)
    assert told["seconds"] == pytest.approx(2.0, abs=0.01)
    # A busy machine may leave out frames, but it shows each of the three colours.
    parts = [int(frame["at"] * 1.5 + 1e-3) for frame in told["shown"]]
    assert set(parts) == {0, 1, 2}
    seen = np.array([frame["mean"] for frame in told["shown"]])
    # Chromium's own arithmetic leaves out 4 of a strong blue; by the matrix of standard
    # definition red and green would be off by 13.
    np.testing.assert_allclose(seen, colours[parts], atol=6)


def test_odd_sides_keep_every_pixel_in_its_place(tmp_path):
    for ramp in 5 * np.mgrid[0:45, 0:51]:
        frame = np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)
        (seen,) = decoded(encoded(tmp_path / "o.mp4", [frame]))
        assert seen.shape == (46, 52, 3)
        # The last row and column are there twice; a pixel further it would be 5.
        repeated = np.pad(frame, ((0, 1), (0, 1), (0, 0)), mode="edge")
        assert abs(seen.astype(int) - repeated).mean() < 1.5


def edges(frame):
    """Outermost rows and columns of what is green, by decoded colours."""
    red, green, blue = np.moveaxis(frame.astype(int), -1, 0)
    # Colours reach a pixel beyond a line, brightness does not.
    seen = (green > red + 30) & (green > blue + 30) & (green > 120)
    # A line crosses many pixels of a row or column, a digit few.
    rows = np.flatnonzero(seen.sum(axis=1) > 25)
    columns = np.flatnonzero(seen.sum(axis=0) > 25)
    return columns[0], rows[0], columns[-1], rows[-1]


def test_boxes_are_where_the_text_file_says_to_a_pixel(tmp_path):
    tracking = SiamFCTracking(lost_below=0.01)
    bundle = Bundle(scenes.SPEC, scenes.weights(), tracking, {})
    save_bundle(bundle, tmp_path / "bundle")
    (tmp_path / "frames").mkdir()
    frames, _ = scenes.video(
        4, start=(150.0, 120.0), velocity=(5.0, -3.0), height=240, width=360
    )
    for number, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"frames/{number}.png"), frame[..., ::-1] // 2)
    # Larger than the square, so that its lines lie on the smooth background.
    given, where = [(130.0, 100.0, 40.0, 40.0)], tmp_path / "frames"
    track_video(tmp_path / "bundle", where, given, tmp_path / "o.txt", console=QUIET)
    track_video(tmp_path / "bundle", where, given, tmp_path / "o.mp4", console=QUIET)
    rows = np.loadtxt(tmp_path / "o.txt", delimiter=",")
    assert np.ptp(rows[:, 0]) > 10
    for (x, y, w, h), frame in zip(rows, decoded(tmp_path / "o.mp4"), strict=True):
        expected = (x, y, x + w - 1, y + h - 1)
        np.testing.assert_allclose(edges(frame), expected, atol=1.0)


@pytest.mark.parametrize("corner", [(150, 100), (0, 0), (300, 200)])
def test_scores_are_legible_in_a_small_frame(tmp_path, corner):
    frame = np.full((240, 360, 3), 200, np.uint8)
    box = np.array([[*corner, 60, 40]], float)
    drawn = draw_boxes(frame, box, np.array([0.88]), np.array([0]), number=7)
    (seen,) = decoded(encoded(tmp_path / "o.mp4", [drawn]))
    luma = seen.astype(float) @ [0.2126, 0.7152, 0.0722]
    plates = (luma < 40).astype(np.uint8)
    # Wide and black: the plates of the frame's number and of the score.
    _, _, found, _ = cv2.connectedComponentsWithStats(plates)
    found = [(x, y, w, h) for x, y, w, h, size in found[1:] if size > 100]
    assert len(found) == 2
    for x, y, w, h in found:
        text = luma[y : y + h, x : x + w] > 100
        # Capitals of 12 px stand out from their plate, with a margin around them.
        assert 11 <= text.any(axis=1).sum() <= h - 3
        assert luma[y, x : x + w].max() < 60


def test_scores_of_targets_beside_each_other_do_not_hide_one_another():
    frame = np.full((240, 360, 3), 200, np.uint8)
    boxes = np.array([[100, 60, 40, 40], [102, 62, 36, 36], [104, 64, 30, 30]], float)
    black = []
    for count in (0, 2, 3):
        now = boxes[:count], np.zeros(count), np.zeros(count, int)
        black.append((draw_boxes(frame, *now, number=7).max(axis=2) < 30).sum())
    # The third score has as much black of its own as each of the first two.
    none, two, three = black
    assert (three - none) / 3 == pytest.approx((two - none) / 2, rel=0.05)
