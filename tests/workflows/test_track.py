import contextlib
import errno
import io
import os
import pathlib
import resource
import struct
import subprocess
import sys
from fractions import Fraction

import cv2
import jax
import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking, make_tracker
from dst_jax.track.targets import follow_targets
from dst_jax.workflows import encoded_video, track, track_output
from dst_jax.workflows.encoded_video import encodable_rate
from dst_jax.workflows.track import parse_box, track_video
from tests.track import scenes

BOX = [(60.25, 50.0, 20.0, 20.0)]
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


def test_the_bar_counts_frames_whose_boxes_are_there_not_those_read(
    bundle, folder, tmp_path, monkeypatch
):
    told = []

    class Bar(Progress):
        def update(self, task_id, *, advance, since):
            told.append(("boxes", advance))

    def slow_parts(tracker, frames, boxes, *, live):
        ahead = list(frames)
        told.append(("read", len(ahead)))
        for part in follow_targets(tracker, ahead, boxes, live=True):
            told.append(("found", len(part.frames)))
            yield part

    monkeypatch.setattr(track, "follow_targets", slow_parts)
    monkeypatch.setattr(track, "_progress", lambda console: Bar(console=console))
    track_video(bundle, folder, BOX, tmp_path / "o.csv", console=QUIET)
    assert told == [("read", 4)] + 4 * [("found", 1), ("boxes", 1)]


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
    assert track_video(bundle, source, BOX, tmp_path / "o.txt", console=QUIET) == 4


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
    attempt("outside", box=[(500.0, 0.0, 10.0, 10.0)])
    attempt("empty", box=[(5.0, 5.0, 0.0, 10.0)])
    attempt(r"end it in \.txt, \.csv, \.jsonl or \.mp4\.", out=tmp_path / "out.gif")
    (folder / "0001.png").write_bytes(b"")
    attempt("0001.png")
    assert not out.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "frames"]


def test_video_of_one_frame_gives_one_line(bundle, folder, tmp_path):
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    track_video(bundle, folder, BOX, tmp_path / "one.txt", console=QUIET)
    assert (tmp_path / "one.txt").read_text() == "60.2500,50.0000,20.0000,20.0000\n"


def frames_in(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def film(path, count=4, *, fps=25.0, size=(150, 120)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for frame in scenes.video(count, velocity=(2.0, 0.0))[0]:
        writer.write(np.ascontiguousarray(frame[: size[1], : size[0], ::-1]))
    writer.release()
    return path


@pytest.mark.parametrize(
    ("fps", "written"),
    [
        (29.97, 29.97),
        (119.973, 119.973),
        (240.0, 240.0),
        (0.5, 0.5),
        (700.123, 700.123),
    ],
)
def test_a_video_keeps_its_rate_as_near_as_can_be_encoded(
    bundle, tmp_path, fps, written
):
    # Motion JPEG in AVI takes any rate.
    source = tmp_path / "a.avi"
    writer = cv2.VideoWriter(
        str(source), cv2.VideoWriter.fourcc(*"MJPG"), fps, (150, 120)
    )
    for frame in scenes.video(3, velocity=(2.0, 0.0))[0]:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    track_video(bundle, source, BOX, tmp_path / "o.mp4", console=QUIET)
    capture = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(written, rel=1e-4)
    capture.release()
    assert frames_in(tmp_path / "o.mp4") == 3


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (30000 / 1001, Fraction(30000, 1001)),
        (1e9, Fraction(1000)),
        (0.0, Fraction(1, 100)),
        (1000 / 1001, Fraction(1000, 1001)),
        (24.0, Fraction(24)),
    ],
)
def test_rates_are_fractions_so_that_television_s_are_kept(fps, expected):
    assert encodable_rate(fps) == expected


def test_odd_sides_get_one_more_row_or_column(bundle, folder, tmp_path):
    for path in folder.iterdir():
        image = cv2.imread(str(path))
        cv2.imwrite(str(path), image[:119, :149])
    track_video(bundle, folder, BOX, tmp_path / "o.mp4", console=QUIET)
    capture = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    assert capture.read()[1].shape == (120, 150, 3)
    capture.release()


