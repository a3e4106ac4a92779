"""`dst-jax evaluate`: score raw result files, or trackers that are run for it."""

import collections.abc
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from dst_jax.arch import TrackerSpec
from dst_jax.bundle import load_bundle
from dst_jax.data.frames import Frame, read_frame, require_size
from dst_jax.data.readers import read_sequences
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, TrackerScore, report, results, score
from dst_jax.files import user_path, write_json
from dst_jax.track import Tracker, make_tracker
from dst_jax.track.run import canvas_size
from dst_jax.typing import Float

# Frames of a video that are decoded ahead of the tracker.
_AHEAD = 16
# Videos that a batch holds at most by default: what a warm-up has to look like.
_WARM_VIDEOS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of trackers on one data set.

    Attributes:
      dataset: As the user named it.
      scores: By tracker.
      fps: End-to-end frames per second by tracker; empty for result files.
      ignored: Result files that belong to no sequence of the data set.
    """

    dataset: str
    scores: Mapping[str, TrackerScore]
    fps: Mapping[str, float] = dataclasses.field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def evaluate_results(
    dataset: str,
    results_dir: str | os.PathLike[str],
    *,
    json_path: str | os.PathLike[str] | None = None,
    origin: int | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Scores anybody's raw result files; needs the ground truth, but no frames.

    Args:
      dataset: Layout and folder, such as "otb:DIR".
      results_dir: Holds `<sequence>.txt` of every sequence; its name is the tracker's.
      json_path: Where to write the report; it appears whole or not at all.
      origin: Coordinate of the first pixel in the files, 0 or 1; the data set's own
        (1 for OTB, else 0) if None.
      console: Where to print the table; nowhere if None.

    Raises:
      InputError: If the data set or a file is faulty, or a sequence has no result.
    """
    first_pixel = _file_origin(dataset, origin)
    _require_file(json_path)
    sequences = read_sequences(dataset, frames_required=False)
    frames = {sequence.name: len(sequence) for sequence in sequences}
    boxes = results.read_results(results_dir, frames, origin=first_pixel)
    folder = user_path(results_dir).resolve()
    ignored = sorted(p.name for p in folder.glob("*.txt") if p.stem not in frames)
    scores = {folder.name: score(boxes, _truths(sequences), OTB)}
    evaluation = Evaluation(dataset, scores, ignored=tuple(ignored))
    _publish(evaluation, json_path, console)
    return evaluation


def evaluate_trackers(
    dataset: str,
    bundles: collections.abc.Sequence[str | os.PathLike[str]],
    *,
    json_path: str | os.PathLike[str] | None = None,
    results_out: str | os.PathLike[str] | None = None,
    batch: int | None = None,
    console: Console | None = None,
) -> Evaluation:
    """Runs trackers over every sequence of a data set and scores them.

    Args:
      dataset: Layout and folder, such as "otb:DIR", with its frames.
      bundles: Folders of trackers, at least one; a folder's name is the tracker's.
      json_path: Where to write the report; it appears whole or not at all.
      results_out: Folder for the boxes, `<tracker>/<sequence>.txt` in the data set's
        convention; a tracker's folder appears whole, once the tracker has finished.
      batch: Videos tracked at a time; as `Tracker.track_many` has it if None.
      console: Where to show progress and print the table; nowhere if None.

    Raises:
      InputError: If the data set, a frame or a bundle is faulty, two bundles share a
        name, or results are already there. All but bad frames are found at once.
    """
    origin = _file_origin(dataset, None)
    _require_file(json_path)
    names = _tracker_names(bundles)
    if results_out is not None:
        for name in names:
            results.require_new(user_path(results_out) / name)
    loaded = {n: load_bundle(b) for n, b in zip(names, bundles, strict=True)}
    sequences = read_sequences(dataset)
    scores, fps = {}, {}
    for name, bundle in loaded.items():
        tracker = make_tracker(bundle.spec, bundle.variables, tracking=bundle.tracking)
        with _progress(name, sequences, console) as advance:
            boxes, fps[name] = run_tracker(
                tracker, sequences, batch=batch, advance=advance
            )
        scores[name] = score(boxes, _truths(sequences), OTB)
        if results_out is not None:
            folder = user_path(results_out) / name
            results.write_results(folder, boxes, origin=origin)
    evaluation = Evaluation(dataset, scores, fps)
    _publish(evaluation, json_path, console)
    return evaluation


