"""Writes the boxes of a tracked video as they come: .txt, .csv, .jsonl or .mp4."""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple, TextIO, TypeAlias

import numpy as np

from dst_jax.errors import InputError
from dst_jax.files import free_bytes, naming, whole_file
from dst_jax.track import FOUND_AGAIN, LOST, TRACKED, UNCERTAIN
from dst_jax.typing import Float, Int, UInt8
from dst_jax.workflows.drawn_video import draw_boxes
from dst_jax.workflows.encoded_video import encoder, frames_in

STATES = {
    TRACKED: "tracked",
    UNCERTAIN: "uncertain",
    LOST: "lost",
    FOUND_AGAIN: "found again",
}
TEXT = (".txt", ".csv", ".jsonl")
SUFFIXES = (*TEXT, ".mp4")
_HEADER = "frame,target,x,y,w,h,score,state"


class Rows(NamedTuple):
    """The targets' boxes in consecutive frames, as files have them.

    Attributes:
      start: Number of the first of these frames, counted from 0.
      boxes: Corner and size (x, y, w, h), pixels counted from 0.
      scores: Scores from 0 to 1.
      states: TRACKED, UNCERTAIN, LOST or FOUND_AGAIN; None if no threshold is set.
      probabilities: How probable it is that a box overlaps its target by more than
        half; None if the tracker is not calibrated.
    """

    start: int
    boxes: Float[np.ndarray, "t k 4"]
    scores: Float[np.ndarray, "t k"]
    states: Int[np.ndarray, "t k"] | None
    probabilities: Float[np.ndarray, "t k"] | None = None


class _Said(NamedTuple):
    """What a line says of one target in one frame."""

    frame: int
    target: int
    box: list[float]
    score: float
    state: str | None
    probability: float | None


# Adds frames and what is said of them.
Write: TypeAlias = Callable[[UInt8[np.ndarray, "t h w 3"], Rows], None]


def require_kind(out: pathlib.Path, *, targets: int) -> None:
    """Returns if a file of this name can have the boxes; its suffix decides the kind.

    Args:
      out: The file.
      targets: Number of targets.

    Raises:
      InputError: If there is no such kind, or it holds one target and there are more.
    """
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"--out {out}: end it in {_either(SUFFIXES)}.")
    if suffix == ".txt" and targets > 1:
        raise InputError(
            f"--out {out}: a .txt has the boxes of one target and {targets} are given; "
            f"end it in {_either(SUFFIXES[1:])}."
        )
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file.")


@contextlib.contextmanager
def opened_output(
    out: pathlib.Path, hw: tuple[int, int], *, fps: Fraction, live: bool
) -> Iterator[Write]:
    """Yields a function that adds boxes to `out`, or frames with boxes on them.

    The boxes of a stored video are there when the block ends, those of a live one
    frame by frame: nothing but a half line is lost if the process is killed. A video
    gets its name at the end. If the block raises, a stored video's file is as before.

    Args:
      out: The file; its suffix is one of `SUFFIXES`.
      hw: Height and width of the frames.
      fps: Frames per second of an .mp4.
      live: Whether the video is live.

    Raises:
      OSError: If it cannot be written.
      InputError: If a video that was written does not hold all frames.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    suffix = out.suffix.lower()
    if suffix == ".mp4":
        with whole_file(out) as temporary, _video(temporary, hw, fps=fps) as write:
            yield write
    elif live:
        with naming(out), out.open("w") as file:
            yield _text(file, suffix)
    else:
        with whole_file(out) as temporary, temporary.open("w") as file:
            yield _text(file, suffix)


def lines(rows: Rows, suffix: str) -> str:
    """Returns the lines of a text output.

    Args:
      rows: The boxes.
      suffix: Which of `TEXT`.
    """
    line = {".txt": _txt, ".csv": _csv, ".jsonl": _jsonl}[suffix]
    return "".join(map(line, _said(rows)))


def _said(rows: Rows) -> Iterator[_Said]:
    """Yields what is said of every target, frame by frame."""
    likely = rows.probabilities
    for t, k in np.ndindex(rows.scores.shape):
        yield _Said(
            rows.start + t,
            k,
            rows.boxes[t, k].tolist(),
            float(rows.scores[t, k]),
            None if rows.states is None else STATES[int(rows.states[t, k])],
            None if likely is None else float(likely[t, k]),
        )


def drawn(
    frames: UInt8[np.ndarray, "t h w 3"], rows: Rows
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yields copies of frames with what is said of them."""
    states = rows.states
    if states is None:
        states = np.full(rows.scores.shape, TRACKED)
    for t, frame in enumerate(frames):
        now = rows.boxes[t], rows.scores[t], states[t]
        texts = None
        if rows.probabilities is not None:
            likely = rows.probabilities[t].tolist()
            texts = [*map(_label, likely, states[t].tolist())]
        yield draw_boxes(frame, *now, number=rows.start + t, texts=texts)


def _label(probability: float, state: int) -> str:
    """Returns what is written beside a box, such as "12% lost"."""
    word = "" if state == TRACKED else f" {STATES[state]}"
    return f"{probability:.0%}{word}"


def _text(file: TextIO, suffix: str) -> Write:
    def write(_: np.ndarray, rows: Rows) -> None:
        if rows.start == 0 and suffix == ".csv":
            more = "" if rows.probabilities is None else ",probability"
            file.write(f"{_HEADER}{more}\n")
        file.write(lines(rows, suffix))
        file.flush()

    return write


@contextlib.contextmanager
def _video(
    path: pathlib.Path, hw: tuple[int, int], *, fps: Fraction
) -> Iterator[Write]:
    count = 0
    with encoder(path, hw, fps=fps) as add:

        def write(frames: np.ndarray, rows: Rows) -> None:
            nonlocal count
            for image in drawn(frames, rows):
                add(image)
                count += 1

        yield write
    if (written := frames_in(path)) != count:
        raise InputError(
            f"{written} of {count} frames can be read back from the video "
            f"({free_bytes(path) / 1e6:.1f} MB are free on its disk); free some, name "
            "another place, or write a .csv instead."
        )


def _txt(said: _Said) -> str:
    return ",".join(f"{value:.4f}" for value in said.box) + "\n"


def _csv(said: _Said) -> str:
    shown = ",".join(f"{value:.4f}" for value in said.box)
    more = "" if said.probability is None else f",{said.probability:.6f}"
    start = f"{said.frame},{said.target},{shown},{said.score:.6f}"
    return f"{start},{said.state or ''}{more}\n"


def _jsonl(said: _Said) -> str:
    values = said._asdict() | {
        "box": [round(value, 4) for value in said.box],
        "score": round(said.score, 6),
    }
    if said.probability is None:
        del values["probability"]
    else:
        values["probability"] = round(said.probability, 6)
    return json.dumps(values) + "\n"


def _either(suffixes: tuple[str, ...]) -> str:
    return f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
