"""The results of a tracker, in memory and, if `--results-out` asks for it, on disk.

Each sequence's file is written as the sequence ends. Beside the files lies a record of
the tracker, and of each sequence's data and file. A run that was stopped goes on with
what it proves.
"""

import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from dst_jax.workflows.pace import Conditions, Pace, pace_from_json, pace_json
from dst_jax.workflows.resets import region_truths

RECORD = "evaluation.json"
_FORMAT = 2
_OTHERS = {
    "format_version": "another release",
    "tracker": "another tracker",
    "resets": "a protocol with other restarts",
}
_MEND = "remove the folder or name another"


class Results:
    """What one tracker did on a data set, as far as it is known.

    What an earlier call has written to the folder is there from the beginning.

    Args:
      bundle: The tracker.
      sequences: The data set.
      on: Conditions of the speed.
      folder: Folder for the files; None for none.
      resets: Whether the tracker is started anew where it fails.

    Attributes:
      boxes: Boxes (cx, cy, w, h) by sequence, as the files hold them; of a tracker
        that is started anew where it fails, its runs.
      pace: How fast they were made; of an earlier call's only if conditions are equal,
        or nothing is left to do.
      failed: Why files are not written any more; None if they are.

    Raises:
      InputError: If the folder holds boxes of another tracker or other data, or some
        that were changed.
    """

    def __init__(
        self,
        bundle: Bundle,
        sequences: Sequence[data.Sequence],
        *,
        on: Conditions,
        folder: pathlib.Path | None = None,
        resets: bool = False,
    ):
        self.boxes: dict[str, Any] = {}
        self.pace = Pace(on)
        self.failed: OSError | InputError | None = None
        self._folder, self._resets = folder, resets
        self._sequences = {sequence.name: sequence for sequence in sequences}
        if folder is None:
            return
        self._identity = _identity(bundle, resets=resets)
        self._kept: dict[str, dict[str, str]] = {}
        if (folder / RECORD).is_file():
            self._read(folder)

    @property
    def missing(self) -> list[data.Sequence]:
        """Returns the sequences of which nothing is known yet."""
        return [s for name, s in self._sequences.items() if name not in self.boxes]

    def add(self, name: str, found: Any) -> None:
        """Adds what the tracker did on a sequence, and writes its file.

        Scores are worth more than files: an error of writing is kept in `failed`, and
        nothing is written from then on.

        Args:
          name: Name of the sequence.
          found: Boxes, or runs.
        """
        self.boxes[name] = found
        if self._folder is None:
            return
        if not self._resets:  # a run holds what its file does
            self.boxes[name] = results.as_written(found, origin=self._origin)
        if self.failed is not None:
            return
        self._try(self._write, self._folder, name, found)

    def finish(self) -> None:
        """Writes the record again, with the speed of all sequences."""
        if self._folder is not None and self._kept and self.failed is None:
            self._try(self._write_record, self._folder)

    def _try(self, write: Callable[..., None], *given: Any) -> None:
        try:
            write(*given)
        except (OSError, InputError) as error:
            self.failed = error

    @property
    def _origin(self) -> int:
        return origin_of(list(self._sequences.values()))

    def _write(self, folder: pathlib.Path, name: str, found: Any) -> None:
        if self._resets:
            (run,) = found
            text = run_text(run)
        else:
            text = results.result_text(found, origin=self._origin)
        path = folder / self._file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self._kept:
            self._write_record(folder)  # files without a record would be refused
        files.write_text(path, text)
        self._kept[name] = {
            "data": _data_sha256(self._sequences[name]),
            "file": bytes_sha256(text.encode()),
        }
        self._write_record(folder)

    def _write_record(self, folder: pathlib.Path) -> None:
        record = {
            **self._identity,
            "sequences": self._kept,
            "pace": pace_json(self.pace),
        }
        files.write_json(folder / RECORD, record)

    def _file(self, name: str) -> str:
        return run_file(name) if self._resets else f"{name}.txt"

    def _read(self, folder: pathlib.Path) -> None:
        """Takes up what an earlier call has written."""
        path = folder / RECORD
        record = files.read_json(path)
        for field, what in _OTHERS.items():
            if record.get(field) != self._identity.get(field):
                raise _other(folder, what)
        try:
            self._kept, pace = _kept(record.get("sequences")), record.get("pace")
            earlier = pace_from_json(pace)
        except InputError as error:
            raise InputError(f"{path}: {error} {_MEND.capitalize()}.") from None
        places = {}
        for name, digests in self._kept.items():
            sequence = self._sequences.get(name)
            if sequence is None or _data_sha256(sequence) != digests["data"]:
                raise _other(folder, "other data")
            places[name] = folder / self._file(name)
            if (
                not places[name].is_file()
                or file_sha256(places[name]) != (digests["file"])
            ):
                raise InputError(f"{places[name]} is not as it was written; {_MEND}.")
        self.boxes = self._read_files(folder, places)
        if earlier.on == self.pace.on or not self.missing:
            self.pace = earlier

    def _read_files(
        self, folder: pathlib.Path, places: Mapping[str, pathlib.Path]
    ) -> dict[str, Any]:
        found = ResultFiles(folder, {name: (file,) for name, file in places.items()})
        known = {name: self._sequences[name] for name in places}
        if self._resets:
            return dict(read_runs(found, region_truths(known.values())))
        frames = {name: len(sequence) for name, sequence in known.items()}
        if not known:
            return {}
        return dict(results.read_results(found, frames, origin=self._origin))


