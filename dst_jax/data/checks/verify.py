"""Verification of a data set: it writes all faults into one report, for training.

It checks these rules, here with the kinds of their faults. Files of annotations can be
read ("unreadable data set", "unreadable annotation", "missing annotation", "missing
sequence"), and names differ ("name twice"). Boxes, labels and frames agree in number
("counts differ"). A box is finite, has an area and meets its frame, unless its target
is marked absent ("box is not finite", "box has no area", "box lies outside the frame").
Frames are there, in a clear order, decode and have the size of their video ("missing
frame", "frames in no clear order", "unreadable frame", "frame too large", "frame of
another size"). Something is left to train on ("nothing usable").
"""

import collections.abc
import dataclasses
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dst_jax.data.checks.lint import (
    BoxFilter,
    Fault,
    Finding,
    Problems,
    training_sequences,
)
from dst_jax.data.frames import frame_notes, read_frame
from dst_jax.data.image_file import check_frame
from dst_jax.data.readers import read_with_report, reader_of
from dst_jax.data.sequence import Sequence
from dst_jax.digests import parts_sha256
from dst_jax.errors import InputError
from dst_jax.files import read_json, user_path, write_json

FORMAT = 1
# A report names each faulty frame of a set of millions.
MAX_REPORT_BYTES = 256 * 10**6
# Number of frames of a sequence that are decoded, unless all are: the first, the last
# and one between them.
SAMPLE = 3
# Threads get this many files at a time: results of all files of a large data set would
# not fit into memory.
_CHUNK = 512
# Such a frame is worth a look but no reason to refuse: a video may fade to black.
ONE_COLOUR = "frame of one colour, used all the same"
# A function that is called with the number of files done and of all files.
Tick = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class VerifyReport:
    """The findings of a verification.

    Attributes:
      source: The data set, as `LAYOUT:DIR`, with an absolute path.
      faults: Faults that make training unsafe.
      left_out: Frames that documented rules leave out of training, or that are worth a
        look.
      sequences: Number of sequences that could be read.
      frames: Number of their frames.
      decoded: Number of images that were decoded.
      every_frame: Whether those are all images.
      fingerprint: Hash of names, counts and boxes, which tells the state of the data
        to which the report belongs.
    """

    source: str
    faults: tuple[Fault, ...]
    left_out: tuple[Finding, ...]
    sequences: int
    frames: int
    decoded: int
    every_frame: bool
    fingerprint: str


def verify(
    source: str,
    *,
    every_frame: bool = False,
    threads: int = 2,
    tick: Tick = lambda done, total: None,
) -> VerifyReport:
    """Reads a data set, decodes some or all of its frames, and reports all faults.

    Args:
      source: The data set, `LAYOUT:DIR`.
      every_frame: Whether every frame is decoded, rather than `SAMPLE` per sequence.
        Head, size and end of every file are looked at in any case.
      threads: Number of threads that decode.
      tick: Function that is told of progress.

    Returns:
      The report, however bad the data set is.

    Raises:
      InputError: If the layout is unknown.
    """
    reader_of(source)
    problems = Problems(strict=False)
    absolute = absolute_source(source)
    sequences: tuple[Sequence, ...] = ()
    try:
        sequences, _ = read_with_report(absolute, problems=problems)
    except (InputError, OSError) as error:
        # An error of the system does not always say where it comes from.
        problems.add(Fault("unreadable data set", str(InputError(error)), ""))
    uses = _uses(sequences)
    chosen = _chosen(sequences, every_frame)
    decoded = 0
    for number, seen in enumerate(_look_at_all(list(uses), chosen, threads), 1):
        decoded += seen.decoded
        for sequence, frame in uses[seen.path]:
            _add_faults(seen, sequence, frame, problems)
        tick(number, len(uses))
    _, lint = training_sequences(
        without_faults(sequences, problems.faults), BoxFilter()
    )
    if not lint.kept_sequences:
        message = f"{source} has no box fit for training; use another set."
        problems.add(Fault("nothing usable", message, ""))
    return VerifyReport(
        source=absolute,
        faults=tuple(problems.faults),
        left_out=(*problems.left_out, *lint.findings),
        sequences=len(sequences),
        frames=sum(len(sequence) for sequence in sequences),
        decoded=decoded,
        every_frame=every_frame,
        fingerprint=fingerprint(sequences),
    )


def absolute_source(source: str) -> str:
    """Returns the source with an absolute path, which holds in any working folder."""
    layout, colon, root = source.partition(":")
    return f"{layout}{colon}{user_path(root).resolve()}" if root else source


def fingerprint(sequences: Iterable[Sequence]) -> str:
    """Returns the SHA-256 of names, numbers of frames and boxes."""

    def parts() -> Iterator[bytes]:
        for sequence in sequences:
            # A name may hold bytes that are no UTF-8.
            name = f"{sequence.name}/{len(sequence.frames)}/"
            yield name.encode(errors="surrogatepass")
            yield np.ascontiguousarray(sequence.boxes, np.float32).tobytes()

    return parts_sha256(parts())


