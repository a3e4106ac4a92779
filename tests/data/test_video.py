import os
import pathlib
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dst_jax.data.frames import FEW_VALUES, TURNED
from dst_jax.data.video import CutOffError, frame_rate, video_frames
from dst_jax.errors import InputError
from tests.data.images import encoded, exif, jpeg_with, picture, tiff_of


def write(path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return path


def test_a_folder_is_a_video(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.png", np.full((4, 4, 3), i, np.uint8))
    assert [f[0, 0, 0] for f in video_frames(tmp_path)] == [0, 1, 2]


def test_a_frame_of_another_size_is_named(tmp_path):
    for i, width in enumerate((4, 4, 5)):
        write(tmp_path / f"{i}.png", np.zeros((4, width), np.uint8))
    frames = video_frames(tmp_path)
    next(frames), next(frames)
    with pytest.raises(InputError, match=r"2.png has 5x4 px, the first one 4x4"):
        next(frames)


def write_video(path, count, *, code="MJPG", fps=10):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, (32, 32))
    assert writer.isOpened()
    for i in range(count):
        writer.write(np.full((32, 32, 3), (10, 20, 40 * i % 256), np.uint8))
    writer.release()
    return path


def test_a_video_file_gives_its_frames_in_rgb(tmp_path):
    frames = list(video_frames(write_video(tmp_path / "a.avi", 5)))
    assert len(frames) == 5
    np.testing.assert_allclose(frames[4][16, 16], [160, 20, 10], atol=12)


def test_a_video_file_that_was_cut_off_is_refused_at_its_end(tmp_path):
    path = write_video(tmp_path / "a.avi", 20)
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    decoded = 0
    with pytest.raises(InputError, match=r"a\.avi ends after (\d+) of 20 f") as raised:
        for _ in video_frames(path):
            decoded += 1
    assert 0 < decoded < 15
    assert f"after {decoded} of" in str(raised.value)


@pytest.fixture
def clip(tmp_path):
    """A Matroska file of 20 frames at 10 frames a second."""
    path = tmp_path / "a.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (32, 32))
    for i in range(20):
        writer.write(np.full((32, 32, 3), 10 * i, np.uint8))
    writer.release()
    return path


def with_duration(content, milliseconds):
    """Returns a Matroska file that says to last so long, as with longer sound."""
    at = content.index(b"\x44\x89\x88") + 3
    return content[:at] + struct.pack(">d", milliseconds) + content[at + 8 :]


@pytest.mark.parametrize("seconds", [2.2, 2.5, 60.0, 1e9, float("nan"), -1.0])
def test_a_video_with_longer_sound_is_whole_and_told_of(clip, seconds):
    clip.write_bytes(with_duration(clip.read_bytes(), 1000 * seconds))
    notes = []
    assert len(list(video_frames(clip, note=notes.append))) == 20
    if seconds == 2.5:
        assert notes == [
            f"video {clip}: it has 20 frames, and its container speaks of 25; its "
            "sound may last longer, frames be hidden or damaged."
        ]
    assert len(notes) == (2.5 <= seconds < np.inf)
    assert len(list(video_frames(clip))) == 20


@pytest.mark.parametrize("suffix", ["mkv", "avi", "mp4"])
def test_every_frame_of_a_file_that_was_cut_off_comes_before_the_error(
    tmp_path, suffix
):
    path = tmp_path / f"a.{suffix}"
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), code, 10, (32, 32))
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    for frame in noise:
        writer.write(frame)
    writer.release()
    content = path.read_bytes()
    if suffix == "mp4":
        # The index moves to the front, as in files for the web; what it points at too.
        content = with_index_first(content)
    path.write_bytes(content[: len(content) * 7 // 10])
    decoded = 0
    with pytest.raises(CutOffError, match=rf"a\.{suffix} ends after (\d+) of 20 fr"):
        for _ in video_frames(path):
            decoded += 1
    assert 6 <= decoded <= 16


def with_index_first(content):
    index = content.index(b"moov") - 4
    head = content.index(b"mdat") - 4
    moved = bytearray(content[index:])
    at = moved.index(b"stco") + 12
    assert int.from_bytes(moved[at - 4 : at], "big") == 1
    first = int.from_bytes(moved[at : at + 4], "big") + len(moved)
    moved[at : at + 4] = first.to_bytes(4, "big")
    return content[:head] + bytes(moved) + content[head:index]


def test_an_mp4_that_was_cut_off_before_its_index_says_how_much_there_is(tmp_path):
    path = write_video(tmp_path / "a.mp4", 20, code="mp4v")
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(
        InputError,
        match=f"cut off after {len(content) - 100} of {len(content)} bytes; copy it",
    ):
        next(video_frames(path))


NAMES = [
    b"cam1:12.mp4",
    b"http:x.mp4",
    b"file:x.mp4",
    b"-i.mp4",
    b"~x.mp4",
    b"%03d.mp4",
    b"a[1]*?.mp4",
    b"caf\xe9.mp4",
    b"\xff\xfe",
    b"two\nlines\x1b[2J.mp4",
    b"no suffix",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_bytes_and_no_address_and_no_pattern(tmp_path, monkeypatch, name):
    content = write_video(tmp_path / "plain.mp4", 3, code="mp4v").read_bytes()
    path = os.path.join(tmp_path, os.fsdecode(name))
    pathlib.Path(path).write_bytes(content)
    assert len(list(video_frames(path))) == 3
    monkeypatch.chdir(tmp_path)
    assert len(list(video_frames(os.fsdecode(name)))) == 3
    assert frame_rate(path) == 10.0


def test_one_image_called_like_a_pattern_is_one_frame(tmp_path):
    for name in ("%03d.png", "000.png", "001.png"):
        write(tmp_path / name, np.zeros((4, 4), np.uint8))
    assert len(list(video_frames(tmp_path / "%03d.png"))) == 1
    assert len(list(video_frames(tmp_path / "000.png"))) == 1


def test_an_address_is_not_fetched(tmp_path):
    with pytest.raises(InputError, match="download it first, addresses are not fetc"):
        next(video_frames("http://127.0.0.1:9/a.mp4"))


def test_what_would_wait_for_a_writer_is_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.mp4 is no file"):
        next(video_frames(tmp_path / "a.mp4"))


@pytest.mark.parametrize("fps", [29.97, 119.973, 500.0, 0.5])
def test_the_rate_of_a_file_is_the_one_it_was_written_with(tmp_path, fps):
    path = write_video(tmp_path / "a.avi", 12, fps=fps)
    assert frame_rate(path) == pytest.approx(fps, rel=1e-3)


def test_a_folder_has_no_rate(tmp_path):
    assert frame_rate(tmp_path) is None


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv"])
def test_a_damaged_file_gives_frames_or_one_error_and_never_a_crash(tmp_path, suffix):
    code = "MJPG" if suffix == "avi" else "mp4v"
    write_video(tmp_path / f"a.{suffix}", 12, code=code)
    program = [sys.executable, "-c", DAMAGED, str(tmp_path / f"a.{suffix}")]
    root = pathlib.Path(__file__).parents[2]
    quiet = {"OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
    done = subprocess.run(
        program,
        env={**os.environ, **quiet, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "40 damages\n"


# It runs in a process of its own: a fault of the decoder would end that of the tests.
DAMAGED = """
import pathlib, sys
from hypothesis import HealthCheck, given, settings, strategies as st
from dst_jax.data.frames import FEW_VALUES, TURNED
from dst_jax.data.video import CutOffError, frame_rate, video_frames
from dst_jax.errors import InputError
from tests.data.images import encoded, exif, jpeg_with, picture, tiff_of

path = pathlib.Path(sys.argv[1])
whole = path.read_bytes()
cut = st.integers(0, len(whole))
piece = st.tuples(st.integers(0, len(whole) - 1), st.binary(min_size=1, max_size=8))
tried = 0

@settings(max_examples=40, deadline=20_000, database=None, derandomize=True,
          suppress_health_check=list(HealthCheck))
@given(st.none() | cut, st.lists(piece, max_size=12))
def damage(end, flips):
    global tried
    tried += 1
    content = bytearray(whole)
    for at, piece in flips:
        content[at : at + len(piece)] = piece
    path.write_bytes(content[:end])
    frames = 0
    try:
        for frame in video_frames(path):
            frames += 1
            assert frame.ndim == 3 and frame.shape[2] == 3 and frames < 10_000
    except InputError as error:
        assert path.name in str(error) and "\\n" not in str(error)

damage()
print(tried, "damages")
"""


def test_what_is_no_video_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        next(video_frames(tmp_path))
    with pytest.raises(InputError, match="does not exist"):
        next(video_frames(tmp_path / "gone.mp4"))
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="cannot be decoded"):
        next(video_frames(tmp_path / "bad.mp4"))


def test_stills_are_shown_as_viewers_show_them_and_told_of(tmp_path):
    stored = encoded(".jpg", picture(100, 176))
    for number in range(2):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg_with(exif(8), stored))
    said = []
    frames = list(video_frames(tmp_path, note=said.append))
    upright = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert len(frames) == 2
    np.testing.assert_array_equal(frames[0], np.rot90(upright))  # 8: 270 degrees
    assert said == [f"frame {tmp_path / '0.jpg'} is an {TURNED}."]


def test_few_grey_values_are_told_of_once(tmp_path):
    pixels = np.linspace(7600, 8400, 2400).reshape(40, 60).astype(np.uint16)
    for number in range(2):
        write(tmp_path / f"{number}.png", pixels)
    said = []
    assert len(list(video_frames(tmp_path, note=said.append))) == 2
    assert said == [f"frame {tmp_path / '0.png'} is an {FEW_VALUES}."]


def test_a_still_is_a_video_of_one_frame_and_a_stack_of_pages_is_refused(tmp_path):
    write(tmp_path / "a.png", np.full((4, 4, 3), 9, np.uint8))
    assert [f.max() for f in video_frames(tmp_path / "a.png")] == [9]
    (tmp_path / "stack.tif").write_bytes(tiff_of(6))
    with pytest.raises(InputError, match=r"stack\.tif holds several pictures"):
        next(video_frames(tmp_path / "stack.tif"))
