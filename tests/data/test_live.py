"""Live video: frames from a pipe of any usual kind, cameras and addresses that stop."""

import os
import threading
import time

import av
import cv2
import numpy as np
import pytest

from dst_jax.data import live
from dst_jax.data.live import LiveVideo, is_live
from dst_jax.errors import InputError

HEIGHT, WIDTH = 24, 32


def y4m(lumas, *, rate=b"25:1", height=HEIGHT, width=WIDTH):
    """Grey frames by hand: luma 16 is black, 235 white, colours have their middle."""
    head = b"YUV4MPEG2 W%d H%d F%s Ip C444\n" % (width, height, rate)
    colour = bytes([128]) * (2 * height * width)
    frames = [b"FRAME\n" + bytes([y]) * (height * width) + colour for y in lumas]
    return head + b"".join(frames)


def encoded(path, container, codec, count=4):
    """A stream of grey frames that get brighter by 40 each."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(count):
            grey = np.full((HEIGHT, WIDTH, 3), 40 * number + 20, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        out.mux(stream.encode(None))
    return path.read_bytes()


@pytest.fixture
def piped(monkeypatch):
    """Makes standard input a pipe into which pieces are written, one after another."""
    opened, writers = [], []

    def feed(*pieces, then=None):
        reader, writer = os.pipe()

        def write():
            with os.fdopen(writer, "wb", buffering=0) as pipe:
                for piece in pieces:
                    pipe.write(piece)
                if then is not None:
                    then.wait(10)

        stdin = os.fdopen(reader, "rb")
        opened.append(stdin)
        monkeypatch.setattr("sys.stdin", stdin)
        writers.append(threading.Thread(target=write))
        writers[-1].start()

    yield feed
    for stdin in opened:
        stdin.close()
    for writer in writers:
        writer.join()


def read(video="-"):
    source, notes = LiveVideo(video), []
    return source, list(source.frames(notes.append)), notes


def test_frames_of_a_pipe_have_the_colours_and_the_rate_that_were_sent(piped):
    piped(y4m([16, 126, 235], rate=b"30000:1001"))
    source, frames, notes = read()
    assert [frame.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * 3
    assert all(frame.dtype == np.uint8 for frame in frames)
    for frame, grey in zip(frames, [0, 128, 255], strict=True):
        np.testing.assert_allclose(frame, grey, atol=1)
    assert source.rate() == pytest.approx(29.97003, abs=1e-5)
    assert source.live and notes == []


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mpjpeg", "mjpeg"),
        ("matroska", "libx264"),
        ("mpegts", "libx264"),
        ("avi", "mpeg4"),
        ("nut", "mpeg4"),
    ],
)
def test_usual_streams_are_read_from_a_pipe(piped, tmp_path, container, codec):
    piped(encoded(tmp_path / "stream", container, codec))
    _, frames, _ = read()
    assert len(frames) == 4
    for number, frame in enumerate(frames):
        np.testing.assert_allclose(frame, 40 * number + 20, atol=8)


def test_pictures_one_after_another_are_a_stream(piped):
    pictures = [np.full((HEIGHT, WIDTH, 3), grey, np.uint8) for grey in (40, 90, 140)]
    piped(b"".join(cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures))
    _, frames, _ = read()
    assert [round(float(frame.mean())) for frame in frames] == [40, 90, 140]


def test_a_frame_is_given_before_the_next_one_is_sent(piped):
    done = threading.Event()
    # What is behind the third frame does not come before the second is looked at.
    piped(y4m([16, 126, 235]), then=done)
    frames = LiveVideo("-").frames(print)
    began = time.monotonic()
    assert next(frames).mean() < 2 and abs(next(frames).mean() - 128) < 2
    assert time.monotonic() - began < 8
    done.set()
    assert len(list(frames)) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no video at all\n" * 100,
        # A playlist would open the file that it names.
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
    ],
    ids=["empty", "text", "playlist", "list"],
)
def test_what_is_no_stream_is_refused_in_a_line(piped, content):
    piped(content)
    with pytest.raises(
        InputError, match="is no video that can be read from a pipe; gi"
    ):
        read()


def test_a_terminal_is_no_pipe(monkeypatch):
    controller, terminal = os.openpty()
    try:
        with os.fdopen(terminal, "rb") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            with pytest.raises(InputError, match="no pipe; pipe a video into dst-jax"):
                read()
    finally:
        os.close(controller)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputError, match="no pipe; pipe a video into dst-jax"):
        read()


def test_a_frame_that_cannot_be_decoded_is_left_out_with_a_note(piped, tmp_path):
    parts = encoded(tmp_path / "stream", "mpjpeg", "mjpeg", count=6).split(b"\r\n\r\n")
    # The third picture, whose length is stated, without what it shows.
    picture, boundary = parts[3].split(b"\r\n--", 1)
    parts[3] = picture[:4] + bytes(len(picture) - 4) + b"\r\n--" + boundary
    piped(b"\r\n\r\n".join(parts))
    _, frames, notes = read()
    assert [round(frame.mean() / 40 - 0.5) for frame in frames] == [0, 1, 3, 4, 5]
    assert notes == ["standard input: parts cannot be decoded; left out."]


def test_a_camera_that_is_not_there_is_named(monkeypatch):
    with pytest.raises(InputError, match=r"camera 93: /dev/video93 does not exist; th"):
        read(93)


def test_an_address_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(
        InputError, match=r"stream rtsp://127\.0\.0\.1:1/a cannot be r"
    ) as e:
        read("rtsp://me:secret@127.0.0.1:1/a")
    assert "secret" not in str(e.value)


@pytest.mark.parametrize("video", [0, "rtsp://host/a"])
def test_a_camera_or_an_address_that_stops_is_told_after_its_last_frame(
    tmp_path, monkeypatch, video
):
    path = tmp_path / "a.y4m"
    path.write_bytes(y4m([16, 126, 235]))
    monkeypatch.setattr(live, "_opened", lambda *_: av.open(str(path)))
    source = LiveVideo(video)
    frames = source.frames(print)
    assert len([next(frames) for _ in range(3)]) == 3
    with pytest.raises(InputError) as told:
        next(frames)
    assert str(told.value) == f"{source.name} stopped: no more frames came."


@pytest.mark.parametrize("video", ["-", 0, "rtsp://h/s", "RTSPS://h/s"])
def test_live_video_is_told_from_files(video):
    assert is_live(video)


@pytest.mark.parametrize("video", ["0", "a-", "clip.mp4", "http://h/s", "rtsp:/h"])
def test_files_are_told_from_live_video(video):
    assert not is_live(video)
