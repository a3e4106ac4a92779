"""Archives of boxes as the servers of TrackingNet and GOT-10k take them."""

import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dst_jax.data import sequence as data
from dst_jax.errors import InputError
from dst_jax.evaluate.results import result_text
from dst_jax.files import remove_leftovers, require_place, user_path, whole_file
from dst_jax.typing import Float
from dst_jax.workflows.kept_results import origin_of, require_file_names

_LAYOUTS = ("trackingnet", "got10k")
# An archive says when a file was written; a fixed time makes equal boxes equal bytes.
_WRITTEN = (1980, 1, 1, 0, 0, 0)


def require_submission(
    archive: str | os.PathLike[str], dataset: str, *, trackers: int
) -> None:
    """Returns if an archive can be written; called before any work.

    Args:
      archive: The file to write.
      dataset: Layout and folder, such as "got10k:DIR".
      trackers: Number of trackers.

    Raises:
      InputError: If no server takes boxes of this data set, there are several
        trackers, the name does not end in .zip, or the place cannot be written.
    """
    path = user_path(archive)
    layout = dataset.partition(":")[0]
    if layout not in _LAYOUTS:
        raise InputError(
            f"--submit: no server takes boxes of {layout}; it is for trackingnet:DIR "
            "and got10k:DIR."
        )
    if trackers != 1:
        raise InputError(f"--submit: {trackers} trackers; an archive holds one.")
    if path.suffix.lower() != ".zip":
        raise InputError(f"--submit {archive}: must end in .zip.")
    if path.is_dir():
        raise InputError(f"--submit {archive}: is a folder; name a file.")
    require_place(path)
    remove_leftovers(path.parent)


def write_submission(
    archive: str | os.PathLike[str],
    boxes: Mapping[str, Mapping[str, Float[np.ndarray, "*repeats _ 4"]]],
    fps: Mapping[str, float],
    sequences: Sequence[data.Sequence],
) -> None:
    """Writes the boxes of the only tracker, whole or not at all.

    TrackingNet's server takes `VIDEO.txt` of every video. GOT-10k's takes
    `SEQUENCE/SEQUENCE_001.txt` of every run, and `SEQUENCE_time.txt` with seconds per
    frame, for which the mean over all frames stands.

    Args:
      archive: The file to write.
      boxes: Boxes (cx, cy, w, h) by tracker and sequence.
      fps: Frames per second by tracker, where they are known.
      sequences: The data set.

    Raises:
      InputError: If a sequence cannot give its name to a file.
      OSError: If the archive cannot be written.
    """
    ((tracker, found),) = boxes.items()
    require_file_names(sequences)
    layout = sequences[0].source.partition(":")[0]
    texts = _trackingnet if layout == "trackingnet" else _got10k
    path = user_path(archive)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for name, text in texts(found, origin_of(sequences), fps.get(tracker)):
            entry = zipfile.ZipInfo(name, _WRITTEN)
            file.writestr(entry, text, zipfile.ZIP_DEFLATED)


def _trackingnet(
    boxes: Mapping[str, Float[np.ndarray, "*repeats _ 4"]],
    origin: int,
    fps: float | None,
) -> Iterator[tuple[str, str]]:
    for name, runs in boxes.items():
        first = runs if runs.ndim == 2 else runs[0]
        yield f"{name}.txt", result_text(first, origin=origin)


def _got10k(
    boxes: Mapping[str, Float[np.ndarray, "*repeats _ 4"]],
    origin: int,
    fps: float | None,
) -> Iterator[tuple[str, str]]:
    for name, found in boxes.items():
        runs = found if found.ndim == 3 else found[None]
        for number, run in enumerate(runs, 1):
            text = result_text(run, origin=origin)
            yield f"{name}/{name}_{number:03d}.txt", text
        if fps is not None:
            line = ",".join([f"{1 / fps:.8f}"] * len(runs)) + "\n"
            yield f"{name}/{name}_time.txt", line * runs.shape[1]