def run_tracker(
    tracker: Tracker,
    sequences: collections.abc.Sequence[Sequence],
    *,
    batch: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[str, Float[np.ndarray, "_ 4"]], float]:
    """Tracks every sequence from its first box; sequences of one canvas go together.

    Args:
      tracker: Ready to run.
      sequences: With frames, and with the target in the first of them.
      batch: Videos tracked at a time; as `Tracker.track_many` has it if None.
      advance: Called after every frame that was read.

    Returns:
      Boxes (cx, cy, w, h) by sequence in the order given, and the frames per second
      from the files to the boxes: decoding counts, compilation does not, since the
      first two frames are tracked beforehand.

    Raises:
      InputError: If a first box is missing or a frame cannot be used.
    """
    groups = _by_program(tracker, sequences)
    boxes, seconds = {}, 0.0
    for group in groups:
        first = np.stack([sequence.boxes[0] for sequence in group])
        warm = group[: batch or _WARM_VIDEOS]
        tracker.track_many(
            [_frames(s, limit=2) for s in warm], first[: len(warm)], batch=batch
        )
        start = time.perf_counter()
        videos = [_frames(s, advance=advance) for s in group]
        tracked = tracker.track_many(videos, first, batch=batch)
        seconds += time.perf_counter() - start
        boxes |= {s.name: t.boxes for s, t in zip(group, tracked, strict=True)}
    frames = sum(len(sequence) for sequence in sequences)
    return {s.name: boxes[s.name] for s in sequences}, frames / max(seconds, 1e-9)


def _by_program(
    tracker: Tracker, sequences: collections.abc.Sequence[Sequence]
) -> list[list[Sequence]]:
    """Groups that share compiled code, long videos first, so that batches are even."""
    groups: dict[tuple[tuple[int, int], TrackerSpec], list[Sequence]] = {}
    for sequence in sequences:
        if not sequence.frames or sequence.size is None:
            raise ValueError(f"sequence {sequence.name!r} was read without its frames")
        if not np.isfinite(sequence.boxes[0]).all():
            raise InputError(
                f"sequence {sequence.name!r} has no box in its first frame, from which "
                "a tracker starts; cut the frames before the target appears."
            )
        crops = tracker.search_spec(sequence.boxes[0], *sequence.size)
        program = canvas_size(*sequence.size), crops
        groups.setdefault(program, []).append(sequence)
    return [sorted(group, key=len, reverse=True) for group in groups.values()]


def _frames(
    sequence: Sequence,
    *,
    limit: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Frame]:
    """Frames of a sequence, a few of them decoded ahead by a thread."""
    with ThreadPoolExecutor(1) as pool:
        ahead: collections.deque[Future[Frame]] = collections.deque()
        for path in sequence.frames[:limit]:
            ahead.append(pool.submit(_read_checked, path, sequence.size))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
                advance()
        while ahead:
            yield ahead.popleft().result()
            advance()


def _read_checked(path: str, size: tuple[int, int] | None) -> Frame:
    frame = read_frame(path)
    if size is not None:
        require_size(frame, size, path)
    return frame


def _tracker_names(
    bundles: collections.abc.Sequence[str | os.PathLike[str]],
) -> list[str]:
    if not bundles:
        raise InputError("no tracker to evaluate; give the folder of a bundle.")
    names = [user_path(bundle).resolve().name for bundle in bundles]
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise InputError(
                f"{count} trackers are called {name!r} after their folders; rename one."
            )
    return names


def _file_origin(dataset: str, given: int | None) -> results.Origin:
    """Coordinate of the first pixel in result files: as given, else the data set's."""
    layout = dataset.partition(":")[0]
    if layout == "coco":
        raise InputError(
            f"data set {dataset!r} holds single images; evaluate on video, such as "
            "otb:DIR or got10k:DIR."
        )
    origin = (1 if layout == "otb" else 0) if given is None else given
    if origin not in (0, 1):
        raise InputError(f"results origin {origin}: must be 0 or 1.")
    return 1 if origin else 0


def _require_file(json_path: str | os.PathLike[str] | None) -> None:
    if json_path is not None and user_path(json_path).is_dir():
        raise InputError(f"{json_path} is a folder; name a file for the report.")


def _truths(
    sequences: collections.abc.Sequence[Sequence],
) -> dict[str, Float[np.ndarray, "_ 4"]]:
    return {sequence.name: sequence.boxes for sequence in sequences}


@contextlib.contextmanager
def _progress(
    name: str, sequences: collections.abc.Sequence[Sequence], console: Console | None
) -> Iterator[Callable[[], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=console is None)
    with bar:
        task = bar.add_task(name, total=sum(len(sequence) for sequence in sequences))
        yield lambda: bar.advance(task)


def _publish(
    evaluation: Evaluation,
    json_path: str | os.PathLike[str] | None,
    console: Console | None,
) -> None:
    named = {"dataset": evaluation.dataset, "fps": evaluation.fps}
    if json_path is not None:
        path = user_path(json_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        values = report.scores_json(evaluation.scores, **named)
        write_json(path, values, sort_keys=False)
    if console is None:
        return
    console.print(report.score_table(evaluation.scores, **named))
    if evaluation.ignored:
        files = ", ".join(evaluation.ignored)
        console.print(f"not scored, of no sequence: {files}", markup=False)
    if json_path is not None:
        console.print(f"wrote {json_path}", markup=False, highlight=False)