def without_faults(
    sequences: collections.abc.Sequence[Sequence], faults: Iterable[Fault]
) -> tuple[Sequence, ...]:
    """Returns sequences whose faulty frames are not visible.

    Sequences that have a fault of the whole are left out.
    """
    frames: dict[str, set[int]] = collections.defaultdict(set)
    whole: set[str] = set()
    for fault in faults:
        if fault.frame is None:
            whole.add(fault.sequence)
        else:
            frames[fault.sequence].add(fault.frame)
    kept: list[Sequence] = []
    for sequence in sequences:
        if sequence.name in whole:
            continue
        if bad := [n for n in frames.get(sequence.name, ()) if n < len(sequence)]:
            visible = sequence.visible.copy()
            visible[bad] = False
            sequence = dataclasses.replace(sequence, visible=visible)
        kept.append(sequence)
    return tuple(kept)


def _uses(sequences: Iterable[Sequence]) -> dict[str, list[tuple[Sequence, int]]]:
    """Returns the sequences and frames that use each file; targets may share one."""
    uses: dict[str, list[tuple[Sequence, int]]] = {}
    for sequence in sequences:
        for frame, path in enumerate(sequence.frames):
            uses.setdefault(path, []).append((sequence, frame))
    return uses


def _chosen(sequences: Iterable[Sequence], every_frame: bool) -> set[str]:
    """Returns the files that are decoded."""
    return {
        sequence.frames[frame]
        for sequence in sequences
        for frame in (
            range(len(sequence.frames))
            if every_frame
            else _sample(len(sequence.frames))
        )
    }


def _sample(count: int) -> list[int]:
    if not count:
        return []
    places = np.linspace(0, count - 1, min(SAMPLE, count))
    return np.unique(np.rint(places).astype(int)).tolist()


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at one file showed.

    Attributes:
      path: The file.
      size: (height, width), or None if only decoding would tell.
      decoded: Whether it was decoded.
      turn: EXIF orientation.
      problem: Kind and message of a fault, or None.
      notes: What is odd and no fault.
    """

    path: str
    size: tuple[int, int] | None = None
    decoded: bool = False
    turn: int = 1
    problem: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()


def _look_at_all(
    paths: collections.abc.Sequence[str], decoded: Collection[str], threads: int
) -> Iterator[_Seen]:
    """Looks at head and end of files, in order, and decodes some."""

    def look(path: str) -> _Seen:
        return _look(path, decode=path in decoded)

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for first in range(0, len(paths), _CHUNK):
            yield from pool.map(look, paths[first : first + _CHUNK])


def _look(path: str, *, decode: bool) -> _Seen:
    header, frame = None, None
    try:
        header = check_frame(path)
        frame = read_frame(path) if decode else None
    except InputError as error:
        problem = getattr(error, "kind", "unreadable frame"), str(error)
        return _Seen(path, decoded=header is not None, problem=problem)
    notes = frame_notes(header, frame=frame)
    size = header.height, header.width
    if frame is not None:
        size = frame.shape[0], frame.shape[1]
        notes += (ONE_COLOUR,) if (frame == frame[0, 0]).all() else ()
    # The decoder may turn a TIFF image.
    known = size if decode or header.kind != "TIFF" else None
    return _Seen(path, known, decode, header.turn, notes=notes)


def _add_faults(
    seen: _Seen, sequence: Sequence, frame: int, problems: Problems
) -> None:
    """Adds the faults and notes of a file to one frame of one sequence."""
    if seen.problem is not None:
        problems.add(Fault(*seen.problem, sequence.name, frame))
        return
    if seen.size and sequence.size and seen.size != sequence.size:
        (height, width), (h, w) = seen.size, sequence.size
        asks = ", which asks to be turned (EXIF)" if seen.turn != 1 else ""
        message = (
            f"frame {seen.path}{asks} has {width}x{height} px, its annotation is for "
            f"{w}x{h}; restore the file."
        )
        fault = Fault("frame of another size", message, sequence.name, frame)
        problems.add(fault)
    problems.left_out.extend(Finding(sequence.name, 1, note) for note in seen.notes)


def report_beside(source: str) -> pathlib.Path:
    """Returns the default path of a data set's report: DIR.verify.json beside DIR.

    Raises:
      InputError: If DIR is the root of all folders.
    """
    root = user_path(source.partition(":")[2]).resolve()
    if not root.name:
        raise InputError(
            f"{source}: nothing lies beside {root}; name a file (--report)."
        )
    return root.with_name(f"{root.name}.verify.json")


def save_report(report: VerifyReport, path: pathlib.Path) -> None:
    """Writes a report, whole or not at all."""
    values = dataclasses.asdict(report)
    write_json(path, {"format_version": FORMAT, **values})


def load_report(path: pathlib.Path) -> VerifyReport:
    """Reads a report.

    Raises:
      InputError: If the file is no report of a known format.
    """
    values: dict[str, Any] = read_json(path, most_bytes=MAX_REPORT_BYTES)
    version = values.pop("format_version", None)
    if version != FORMAT:
        raise InputError(
            f"{path}: format_version {version!r} is not {FORMAT}; verify again."
        )
    try:
        values["faults"] = tuple(Fault(**fault) for fault in values["faults"])
        values["left_out"] = tuple(Finding(**found) for found in values["left_out"])
        return VerifyReport(**values)
    except (KeyError, TypeError):
        raise InputError(f"{path} is no verification report; verify again.") from None