def require_results_place(folder: pathlib.Path, *, space: int = 0) -> None:
    """Returns if a tracker's results can be written to a folder, or taken from it.

    Args:
      folder: The folder.
      space: Bytes that they will need, roughly.

    Raises:
      InputError: If it holds something without a record, or cannot be written.
    """
    if not (folder / RECORD).is_file():
        results.require_new(folder)
    files.require_place(folder / RECORD, space=space)


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


def origin_of(sequences: Sequence[data.Sequence]) -> int:
    """Returns the coordinate of the first pixel in files of a data set."""
    (origin,) = {sequence.origin for sequence in sequences}
    return origin


def _identity(bundle: Bundle, *, resets: bool) -> dict[str, object]:
    """Returns the part of a record by which results are told from others'."""
    tracker = {
        "weights": bundle.weights_sha256,
        "spec": spec_to_json(bundle.spec),
        "tracking": tracking_to_json(bundle.tracking),
    }
    return {
        "format_version": _FORMAT,
        "tracker": json_sha256(tracker),
        **({"resets": True} if resets else {}),
    }


def _other(folder: pathlib.Path, what: str) -> InputError:
    return InputError(
        f"results folder {folder} holds boxes of {what}, says {RECORD}; {_MEND}."
    )


def _kept(values: Any) -> dict[str, dict[str, str]]:
    """Returns the digests of data and file by sequence, after a look at them."""
    sound = isinstance(values, dict) and all(
        isinstance(one, dict)
        and one.keys() == {"data", "file"}
        and all(isinstance(digest, str) for digest in one.values())
        for one in values.values()
    )
    if not sound:
        raise InputError("sequences: holds something else than digests.")
    return values


def _data_sha256(sequence: data.Sequence) -> str:
    """Returns the SHA-256 of name, boxes, and names, sizes and dates of frames."""

    def parts() -> Iterator[bytes]:
        yield f"{sequence.name!a} {sequence.origin} {len(sequence)}\n".encode()
        yield np.ascontiguousarray(sequence.boxes, np.float32).tobytes()
        for frame in sequence.frames:
            about = os.stat(frame)
            name = os.path.basename(frame)
            yield f"{name!a} {about.st_size} {about.st_mtime_ns}\n".encode()

    return parts_sha256(parts())
