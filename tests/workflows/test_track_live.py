"""Targets are followed in video that comes as it happens, and every frame is kept."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time

import av
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.data import live
from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking
from dst_jax.workflows.track import track_video
from tests.track import scenes

QUIET = Console(quiet=True)
BOX = (60.0, 50.0, 20.0, 20.0)
COUNT = 6
FRAMES, TRUE = scenes.video(COUNT, velocity=(2.0, 1.0))


def y4m(frames):
    """Grey frames as a stream, by hand."""
    height, width, _ = frames[0].shape
    pieces = [b"YUV4MPEG2 W%d H%d F25:1 Ip C444\n" % (width, height)]
    for frame in frames:
        luma = np.round(16 + frame.mean(axis=2) * 219 / 255).astype(np.uint8)
        colours = bytes([128]) * (2 * luma.size)
        pieces.append(b"FRAME\n" + luma.tobytes() + colours)
    return pieces


@pytest.fixture
def bundle(tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(lost_below=0.01), {})
    return save_bundle(value, tmp_path / "bundle")


@pytest.fixture
def pipe(monkeypatch):
    """The end of a pipe whose other end is standard input."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            yield pipe


def corners(path):
    with path.open() as file:
        return [[float(row[n]) for n in "xywh"] for row in csv.DictReader(file)]


def expected_corners():
    return [(60 + 2 * t, 50 + t, 20, 20) for t in range(COUNT)]


def send(pipe, pieces):
    def write():
        with pipe:
            for piece in pieces:
                pipe.write(piece)

    writer = threading.Thread(target=write)
    writer.start()
    return writer


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".txt", ".mp4"])
def test_a_target_is_followed_in_a_pipe(bundle, pipe, tmp_path, suffix, capsys):
    out = tmp_path / "new" / f"o{suffix}"
    writer = send(pipe, y4m(FRAMES))
    words = ["--tracker", str(bundle), "--video", "-", "--box", "60,50,20,20"]
    assert main(["track", *words, "--out", str(out)]) == 0
    writer.join()
    assert f"{out}: 6 frames." in capsys.readouterr().out.replace("\n", "")
    if suffix == ".csv":
        np.testing.assert_allclose(corners(out), expected_corners(), atol=3.0)
    elif suffix == ".mp4":
        with av.open(str(out)) as container:
            stream = container.streams.video[0]
            assert stream.frames == COUNT and stream.average_rate == 25
    else:
        assert len(out.read_text().splitlines()) == COUNT
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_each_frame_is_in_the_file_before_the_next_one_comes(bundle, pipe, tmp_path):
    out, seen = tmp_path / "o.csv", []

    def camera():
        head, *pieces = y4m(FRAMES)
        with pipe:
            # FFmpeg wants two frames before it believes in a stream.
            pipe.write(head + pieces[0] + pieces[1])
            for number, piece in enumerate(pieces[2:], start=2):
                until = time.monotonic() + 30
                while time.monotonic() < until:
                    if out.exists() and len(out.read_text().splitlines()) > number:
                        break
                    time.sleep(0.005)
                seen.append(len(out.read_text().splitlines()) - 1)
                pipe.write(piece)

    writer = threading.Thread(target=camera)
    writer.start()
    assert track_video(bundle, "-", [BOX], out, console=QUIET) == COUNT
    writer.join()
    assert seen == [2, 3, 4, 5]


@pytest.mark.parametrize("suffix", [".csv", ".mp4"])
def test_of_a_camera_that_stops_the_boxes_are_there(
    bundle, tmp_path, monkeypatch, suffix
):
    path, out = tmp_path / "a.y4m", tmp_path / f"o{suffix}"
    path.write_bytes(b"".join(y4m(FRAMES[:4])))
    monkeypatch.setattr(live, "_opened", lambda *_: av.open(str(path)))
    with pytest.raises(InputError) as told:
        track_video(bundle, 0, [BOX], out, console=QUIET)
    assert str(told.value) == (
        f"camera 0 stopped: no more frames came. {out} has the 4 frames before."
    )
    if suffix == ".csv":
        np.testing.assert_allclose(corners(out), expected_corners()[:4], atol=3.0)
    else:
        with av.open(str(out)) as container:
            assert container.streams.video[0].frames == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_a_pipe_is_silent_loses_no_box(bundle, tmp_path, number):
    out = tmp_path / "o.csv"
    command = [sys.executable, "-m", "dst_jax.command.main", "track", "--out", str(out)]
    words = ["--tracker", str(bundle), "--video", "-", "--box", "60,50,20,20"]
    pipes = {name: subprocess.PIPE for name in ("stdin", "stderr")}
    with subprocess.Popen([*command, *words], **pipes) as process:
        process.stdin.write(b"".join(y4m(FRAMES)))
        process.stdin.flush()
        until = time.monotonic() + 90
        while time.monotonic() < until:
            if out.exists() and len(out.read_text().splitlines()) == COUNT + 1:
                break
            time.sleep(0.05)
        process.send_signal(number)
        code, told = process.wait(30), process.stderr.read().decode()
    np.testing.assert_allclose(corners(out), expected_corners(), atol=3.0)
    if number == signal.SIGINT:
        assert code == 130
        assert told == f"dst-jax: interrupted; {out} has the first {COUNT} frames\n"


def test_a_source_is_a_video_or_a_camera(bundle, tmp_path, capsys):
    words = ["track", "--tracker", str(bundle), "--box", "60,50,20,20"]
    out = ["--out", str(tmp_path / "o.csv")]
    for source in ([], ["--video", "-", "--camera", "0"]):
        assert main([*words, *source, *out]) == 2
        assert "give --video VIDEO or --camera N, and not" in capsys.readouterr().err
    assert main([*words, "--camera", "93", *out]) == 2
    assert "camera 93: /dev/video93 does not exist" in capsys.readouterr().err
    assert not (tmp_path / "o.csv").exists()


def test_memory_stays_flat_over_many_frames(bundle, pipe, tmp_path):
    """A hundredth of what `scripts/soak_track.py` streams."""
    head, *pieces = y4m(FRAMES[:2])
    count = 600
    sizes = []

    def camera():
        with pipe:
            pipe.write(head)
            for number in range(count):
                pipe.write(pieces[number % 2])
                if number in (200, count - 1):
                    with open("/proc/self/statm") as file:
                        sizes.append(int(file.read().split()[1]) * 4096)

    writer = threading.Thread(target=camera)
    writer.start()
    assert track_video(bundle, "-", [BOX], tmp_path / "o.csv", console=QUIET) == count
    writer.join()
    # 400 frames of this size are 22 MB.
    assert sizes[1] - sizes[0] < 8 * 2**20
