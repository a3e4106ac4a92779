"""`dst-jax track` follows one target through a video and writes or draws its boxes."""

import pathlib
from collections.abc import Iterator

import cv2
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
from dst_jax.data.frames import frame_paths, video_frames
from dst_jax.errors import InputError
from dst_jax.files import user_path, whole_file
from dst_jax.track import TrackResult, make_tracker
from dst_jax.workflows.printing import counted, say
from dst_jax.workflows.progress import description

SUFFIXES = (".mp4", ".txt")
# RGB colours of the boxes of tracked, uncertain and lost targets, in this order.
_COLOURS = ((60, 220, 60), (250, 190, 40), (235, 60, 60))
# An image folder has no frame rate; videos of OTB and GOT-10k have about this one.
_FOLDER_FPS = 30.0


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
    all.

    Args:
      tracker: Folder of a bundle.
      video: A folder of images or a video file.
      box_xywh: Corner and size of the target in the first frame, pixels from 0.
      out: The file to write; its suffix, `.mp4` or `.txt`, decides the kind.
      console: Console for the progress bar; None for standard error.

    Returns:
      Boxes and scores of all frames.

    Raises:
      InputError: If the bundle, the video, a frame or the box is bad, or the suffix
        unknown.
    """
    out, video = user_path(out), user_path(video)
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out {out}: end it in {' or '.join(SUFFIXES)}.")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file.")
    bundle = load_bundle(tracker)
    ready = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
    box = xywh_to_cxcywh(np.asarray(box_xywh, np.float32))
    console = console or Console(stderr=True)
    with _progress(console) as progress:
        frames = _counted(video, progress, "tracking")
        result = ready.track(frames, box)
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as temporary:
            if out.suffix.lower() == ".txt":
                write_boxes(temporary, result, box_xywh)
            else:
                drawn = _counted(video, progress, "drawing")
                write_video(temporary, drawn, result, fps=_frame_rate(video))
    say(console, f"{out}: {counted(len(result.boxes), 'frame')}.")
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
    rows = cxcywh_to_xywh(result.boxes.astype(np.float64))
    rows[0] = box_xywh
    lines = [",".join(f"{value:.4f}" for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def write_video(
    path: pathlib.Path,
    frames: Iterator[np.ndarray],
    result: TrackResult,
    *,
    fps: float,
) -> None:
    """Writes the frames with box and score as an MPEG-4 file.

    Args:
      path: The file.
      frames: RGB frames.
      result: Boxes, scores and states of the frames.
      fps: Frames per second.

    Raises:
      InputError: If frames of this size cannot be encoded.
    """
    writer = None
    try:
        for number, frame in enumerate(frames):
            if number == len(result.boxes):
                break
            image = draw_box(frame, result, number)
            if writer is None:
                code = cv2.VideoWriter.fourcc(*"mp4v")
                size = (frame.shape[1], frame.shape[0])
                writer = cv2.VideoWriter(str(path), code, fps, size)
                if not writer.isOpened():
                    raise InputError(
                        f"cannot encode {size[0]}x{size[1]} px as MPEG-4; "
                        "write a .txt instead."
                    )
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    finally:
        if writer is not None:
            writer.release()


def draw_box(frame: np.ndarray, result: TrackResult, number: int) -> np.ndarray:
    """Returns a copy of frame `number` with its box, coloured by state, and score."""
    image = frame.copy()
    state = 0 if result.states is None else int(result.states[number])
    corner = cxcywh_to_xywh(result.boxes[number])
    ends = np.concatenate([corner[:2], corner[:2] + corner[2:] - 1.0])
    # OpenCV needs coordinates of 16 bits, which a runaway box may exceed.
    x0, y0, x1, y1 = (int(v) for v in np.clip(np.round(ends), -32000, 32000))
    thick = max(1, round(min(frame.shape[:2]) / 200))
    cv2.rectangle(image, (x0, y0), (x1, y1), _COLOURS[state], thick)
    size = max(0.35, min(frame.shape[:2]) / 700)
    text = f"{number}  {result.scores[number]:.2f}"
    baseline = (4, int(6 + 24 * size))
    for colour, width in (((0, 0, 0), thick + 2), (_COLOURS[state], thick)):
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(image, text, baseline, font, size, colour, width, cv2.LINE_AA)
    return image


class _Speed(ProgressColumn):
    """A column that shows frames per second once they are known."""

    def render(self, task: Task) -> Text:
        """Returns the column's text."""
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
    )


def _counted(
    video: pathlib.Path, progress: Progress, description: str
) -> Iterator[np.ndarray]:
    """Yields the frames of `video` and advances the bar after each."""
    total = len(frame_paths(video)) if pathlib.Path(video).is_dir() else None
    task = progress.add_task(description, total=total)
    for frame in video_frames(video):
        yield frame
        progress.advance(task)


def _frame_rate(video: pathlib.Path) -> float:
    if pathlib.Path(video).is_dir():
        return _FOLDER_FPS
    capture = cv2.VideoCapture(str(video))
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate if np.isfinite(rate) and rate > 0 else _FOLDER_FPS
