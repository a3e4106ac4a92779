"""`dst-jax track` follows targets through a video and writes or draws their boxes."""

import contextlib
import functools
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias

import av.error
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

from dst_jax.boxes import xywh_to_cxcywh
from dst_jax.bundle import load_bundle
from dst_jax.data.frames import Frame
from dst_jax.errors import InputError, counted
from dst_jax.files import require_place, user_path
from dst_jax.track import make_tracker
from dst_jax.track.canvases import canvas_size
from dst_jax.track.stream import check_box
from dst_jax.track.targets import Followed, follow_targets
from dst_jax.typing import Float, UInt8
from dst_jax.workflows.encoded_video import encodable_rate, require_encoder
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import description
from dst_jax.workflows.track_account import Account
from dst_jax.workflows.track_output import (
    TEXT,
    Rows,
    Write,
    drawn,
    lines,
    opened_output,
    require_kind,
)
from dst_jax.workflows.track_source import Source, source_of
from dst_jax.workflows.window import Window, opened_window

# An image folder has no frame rate; videos of OTB and GOT-10k have about this one.
_DEFAULT_FPS = 30.0
# Low estimates of what will be written: a place that lacks even this is refused.
_LINE_BYTES, _LEAST_VIDEO_BYTES = 32, 2**14

BoxXYWH: TypeAlias = tuple[float, float, float, float]
# Shows frames and what is said of them; False once nobody wants to see more.
View: TypeAlias = Callable[[UInt8[np.ndarray, "t h w 3"], Rows], bool]


def parse_box(text: str) -> BoxXYWH:
    """Reads a box "x,y,w,h" in pixels, counted from 0 at the top left corner.

    Raises:
      InputError: If `text` is not four finite numbers, or a side is under a pixel.

    Example:
      >>> parse_box("10,20,30.5,40")
      (10.0, 20.0, 30.5, 40.0)
    """
    try:
        x, y, w, h = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--box {text!r}: give four numbers x,y,w,h in pixels, like 10,20,30,40."
        ) from None
    if not np.isfinite([x, y, w, h]).all() or w < 1 or h < 1:
        raise InputError(
            f"--box {text!r}: all four must be finite, width and height at least 1 "
            "pixel."
        )
    return x, y, w, h


def parse_boxes(texts: Sequence[str]) -> list[BoxXYWH]:
    """Reads the boxes of a command line, one for each target.

    Raises:
      InputError: If there is none, or one is bad, see `parse_box`.
    """
    if not texts:
        raise InputError("missing: --box X,Y,W,H; see dst-jax track --help.")
    return [parse_box(text) for text in texts]


def track_video(
    tracker: pathlib.Path,
    video: str | os.PathLike[str] | int,
    boxes_xywh: Sequence[BoxXYWH],
    out: pathlib.Path,
    *,
    ask: bool = False,
    show: bool = False,
    console: Console | None = None,
) -> int:
    """Tracks the targets at `boxes_xywh` of the first frame and writes their boxes.

    A `.txt` file has one line x,y,w,h per frame, counted from 0, with the given box
    first. A `.csv` and a `.jsonl` file have a line per frame and target, with score and
    state too. An `.mp4` file shows the frames with boxes and scores. Frames are read
    once and are not kept. Place and encoder are tried before the work. If the video
    stops or Ctrl-C comes, `out` has the frames so far. Should `out` fail, the boxes of
    a stored video are printed on standard output instead.

    Args:
      tracker: Folder of a bundle.
      video: A folder of images, a video file, the number of a camera, an RTSP address,
        or "-" for standard input.
      boxes_xywh: Corner and size of each target in the first frame, pixels from 0.
      out: The file to write; its suffix decides the kind.
      ask: Whether further boxes are drawn by hand, in a window.
      show: Whether frames and boxes are shown in a window; to close it ends the video.
      console: Console for the progress bar; None for standard error.

    Returns:
      The number of frames.

    Raises:
      InputError: If the bundle, the video, a box or the place is bad, or the suffix
        unknown; also, after the frames so far are written, if a frame is bad, the video
        was cut off or the tracker had no finite answer.
      KeyboardInterrupt: If one came; it says what is written.
    """
    out = user_path(out)
    require_kind(out, targets=len(boxes_xywh) + ask)
    require_place(out)
    source = source_of(video)
    bundle = load_bundle(tracker)
    ready = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    console = console or Console(stderr=True)
    with _progress(console) as progress, contextlib.ExitStack() as windows:
        frames = source.frames(lambda line: say(console, line))
        first = next(frames)
        hw = first.shape[0], first.shape[1]
        if ask:
            boxes_xywh = [*boxes_xywh, *_drawn_by_hand(first)]
            require_kind(out, targets=len(boxes_xywh))
        centred = _fitting(first, boxes_xywh, source)
        fps = _prepared(source, out, first, targets=len(centred))
        view = None
        if show:
            window = windows.enter_context(opened_window(str(out), hw, option="--show"))
            view = functools.partial(_view, window)
        every = itertools.chain([first], frames)
        parts = follow_targets(ready, every, centred, live=source.live or show)
        account = Account(boxes_xywh, keep=not source.live)
        parts = _with_bar(parts, progress, total=source.count())
        stop = _write(parts, account, out, hw, fps=fps, live=source.live, view=view)
    _tell(account, out, stop, tracker, console)
    return account.count


