"""A window for frames and boxes, and one line where there is no display."""

import os
import sys

import cv2
import numpy as np
import pytest
from rich.console import Console

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.command.main import main
from dst_jax.errors import InputError
from dst_jax.track import SiamFCTracking
from dst_jax.workflows import track
from dst_jax.workflows.track import track_video
from dst_jax.workflows.window import Window, opened_window
from tests.track import scenes

QUIET = Console(quiet=True)
COUNT = 4


@pytest.fixture
def words(tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {})
    bundle = save_bundle(value, tmp_path / "bundle")
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(scenes.video(COUNT, velocity=(2.0, 0.0))[0]):
        cv2.imwrite(str(tmp_path / f"frames/{number}.png"), frame[..., ::-1])
    return bundle, tmp_path / "frames"


@pytest.mark.parametrize("option", ["--show", "--box"])
def test_without_a_display_a_line_says_so(words, tmp_path, monkeypatch, capsys, option):
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    bundle, folder = words
    out = tmp_path / "o.csv"
    given = ["--box", "60,50,20,20"]
    asked = ["--show", *given] if option == "--show" else ["--box", "ask"]
    line = ["track", "--tracker", str(bundle), "--video", str(folder), *asked]
    assert main([*line, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    name = "--show" if option == "--show" else "--box ask"
    assert told.startswith(f"dst-jax: {name}: there is no display (")
    assert told.count("\n") == 1 and not out.exists()


def test_without_tkinter_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(InputError, match="--show: this Python has no tkinter"):
        with opened_window("a", (10, 10), option="--show"):
            pass


class Seen(Window):
    """Stands for a window: answers with boxes, counts frames, closes after some."""

    def __init__(self, boxes=(), closes_after=99):
        self.boxes, self.left, self.frames = list(boxes), closes_after, []

    def __call__(self, title, hw, *, option):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def ask(self, rgb):
        return self.boxes

    def show(self, rgb):
        self.frames.append(rgb)
        return len(self.frames) < self.left


def test_drawn_boxes_are_followed_beside_given_ones(words, tmp_path, monkeypatch):
    seen = Seen(boxes=[(60.0, 50.0, 20.0, 20.0)])
    monkeypatch.setattr(track, "opened_window", seen)
    out = tmp_path / "o.csv"
    track_video(*words, [(20.0, 20.0, 9.0, 9.0)], out, ask=True, console=QUIET)
    lines = out.read_text().splitlines()[1:3]
    assert lines[0].startswith("0,0,20.0000,20.0000,9.0000,")
    assert lines[1].startswith("0,1,60.0000,50.0000,20.0000,")
    assert seen.frames == []


def test_frames_are_shown_with_boxes_until_the_window_is_closed(
    words, tmp_path, monkeypatch
):
    box, out = [(60.0, 50.0, 20.0, 20.0)], tmp_path / "o.txt"
    for closes_after, count in ((99, COUNT), (2, 2)):
        seen = Seen(closes_after=closes_after)
        monkeypatch.setattr(track, "opened_window", seen)
        assert track_video(*words, box, out, show=True, console=QUIET) == count
        assert len(seen.frames) == count == len(out.read_text().splitlines())
        # The upper line of the first box.
        np.testing.assert_array_equal(seen.frames[0][50, 60:80], [(60, 220, 60)] * 20)


@pytest.mark.skipif(
    "DISPLAY" not in os.environ, reason="no display: DISPLAY is not set"
)
def test_a_box_is_drawn_with_the_mouse_and_taken_with_enter():
    frame = np.full((120, 160, 3), 90, np.uint8)
    with opened_window("a", (120, 160), option="--box ask") as window:
        assert window.show(frame)
        root, canvas = window._root, window._canvas

        def move(kind, x, y):
            canvas.event_generate(kind, x=x, y=y)

        def draw():
            for x0, y0, x1, y1 in ((90, 80, 30, 20), (5, 5, 6, 6), (10, 10, 150, 40)):
                move("<ButtonPress-1>", x0, y0)
                move("<B1-Motion>", x1, y1)
                move("<ButtonRelease-1>", x1, y1)
            root.focus_force()
            root.event_generate("<BackSpace>")
            root.event_generate("<Return>")

        root.after(50, draw)
        # Drawn from the lower right; too small a one and the last are taken back.
        assert window.ask(frame) == [(30.0, 20.0, 60.0, 60.0)]
        window._close()
        assert not window.show(frame)