@pytest.mark.parametrize(
    "name", [b"cam1:12", b"run:1/%03d", b"caf\xe9/\xff", b"[/b]", b"-o", b"x" * 251]
)
@pytest.mark.parametrize("suffix", [b".txt", b".mp4"])
def test_names_of_videos_and_outputs_are_bytes(bundle, tmp_path, name, suffix):
    source = tmp_path / os.fsdecode(b"in \xe9:%03d.mp4")
    source.write_bytes(film(tmp_path / "plain.mp4").read_bytes())
    out = tmp_path / os.fsdecode(name + suffix)
    said = io.StringIO()
    track_video(bundle, source, BOX, out, console=Console(file=said, width=40))
    if suffix == b".txt":
        assert len(out.read_text().splitlines()) == 4
    else:
        (tmp_path / "copy.mp4").write_bytes(out.read_bytes())
        assert frames_in(tmp_path / "copy.mp4") == 4
    assert said.getvalue().endswith(": 4 frames.\n")
    assert said.getvalue().count("\n") == 1
    said.getvalue().encode()  # what is no UTF-8 is shown escaped


def with_longer_sound(path, milliseconds):
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3
    path.write_bytes(content[:at] + struct.pack(">d", milliseconds) + content[at + 8 :])
    return path


def test_a_video_with_longer_sound_is_tracked_whole_and_told_of_once(bundle, tmp_path):
    source = with_longer_sound(film(tmp_path / "a.mkv", 20), 1000.0)
    said = io.StringIO()
    console = Console(file=said, width=400)
    track_video(bundle, source, BOX, tmp_path / "o.mp4", console=console)
    assert frames_in(tmp_path / "o.mp4") == 20
    told, done = said.getvalue().splitlines()
    assert told.startswith(f"video {source}: it has 20 frames, and its container speak")
    assert done == f"{tmp_path / 'o.mp4'}: 20 frames."


@pytest.mark.parametrize("suffix", [".txt", ".mp4"])
def test_of_a_video_that_was_cut_off_what_is_there_is_kept(bundle, tmp_path, suffix):
    source = film(tmp_path / "a.mkv", 20)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 7 // 10])
    out = tmp_path / f"o{suffix}"
    with pytest.raises(InputError, match=r"a\.mkv ends after \d+ of 20 fr") as told:
        track_video(bundle, source, BOX, out, console=QUIET)
    kept = int(str(told.value).split("ends after ")[1].split()[0])
    assert 5 <= kept < 20 and str(told.value).endswith(
        f"{out} has the {kept} frames before."
    )
    read = frames_in(out) if suffix == ".mp4" else len(out.read_text().splitlines())
    assert read == kept


def boxes_on(text):
    return [row for row in text.splitlines() if row.count(",") == 3]


class Full:
    """A function of an output that works so many times, as on a disk that fills up."""

    def __init__(self, function, times):
        self.function, self.left = function, times

    def __call__(self, *arguments, **options):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.function(*arguments, **options)


@pytest.mark.parametrize("times", [0, 1])
@pytest.mark.parametrize(
    ("suffix", "function"),
    [
        (".txt", "lines"),
        (".csv", "lines"),
        (".mp4", "draw_boxes"),
        (".mp4", "frames_in"),
    ],
)
def test_boxes_that_cannot_be_written_are_printed(
    bundle, folder, tmp_path, monkeypatch, capsys, suffix, function, times
):
    monkeypatch.setattr("dst_jax.track.targets.chunk_length", lambda canvas: 2)
    full = Full(getattr(track_output, function), times * (function != "frames_in"))
    monkeypatch.setattr(track_output, function, full)
    out = tmp_path / f"o{suffix}"
    with pytest.raises(InputError) as told:
        track_video(bundle, folder, BOX, out, console=QUIET)
    assert str(told.value) == (
        f"{out}: not written: No space left on device. The boxes of all 4 frames are "
        "on standard output."
    )
    printed = boxes_on(capsys.readouterr().out)
    assert len(printed) == 4 and printed[0] == "60.2500,50.0000,20.0000,20.0000"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "frames"]


@pytest.fixture
def noise(tmp_path):
    """A folder of 8 frames that no encoder makes small."""
    path = tmp_path / "noise"
    path.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (8, 120, 150, 3), np.uint8)
    for number, frame in enumerate(values):
        cv2.imwrite(str(path / f"{number}.png"), frame)
    return path


@contextlib.contextmanager
def largest_file(size):
    _, hard = old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_video_that_is_not_whole_does_not_get_its_name(
    bundle, noise, tmp_path, capsys, monkeypatch
):
    # A bound of files is like a disk that fills up.
    write = track.opened_output

    @contextlib.contextmanager
    def bounded(*arguments, **options):
        with largest_file(6000), write(*arguments, **options) as bound:
            yield bound

    monkeypatch.setattr(track, "opened_output", bounded)
    with pytest.raises(InputError, match=r"o\.mp4: not written: File too large\. The "):
        track_video(bundle, noise, BOX, tmp_path / "o.mp4", console=QUIET)
    assert len(boxes_on(capsys.readouterr().out)) == 8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "noise"]


