"""A window that shows frames, and in which boxes are drawn by hand, by tkinter.

OpenCV comes without windows here; Python brings tkinter along, mostly.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import UInt8

_SHARE_OF_SCREEN = 0.85
_LEAST_PX = 3
_HELP = "Draw a box around each object. Enter: begin. Backspace: undo. Escape: give up."


class Window:
    """A window with one frame in it; `opened_window` makes it.

    Args:
      tkinter: The module.
      root: Its main window.
      hw: Height and width of the frames.
    """

    def __init__(self, tkinter: Any, root: Any, hw: tuple[int, int]):
        self._root = root
        self._gone = tkinter.TclError
        self._photo_of = tkinter.PhotoImage
        height, width = hw
        room = _SHARE_OF_SCREEN * root.winfo_screenheight() / height
        room = min(room, _SHARE_OF_SCREEN * root.winfo_screenwidth() / width)
        self._scale = min(1.0, room)
        self._size = tuple(
            max(1, round(side * self._scale)) for side in (width, height)
        )
        self._canvas = tkinter.Canvas(
            root, width=self._size[0], height=self._size[1], highlightthickness=0
        )
        self._canvas.pack()
        self._image = self._canvas.create_image(0, 0, anchor="nw")
        self._drawn: list[int] = []
        self._open = True
        self._done = False
        root.protocol("WM_DELETE_WINDOW", self._close)

    def show(self, rgb: UInt8[np.ndarray, "h w 3"]) -> bool:
        """Shows a frame; returns False once the window was closed.

        Args:
          rgb: The frame.
        """
        with contextlib.suppress(self._gone):
            if not self._open:
                return False
            if self._scale < 1.0:
                rgb = cv2.resize(rgb, self._size, interpolation=cv2.INTER_AREA)
            head = b"P6 %d %d 255\n" % self._size
            # The canvas does not keep it.
            self._photo = self._photo_of(data=head + rgb.tobytes(), format="PPM")
            self._canvas.itemconfigure(self._image, image=self._photo)
            self._root.update()
            return self._open
        return False

    def ask(
        self, rgb: UInt8[np.ndarray, "h w 3"]
    ) -> list[tuple[float, float, float, float]]:
        """Returns boxes (x, y, w, h) that are drawn on a frame, in its pixels.

        Args:
          rgb: The frame.

        Raises:
          InputError: If none is drawn.
        """
        self.show(rgb)
        self._root.title(_HELP)
        self._canvas.bind("<ButtonPress-1>", self._press)
        self._canvas.bind("<B1-Motion>", self._drag)
        self._canvas.bind("<ButtonRelease-1>", self._release)
        for key, act in (
            ("<Return>", self._finish),
            ("<KP_Enter>", self._finish),
            ("<BackSpace>", self._undo),
            ("<Escape>", self._close),
        ):
            self._root.bind(key, act)
        while self._open and not self._done:
            # Not `mainloop`: it would keep Ctrl-C waiting for an event.
            self._root.update()
            self._root.after(10)
        if not self._open or not self._drawn:
            raise InputError("--box ask: no box was drawn; draw one, or give x,y,w,h.")
        boxes = [self._box(item) for item in self._drawn]
        for item in self._drawn:
            self._canvas.delete(item)
        for event in ("<ButtonPress-1>", "<B1-Motion>", "<ButtonRelease-1>"):
            self._canvas.unbind(event)
        return boxes

    def _press(self, event: Any) -> None:
        at = event.x, event.y
        item = self._canvas.create_rectangle(*at, *at, outline="#3cdc3c", width=2)
        self._drawn.append(item)

    def _drag(self, event: Any) -> None:
        if self._drawn:
            x, y, _, _ = self._canvas.coords(self._drawn[-1])
            self._canvas.coords(self._drawn[-1], x, y, event.x, event.y)

    def _release(self, event: Any) -> None:
        if self._drawn:
            x0, y0, x1, y1 = self._canvas.coords(self._drawn[-1])
            if min(abs(x1 - x0), abs(y1 - y0)) < _LEAST_PX:
                self._undo(event)

    def _undo(self, event: Any) -> None:
        if self._drawn:
            self._canvas.delete(self._drawn.pop())

    def _finish(self, event: Any) -> None:
        self._done = bool(self._drawn)

    def _close(self, event: Any = None) -> None:
        self._open = False

    def _box(self, item: int) -> tuple[float, float, float, float]:
        """Returns a drawn box in pixels of the frame, within it."""
        width, height = self._size
        x0, y0, x1, y1 = self._canvas.coords(item)
        (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        x0, x1 = max(x0, 0.0), min(x1, float(width))
        y0, y1 = max(y0, 0.0), min(y1, float(height))
        shown = (x0, y0, x1 - x0, y1 - y0)
        x, y, w, h = (value / self._scale for value in shown)
        return x, y, w, h


@contextlib.contextmanager
def opened_window(title: str, hw: tuple[int, int], *, option: str) -> Iterator[Window]:
    """Yields a window for frames, scaled to the screen.

    Args:
      title: Its title.
      hw: Height and width of the frames.
      option: What asks for it, such as "--show", for messages.

    Raises:
      InputError: If there is no display or no tkinter.
    """
    try:
        import tkinter
    except ImportError as error:
        raise InputError(
            f"{option}: this Python has no tkinter ({error}); install it (python3-tk)."
        ) from None
    try:
        root = tkinter.Tk(className="dst-jax")
    except tkinter.TclError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{option}: there is no display ({reason}); leave it out, give --box "
            "X,Y,W,H and --out OUT.mp4."
        ) from None
    try:
        root.title(title)
        root.resizable(False, False)
        yield Window(tkinter, root, hw)
    finally:
        with contextlib.suppress(tkinter.TclError):
            root.destroy()
