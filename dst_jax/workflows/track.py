"""`dst-jax track` follows one target through a video and writes or draws its boxes."""

import itertools
import pathlib
import time
from collections.abc import Callable, Iterator

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

from dst_jax.boxes import cxcywh_to_xywh, xywh_to_cxcywh
from dst_jax.bundle import load_bundle
from dst_jax.data.frames import frame_paths
from dst_jax.data.video import CutOffError, frame_rate, video_frames
from dst_jax.errors import InputError, counted
from dst_jax.files import require_place, user_path, whole_file
from dst_jax.track import TrackResult, make_tracker
from dst_jax.track.run import CHUNK_FRAMES, canvas_size
from dst_jax.workflows.drawn_video import write_video
from dst_jax.workflows.encoded_video import encodable_rate, require_encoder
from dst_jax.workflows.printing import say
from dst_jax.workflows.progress import description

SUFFIXES = (".mp4", ".txt")
# An image folder has no frame rate; videos of OTB and GOT-10k have about this one.
_DEFAULT_FPS = 30.0
# Low estimates of what will be written: a place that lacks even this is refused.
_LINE_BYTES, _LEAST_VIDEO_BYTES = 32, 2**14
_PIXELS_PER_BYTE, _VIDEO_PER_DRAWN = 100, 4


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Reads a box "x,y,w,h" in pixels, counted from 0 at the top left corner.

    Raises:
      InputError: If `text` is not four finite numbers, or the box is empty.

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
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
        raise InputError(
            f"--box {text!r}: all four must be finite, width and height positive."
        )
    return x, y, w, h


def track_video(
    tracker: pathlib.Path,
    video: pathlib.Path,
    box_xywh: tuple[float, float, float, float],
    out: pathlib.Path,
    *,
    console: Console | None = None,
) -> TrackResult:
    """Tracks the target at `box_xywh` of the first frame and writes the boxes.

    A `.txt` file has one line x,y,w,h per frame, counted from 0, with the given box
    first. An `.mp4` file shows the frames with box and score. Frames are read in chunks
    and are not kept; for an `.mp4` they are read twice. `out` appears whole or not at
    all. Place and encoder are tried before the work; should `out` fail after it, the
    boxes are printed on standard output as a `.txt` has them.

    Args:
      tracker: Folder of a bundle.
      video: A folder of images or a video file.
      box_xywh: Corner and size of the target in the first frame, pixels from 0.
      out: The file to write; its suffix, `.mp4` or `.txt`, decides the kind.
      console: Console for the progress bar; None for standard error.

    Returns:
      Boxes and scores of all frames.

    Raises:
      InputError: If the bundle, the video, a frame, the box or the place is bad, or the
        suffix unknown; also, after all is written, if the video was cut off or the
        tracker had no finite answer.
    """
    out, video = user_path(out), user_path(video)
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out {out}: end it in {' or '.join(SUFFIXES)}.")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file.")
    require_place(out)
    bundle = load_bundle(tracker)
    ready = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    box = xywh_to_cxcywh(np.asarray(box_xywh, np.float32))
    console = console or Console(stderr=True)
    with _progress(console) as progress:
        source = _Source(video, progress)
        frames = source.frames("tracking")
        first = next(frames)
        _require_fitting(first, video)
        write = _prepared_writer(source, out, box_xywh, first)
        result = ready.track(itertools.chain([first], frames), box)
        _save(out, result, box_xywh, write=write)
    count = len(result.boxes)
    say(console, f"{out}: {counted(count, 'frame')}.")
    _tell_of_silence(tracker, result, console)
    if source.cut_off is not None:
        raise InputError(f"{source.cut_off} {out} has those {count} frames.")
    return result


def write_boxes(
    path: pathlib.Path,
    result: TrackResult,
    box_xywh: tuple[float, float, float, float],
) -> None:
    """Writes a line x,y,w,h per frame with 4 decimals, counted from 0.

    Args:
      path: The file.
      result: Boxes of all frames.
      box_xywh: The given box, which is written for the first frame.
    """
    path.write_text("\n".join(_box_lines(result, box_xywh)) + "\n")


