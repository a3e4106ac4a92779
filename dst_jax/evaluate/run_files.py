"""Reading and writing the raw files of runs with restarts, as VOT's kits have them.

`baseline/<sequence>/<sequence>_001.txt` has a line per frame: 1 where the tracker
starts from the truth, 2 where it fails, 0 where it waits for the next start, else its
region.
"""

import os
from collections.abc import Mapping

import numpy as np

from dst_jax.data.readers.tables import LINE_LENGTH, read_lines, require_size
from dst_jax.errors import InputError
from dst_jax.evaluate.restarts import RegionTruth, Run, run_overlaps
from dst_jax.evaluate.result_folders import ResultFiles
from dst_jax.evaluate.results import require_count
from dst_jax.regions import (
    FAILED,
    NOWHERE,
    START,
    region_of_line,
    region_text,
)

EXPERIMENT = "baseline"
"""What VOT's kits call the experiment with restarts, and its folder."""


def run_file(sequence: str) -> str:
    """Returns where in a tracker's folder the file of a sequence lies."""
    return f"{EXPERIMENT}/{sequence}/{sequence}_001.txt"


def run_text(run: Run) -> str:
    """Returns what the file of a run holds."""
    return "".join(f"{region_text(region)}\n" for region in run)


def read_runs(
    found: ResultFiles, truths: Mapping[str, RegionTruth]
) -> dict[str, tuple[Run, ...]]:
    """Reads all runs of every sequence of a data set.

    Args:
      found: The files, as `find_results` finds them.
      truths: Annotation of each sequence.

    Raises:
      InputError: If `read_run` refuses a file.
    """
    return {
        name: tuple(read_run(file, truths[name]) for file in files)
        for name, files in found.files.items()
    }


def read_run(path: str | os.PathLike[str], truth: RegionTruth) -> Run:
    """Reads one file of a run.

    A file of regions alone, without the first line's 1, is taken too if they overlap
    the truth in every frame: restarts would have changed nothing.

    Args:
      path: The file.
      truth: Annotation of its sequence.

    Raises:
      InputError: If the file is missing, a line is no region or code, codes are in an
        impossible order, or the number of lines is not that of the frames.
    """
    frames = len(truth.regions)
    require_size(path, LINE_LENGTH * (frames + 1000), f"{frames} regions")
    lines = read_lines(path)
    require_count(path, len(lines), frames, "a region or code")
    run = tuple(region_of_line(path, i, line) for i, line in enumerate(lines, 1))
    if len(run[0]) == 1:
        _require_order(path, run)
        return run
    whole = (START, *run[1:])
    _require_order(path, whole)
    lost = np.flatnonzero(~(run_overlaps(whole, truth)[1:] > 0.0))
    if lost.size:
        raise InputError(
            f"{path} line {lost[0] + 2}: the region overlaps the truth no more, but "
            "line 1 has no 1, as where a tracker is started anew; give a run with "
            "restarts, or score this one by --protocol otb."
        )
    return whole


def _require_order(path: str | os.PathLike[str], run: Run) -> None:
    """Raises an error if a code or region stands where none can."""
    runs = False
    for number, region in enumerate(run, 1):
        if runs:
            fits, where = len(region) > 1 or region == FAILED, "runs, not a region or 2"
        else:
            fits, where = region in (NOWHERE, START), "waits for a start, not 0 or 1"
        if not fits:
            raise InputError(
                f"{path} line {number}: {region_text(region)} where the tracker "
                f"{where}; restore the file."
            )
        runs = region != FAILED and (runs or region == START)
    if START not in run:
        raise InputError(f"{path}: no line has a 1, a start; restore the file.")