@pytest.mark.parametrize("free_kb", [0, 20, 40, 60, 600])
def test_a_disk_that_fills_up_is_named_and_leaves_nothing(
    bundle, noise, tmp_path, capsys, free_kb
):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    try:
        (disk / "fill").write_bytes(bytes(1024 * (1024 - free_kb)))
        try:
            track_video(bundle, noise, BOX, disk / "o.mp4", console=QUIET)
        except InputError as error:
            told = str(error)
            assert str(disk / "o.mp4") in told
            assert "free on" in told or "No space left on device" in told
            before_the_work = "are needed" in told or "cannot write" in told
            printed = len(boxes_on(capsys.readouterr().out))
            assert printed == (0 if before_the_work else 8)
            assert [p.name for p in disk.iterdir()] == ["fill"]
        else:
            assert frames_in(disk / "o.mp4") == 8 and free_kb > 60
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def never(*arguments, **options):
    raise AssertionError("work began")


@pytest.mark.parametrize("suffix", [".txt", ".mp4"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    bundle, folder, tmp_path, monkeypatch, suffix
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(track, "load_bundle", never)
    with pytest.raises(InputError, match="file is no folder; name another place"):
        track_video(bundle, folder, BOX, tmp_path / "file" / f"o{suffix}")


def test_a_disk_without_space_is_told_before_the_work(
    bundle, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("dst_jax.files.free_bytes", lambda path: 0)
    monkeypatch.setattr(track, "follow_targets", never)
    with pytest.raises(InputError, match="are free on that disk and about"):
        track_video(bundle, folder, BOX, tmp_path / "o.mp4", console=QUIET)


def test_an_encoder_that_fails_is_told_before_the_work(
    bundle, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(encoded_video, "_QUALITY", {"preset": "none such"})
    monkeypatch.setattr(track, "follow_targets", never)
    with pytest.raises(InputError, match="cannot write 150x120 px at 30 frames/s"):
        track_video(bundle, folder, BOX, tmp_path / "new" / "o.mp4", console=QUIET)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "frames"]


def test_frames_beyond_the_largest_are_named_by_their_file(bundle, tmp_path):
    source = tmp_path / "a.avi"
    writer = cv2.VideoWriter(
        str(source), cv2.VideoWriter.fourcc(*"MJPG"), 10, (7696, 32)
    )
    writer.write(np.zeros((32, 7696, 3), np.uint8))
    writer.release()
    with pytest.raises(
        InputError,
        match=r"video .*a\.avi: a frame of 32x7696 px does not fit; sides must lie in",
    ):
        track_video(bundle, source, BOX, tmp_path / "o.txt", console=QUIET)


def test_a_tracker_without_any_finite_answer_is_told_of(folder, tmp_path, monkeypatch):
    nan = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), scenes.weights())
    bad = Bundle(scenes.SPEC, nan, SiamFCTracking(), {})
    monkeypatch.setattr(track, "load_bundle", lambda path: bad)
    with pytest.raises(
        InputError, match="bad: its answers are not finite for 3 of 4 frames, from fram"
    ):
        track_video(tmp_path / "bad", folder, BOX, tmp_path / "o.txt", console=QUIET)
    assert len((tmp_path / "o.txt").read_text().splitlines()) == 4


KILLED = """
import os, pathlib, sys
from dst_jax import files
with files.whole_file(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os._exit(9)
"""


def test_what_a_killed_call_left_is_gone_after_the_next(bundle, folder, tmp_path):
    out = tmp_path / "out" / "o.txt"
    out.parent.mkdir()
    root = pathlib.Path(track.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    program = [sys.executable, "-c", KILLED, str(out)]
    assert subprocess.run(program, env=environment).returncode == 9
    (left,) = out.parent.iterdir()
    assert left.name.startswith(".tmp-")
    track_video(bundle, folder, BOX, out, console=QUIET)
    assert list(out.parent.iterdir()) == [out]


def test_numbers_of_64_bits_change_no_box(bundle, folder, tmp_path):
    track_video(bundle, folder, BOX, tmp_path / "32.txt", console=QUIET)
    with jax.enable_x64(True):
        track_video(bundle, folder, BOX, tmp_path / "64.txt", console=QUIET)
    boxes = [np.loadtxt(tmp_path / f"{bits}.txt", delimiter=",") for bits in (32, 64)]
    np.testing.assert_allclose(*boxes, atol=1e-2)