def _box_lines(
    result: TrackResult, box_xywh: tuple[float, float, float, float]
) -> list[str]:
    rows = cxcywh_to_xywh(result.boxes.astype(np.float64))
    rows[0] = box_xywh
    return [",".join(f"{value:.4f}" for value in row) for row in rows]


class _Source:
    """A video that may be read twice.

    Attributes:
      video: A folder of images or a video file.
      cut_off: What is said of a file that was cut off, once its end has been met.
    """

    def __init__(self, video: pathlib.Path, progress: Progress):
        self.video = video
        self.cut_off: CutOffError | None = None
        self._progress = progress

    def frames(self, description: str) -> Iterator[np.ndarray]:
        """Yields the frames and advances a bar after each."""
        total = len(frame_paths(self.video)) if self.video.is_dir() else None
        task = self._progress.add_task(description, total=total, since=time.monotonic())
        try:
            for frame in video_frames(self.video, note=self._note):
                yield frame
                self._progress.update(task, advance=1, since=time.monotonic())
        except CutOffError as error:
            self.cut_off = error

    def _note(self, line: str) -> None:
        say(self._progress.console, line)


def _require_fitting(frame: np.ndarray, video: pathlib.Path) -> None:
    try:
        canvas_size(frame.shape[0], frame.shape[1])
    except InputError as error:
        raise InputError(f"video {video}: {error}") from None


def _prepared_writer(
    source: _Source,
    out: pathlib.Path,
    box_xywh: tuple[float, float, float, float],
    first: np.ndarray,
) -> Callable[[pathlib.Path, TrackResult], None]:
    """Returns the function that writes `out`, after trying whether it can.

    Raises:
      InputError: If there is no space, or frames like `first` cannot be encoded.
    """
    video = source.video
    count = len(frame_paths(video)) if video.is_dir() else 1
    if out.suffix.lower() == ".txt":
        require_place(out, space=_LINE_BYTES * count)
        return lambda path, result: write_boxes(path, result, box_xywh)
    pixels = first.shape[0] * first.shape[1]
    drawn_bytes = (
        pixels * count // _PIXELS_PER_BYTE
        if video.is_dir()
        else video.stat().st_size // _VIDEO_PER_DRAWN
    )
    require_place(out, space=max(drawn_bytes, _LEAST_VIDEO_BYTES))
    fps = encodable_rate(frame_rate(video) or _DEFAULT_FPS)
    require_encoder(out, (first.shape[0], first.shape[1]), fps=fps)
    return lambda path, result: write_video(
        path, source.frames("drawing"), result, fps=fps
    )


def _save(
    out: pathlib.Path,
    result: TrackResult,
    box_xywh: tuple[float, float, float, float],
    *,
    write: Callable[[pathlib.Path, TrackResult], None],
) -> None:
    """Writes `out`; if that fails, prints the boxes, which took long to find.

    Raises:
      InputError: If `out` would not be whole.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as temporary:
            write(temporary, result)
    except Exception as error:
        print("\n".join(_box_lines(result, box_xywh)), flush=True)
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        elif isinstance(error, InputError):
            reason = str(error)
        else:
            raise
        raise InputError(
            f"{out}: not written: {reason.rstrip('.')}. The boxes of all "
            f"{len(result.boxes)} frames are on standard output."
        ) from error


def _tell_of_silence(
    tracker: pathlib.Path, result: TrackResult, console: Console
) -> None:
    """Tells of frames for which the network had no finite answer.

    There the box stayed, with a score of 0 that no finite answer has.

    Raises:
      InputError: If it had none at all.
    """
    silent = np.flatnonzero(result.scores == 0.0)
    if len(silent) == 0:
        return
    line = (
        f"{tracker}: its answers are not finite for {len(silent)} of "
        f"{len(result.scores)} frames, from frame {silent[0]} on; the box stayed there."
    )
    if len(silent) == len(result.scores) - 1:
        raise InputError(f"{line} Its weights are damaged; convert or train it again.")
    say(console, line)


class _Speed(ProgressColumn):
    """A column that shows frames per second, or how long a first chunk compiles."""

    def render(self, task: Task) -> Text:
        """Returns the column's text."""
        waited = time.monotonic() - task.fields["since"]
        if waited >= 1.0 and task.completed <= CHUNK_FRAMES and not task.finished:
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
