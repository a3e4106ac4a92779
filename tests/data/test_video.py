import cv2
import numpy as np
import pytest

from dst_jax.data.video import video_frames
from dst_jax.errors import InputError


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


def write_video(path, count):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
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


class FakeCapture:
    """Ten frames a second for one second; a container that promises what it likes."""

    promised, rate = 10.0, 10.0

    def __init__(self, path):
        self.taken = 0

    def isOpened(self):
        return True

    def read(self):
        self.taken += 1
        whole = self.taken <= 10
        return whole, np.zeros((4, 4, 3), np.uint8) if whole else None

    def get(self, what):
        return {
            cv2.CAP_PROP_FRAME_COUNT: self.promised,
            cv2.CAP_PROP_FPS: self.rate,
            cv2.CAP_PROP_POS_MSEC: 100.0 * (self.taken - 1),
        }[what]

    def release(self):
        pass


@pytest.mark.parametrize(
    ("promised", "rate", "whole"),
    [
        (10.0, 10.0, True),
        (12.0, 10.0, True),  # as good as all
        (30.0, 30.0, True),  # a number estimated from a wrong rate; the time is right
        (10.0, 5.0, True),  # all frames, whatever the time
        (-9e18, 10.0, True),  # unknown
        (0.0, 0.0, True),
        (20.0, 10.0, False),
    ],
)
def test_an_end_is_believed_if_number_or_time_of_the_frames_is_as_promised(
    tmp_path, monkeypatch, promised, rate, whole
):
    (tmp_path / "a.mkv").write_bytes(b"")
    monkeypatch.setattr(FakeCapture, "promised", promised)
    monkeypatch.setattr(FakeCapture, "rate", rate)
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    frames = video_frames(tmp_path / "a.mkv")
    if whole:
        assert len(list(frames)) == 10
    else:
        with pytest.raises(InputError, match="ends after 10 of 20 frames"):
            list(frames)


def test_what_is_no_video_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        next(video_frames(tmp_path))
    with pytest.raises(InputError, match="does not exist"):
        next(video_frames(tmp_path / "gone.mp4"))
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="cannot be decoded"):
        next(video_frames(tmp_path / "bad.mp4"))
