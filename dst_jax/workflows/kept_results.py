"""The boxes that `dst-jax evaluate --results-out` keeps, and that a rerun takes up.

Beside the result files of a tracker lies a record of the tracker and the data that gave
them, and of the files' digests. A run that was stopped goes on with what it proves.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dst_jax import files
from dst_jax.arch import spec_to_json
from dst_jax.bundle import Bundle
from dst_jax.data import sequence as data
from dst_jax.digests import bytes_sha256, file_sha256, json_sha256, parts_sha256
from dst_jax.errors import InputError
from dst_jax.evaluate import results
from dst_jax.evaluate.result_folders import ResultFiles
from dst_jax.evaluate.run_files import read_runs, run_file, run_text
from dst_jax.track.config import tracking_to_json
from dst_jax.workflows.resets import region_truths

RECORD = "evaluation.json"
_FORMAT = 1
_OTHERS = {
    "format_version": "another release",
    "tracker": "another tracker",
    "data": "other data",
    "resets": "a protocol with other restarts",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
    """What one tracker did on a data set.

    Attributes:
      boxes: Boxes (cx, cy, w, h) by sequence, as their files hold them; of a tracker
        that was started anew where it failed, its runs.
      fps: End-to-end frames per second with which they were made.
      resets: Whether it was started anew.
    """

    boxes: Mapping[str, Any]
    fps: float
    resets: bool = False


def require_kept_place(folder: pathlib.Path) -> None:
    """Returns if a tracker's boxes can be written to a folder, or taken from it.

    Raises:
      InputError: If it holds something without a record, or cannot be written.
    """
    if not (folder / RECORD).is_file():
        results.require_new(folder)
    files.require_place(folder)


def require_file_names(sequences: Iterable[data.Sequence]) -> None:
    """Returns if every sequence can give its name to a result file.

    Raises:
      InputError: If a name holds "/", as a target's name can.
    """
    for sequence in sequences:
        if os.path.basename(sequence.name) != sequence.name:
            raise InputError(
                f"sequence {sequence.name!r} cannot name a result file because of its "
                '"/"; rename it.'
            )


def bytes_of_results(sequences: Iterable[data.Sequence]) -> int:
    """Returns roughly how large the result files of one tracker are."""
    return sum(40 * len(sequence) + 4096 for sequence in sequences)


def keep(
    folder: pathlib.Path,
    found: Kept,
    bundle: Bundle,
    sequences: Sequence[data.Sequence],
) -> None:
    """Writes boxes and their record, all or nothing.

    Args:
      folder: Folder to make.
      found: What to keep.
      bundle: The tracker that gave the boxes.
      sequences: The data set.
    """
    texts = _texts(found, origin_of(sequences))
    digests = {name: bytes_sha256(text.encode()) for name, text in texts.items()}
    record = {
        **_identity(bundle, sequences, resets=found.resets),
        "files": digests,
        "fps": found.fps,
    }
    placed = {_file(name, resets=found.resets): text for name, text in texts.items()}
    placed[RECORD] = files.json_bytes(record).decode()
    results.write_texts(folder, placed)


def _texts(found: Kept, origin: int) -> dict[str, str]:
    if found.resets:
        return {name: run_text(run) for name, (run,) in found.boxes.items()}
    return {n: results.result_text(b, origin=origin) for n, b in found.boxes.items()}


def _file(name: str, *, resets: bool) -> str:
    return run_file(name) if resets else f"{name}.txt"


def _identity(
    bundle: Bundle, sequences: Sequence[data.Sequence], *, resets: bool
) -> dict[str, object]:
    """Returns the part of a record by which boxes are told from others'."""
    return {
        "format_version": _FORMAT,
        "tracker": _tracker_sha256(bundle),
        "data": _data_sha256(sequences),
        **({"resets": True} if resets else {}),
    }


def read_kept(
    folder: pathlib.Path,
    bundle: Bundle,
    sequences: Sequence[data.Sequence],
    *,
    resets: bool = False,
) -> Kept | None:
    """Returns the boxes that an earlier run has kept in a folder, None if none.

    Args:
      folder: The folder of the tracker.
      bundle: The tracker.
      sequences: The data set.
      resets: Whether the tracker is to be started anew where it fails.

    Raises:
      InputError: If the boxes are of another tracker or other data, or were changed.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    mend = "remove the folder or name another"
    record = files.read_json(path)
    wanted = _identity(bundle, sequences, resets=resets)
    for field in _OTHERS:
        if record.get(field) != wanted.get(field):
            raise InputError(
                f"results folder {folder} holds boxes of {_OTHERS[field]}, says "
                f"{RECORD}; {mend}."
            )
    digests, fps = record.get("files"), record.get("fps")
    names = [sequence.name for sequence in sequences]
    if not (isinstance(digests, dict) and sorted(digests) == sorted(names)):
        raise InputError(f"{path}: files are not those of the data set; {mend}.")
    if not (isinstance(fps, float) and 0.0 < fps < math.inf):
        raise InputError(f"{path}: fps={fps!r} is no positive number; {mend}.")
    places = {name: folder / _file(name, resets=resets) for name in names}
    for name, file in places.items():
        if not file.is_file() or file_sha256(file) != digests[name]:
            raise InputError(f"{file} is not as it was written; {mend}.")
    found = ResultFiles(folder, {name: (file,) for name, file in places.items()})
    if resets:
        return Kept(read_runs(found, region_truths(sequences)), fps, resets=True)
    frames = {sequence.name: len(sequence) for sequence in sequences}
    boxes = results.read_results(found, frames, origin=origin_of(sequences))
    return Kept(boxes, fps)


def origin_of(sequences: Sequence[data.Sequence]) -> int:
    """Returns the coordinate of the first pixel in files of a data set."""
    (origin,) = {sequence.origin for sequence in sequences}
    return origin


def _tracker_sha256(bundle: Bundle) -> str:
    return json_sha256(
        {
            "weights": bundle.weights_sha256,
            "spec": spec_to_json(bundle.spec),
            "tracking": tracking_to_json(bundle.tracking),
        }
    )


def _data_sha256(sequences: Iterable[data.Sequence]) -> str:
    """Returns the SHA-256 of names, boxes, and names, sizes and dates of frames."""

    def parts() -> Iterator[bytes]:
        for sequence in sequences:
            yield f"{sequence.name!a} {sequence.origin} {len(sequence)}\n".encode()
            yield np.ascontiguousarray(sequence.boxes, np.float32).tobytes()
            for frame in sequence.frames:
                about = os.stat(frame)
                name = os.path.basename(frame)
                yield f"{name!a} {about.st_size} {about.st_mtime_ns}\n".encode()

    return parts_sha256(parts())