def _with_bar(
    parts: Iterator[Followed], progress: Progress, *, total: int | None
) -> Iterator[Followed]:
    """Yields the parts and advances a bar after each is written."""
    bar = progress.add_task("track", total=total, since=time.monotonic())
    for part in parts:
        yield part
        progress.update(bar, advance=len(part.frames), since=time.monotonic())


def _drawn_by_hand(first: Frame) -> list[BoxXYWH]:
    hw = first.shape[0], first.shape[1]
    with opened_window("dst-jax", hw, option="--box ask") as window:
        return window.ask(first)


def _view(window: Window, frames: UInt8[np.ndarray, "t h w 3"], rows: Rows) -> bool:
    """Shows frames with their boxes; returns False once the window was closed."""
    return all([window.show(image) for image in drawn(frames, rows)])


def _fitting(
    first: Frame, boxes_xywh: Sequence[BoxXYWH], source: Source
) -> Float[np.ndarray, "k 4"]:
    """Returns the boxes as (cx, cy, w, h).

    Raises:
      InputError: If the first frame is too large, or a box does not lie in it.
    """
    height, width, _ = first.shape
    try:
        canvas_size(height, width)
    except InputError as error:
        raise InputError(f"{source.name}: {error}") from None
    centred = xywh_to_cxcywh(np.asarray(boxes_xywh, np.float32))
    return np.stack([check_box(box, height, width) for box in centred])


def _prepared(
    source: Source, out: pathlib.Path, first: Frame, *, targets: int
) -> Fraction:
    """Returns the rate of an annotated video, after trying whether it can be written.

    Raises:
      InputError: If there is no space, or frames like `first` cannot be encoded.
    """
    if out.suffix.lower() in TEXT:
        require_place(out, space=_LINE_BYTES * targets * (source.count() or 1))
        return encodable_rate(_DEFAULT_FPS)
    pixels = first.shape[0] * first.shape[1]
    require_place(out, space=max(source.drawn_bytes(pixels), _LEAST_VIDEO_BYTES))
    fps = encodable_rate(source.rate() or _DEFAULT_FPS)
    require_encoder(out, (first.shape[0], first.shape[1]), fps=fps)
    return fps


def _write(
    parts: Iterator[Followed],
    account: Account,
    out: pathlib.Path,
    hw: tuple[int, int],
    *,
    fps: Fraction,
    live: bool,
    view: View | None,
) -> BaseException | None:
    """Writes all parts to `out`; returns what stopped them before the end, or None.

    If `out` fails, the boxes, which took long to find, are printed.

    Raises:
      InputError: If `out` is not whole.
      BaseException: What stopped them, if it came before the first part.
    """
    stop: BaseException | None = None
    try:
        with opened_output(out, hw, fps=fps, live=live) as write:
            stop = _written(parts, account, write, view)
            if stop is not None and account.count == 0:
                raise stop
        return stop
    except Exception as error:
        if error is stop:
            raise
        where = _printed(parts, account, out)
        if not isinstance(error, OSError | InputError | av.error.FFmpegError):
            raise
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(
            f"{out}: not written: {reason.rstrip('.')}. {where}"
        ) from error


def _written(
    parts: Iterator[Followed], account: Account, write: Write, view: View | None
) -> BaseException | None:
    """Writes parts until they end; returns what stopped them before, or None.

    To close the window that `view` shows is an end, too.
    """
    while True:
        try:
            part = next(parts, None)
        except BaseException as error:  # Ctrl-C among them: `out` is still completed
            return error
        if part is None:
            return None
        try:
            rows = account.rows(part)
            write(part.frames, rows)
            if view is not None and not view(part.frames, rows):
                return None
        except KeyboardInterrupt as error:
            return error


def _printed(parts: Iterator[Followed], account: Account, out: pathlib.Path) -> str:
    """Prints the boxes so far and those that follow; returns where all of them are."""
    text = account.kept_text()
    if text is None:
        if out.suffix.lower() not in TEXT:
            return f"The boxes of {counted(account.count, 'frame')} are lost."
        return f"It has those of up to {counted(account.count, 'frame')}."
    print(text, end="", flush=True)
    with contextlib.suppress(InputError):
        for part in parts:
            print(lines(account.rows(part), account.printed_as), end="", flush=True)
    return f"The boxes of all {account.count} frames are on standard output."


def _tell(
    account: Account,
    out: pathlib.Path,
    stop: BaseException | None,
    tracker: pathlib.Path,
    console: Console,
) -> None:
    """Says what is written.

    Raises:
      InputError: If the tracker had no finite answer, or the video stopped early.
      BaseException: What else stopped it.
    """
    frames = counted(account.count, "frame")
    if not isinstance(stop, InputError | KeyboardInterrupt):
        say(console, f"{out}: {frames}.")
    if line := account.silence(tracker):
        say(console, line)
    match stop:
        case None:
            return
        case KeyboardInterrupt():
            raise KeyboardInterrupt(f"interrupted; {out} has the first {frames}")
        case InputError():
            raise InputError(f"{stop} {out} has the {frames} before.") from stop
    raise stop


class _Speed(ProgressColumn):
    """A column that shows frames per second, or how long the first part compiles."""

    def render(self, task: Task) -> Text:
        """Returns the column's text."""
        waited = time.monotonic() - task.fields["since"]
        if waited >= 1.0 and not task.completed:
            return Text(f"compiling, {waited:.0f} s")
        return Text("" if task.speed is None else f"{task.speed:.1f} frames/s")


def _progress(console: Console) -> Progress:
    return Progress(
        description(),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
