"""Finds the reader of a data set that a user names as `LAYOUT:DIR`."""

import functools
from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from dst_jax.data.checks.lint import DataFault, LintReport, Problems
from dst_jax.data.readers.coco import read_coco
from dst_jax.data.readers.davis import read_davis
from dst_jax.data.readers.dtb70 import read_dtb70
from dst_jax.data.readers.got10k import read_got10k
from dst_jax.data.readers.imagenet import read_det, read_vid
from dst_jax.data.readers.lasot import read_lasot
from dst_jax.data.readers.my_folder import read_folder
from dst_jax.data.readers.nfs import read_nfs
from dst_jax.data.readers.otb import read_otb
from dst_jax.data.readers.tc128 import read_tc128
from dst_jax.data.readers.trackingnet import read_trackingnet
from dst_jax.data.readers.uav123 import read_uav123
from dst_jax.data.readers.vot import read_vot
from dst_jax.data.readers.ytbb import read_ytbb
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError


@runtime_checkable
class Reader(Protocol):
    """Reads a folder of one layout."""

    def __call__(
        self, root: str, *, frames_required: bool, problems: Problems
    ) -> tuple[Sequence, ...]:
        """Reads the sequences below `root`; faults go to `problems`."""
        ...


READERS: Mapping[str, Reader] = {
    "folder": read_folder,
    "otb": read_otb,
    "got10k": read_got10k,
    "lasot": read_lasot,
    "trackingnet": read_trackingnet,
    "uav123": read_uav123,
    "uav123-10fps": functools.partial(read_uav123, fps=10),
    "dtb70": read_dtb70,
    "nfs": read_nfs,
    "nfs-240": functools.partial(read_nfs, fps=240),
    "tc128": read_tc128,
    "vot": read_vot,
    "davis": read_davis,
    "vid": read_vid,
    "det": read_det,
    "ytbb": read_ytbb,
    "coco": read_coco,
}


def read_sequences(
    source: str, *, frames_required: bool = True
) -> tuple[Sequence, ...]:
    """Reads the sequences of `LAYOUT:DIR`, as `read_with_report` without its report."""
    return read_with_report(source, frames_required=frames_required)[0]


def read_with_report(
    source: str, *, frames_required: bool = True, problems: Problems | None = None
) -> tuple[tuple[Sequence, ...], LintReport]:
    """Reads `LAYOUT:DIR`, such as `otb:DIR`; `READERS` has the layouts.

    Args:
      source: Layout and folder.
      frames_required: If False, only annotations are read, and images may be missing.
      problems: Receives all faults; None raises the first instead.

    Returns:
      Sequences, whose `source` is the text given, and a report of what the reader left
      out.

    Raises:
      InputError: If the layout is unknown or the data set is faulty.
    """
    reader, root = reader_of(source)
    problems = problems or Problems()
    found = reader(root, frames_required=frames_required, problems=problems)
    sequences = _unique(found, source, problems)
    frames = sum(len(sequence) for sequence in sequences)
    return sequences, LintReport(tuple(problems.left_out), len(sequences), frames)


def reader_of(source: str) -> tuple[Reader, str]:
    """Returns the reader and the folder of `LAYOUT:DIR`.

    Raises:
      InputError: If `source` has another form or the layout is unknown.
    """
    layout, _, root = source.partition(":")
    reader = READERS.get(layout)
    if reader is None or not root:
        raise InputError(
            f"data set {source!r}: write LAYOUT:DIR, such as otb:DIR; the layouts are "
            f"{', '.join(READERS)}."
        )
    return reader, root


def _unique(
    sequences: Iterable[Sequence], source: str, problems: Problems
) -> tuple[Sequence, ...]:
    """Returns the sequences with each name once, because reports go by names."""
    found: dict[str, Sequence] = {}
    for sequence in sequences:
        with problems.reading(sequence.name):
            if sequence.name in found:
                raise DataFault(
                    "name twice",
                    f"{source} has two sequences {sequence.name!r}; rename one.",
                )
            found[sequence.name] = sequence
    return tuple(found.values())
