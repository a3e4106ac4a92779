"""`dst-jax data verify` prints and reports what is wrong with a data set."""

import functools
import inspect
import os
import pathlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from dst_jax.data.checks.verify import VerifyReport, report_beside, save_report, verify
from dst_jax.data.packs.packed import is_packed, open_pack, read_pack
from dst_jax.data.readers import READERS, reader_of
from dst_jax.errors import InputError, counted
from dst_jax.files import require_place, user_path
from dst_jax.workflows.printing import say, shown


def verify_data(
    source: str,
    *,
    every_frame: bool,
    report_path: pathlib.Path | None,
    console: Console,
) -> VerifyReport | None:
    """Verifies a data set, prints what was found and writes the report.

    For a pack every record is decoded, and no report is written, because a damaged pack
    has to be packed again.

    Args:
      source: The data set, `LAYOUT:DIR` or `packed:DIR`.
      every_frame: Whether every frame is decoded, rather than a few per sequence.
      report_path: Path of the report; None for `DIR.verify.json` beside the folder,
        where training looks for it.
      console: Console for table and progress.

    Returns:
      The report, if it lists no fault; None for a pack.

    Raises:
      InputError: If layout or folder do not exist, there are faults, or a pack is to
        have a report.
    """
    if is_packed(source):
        if report_path is not None:
            raise InputError(
                "--report: a pack has none; what is damaged is packed again. Leave it "
                "out."
            )
        return _verify_pack(source, console)
    _, root = reader_of(source)
    if not user_path(root).is_dir():
        raise InputError(f"data set {source}: folder {root} does not exist.")
    path = user_path(report_path) if report_path else report_beside(source)
    if path.is_dir():
        raise InputError(f"--report {path} is a folder; name a file.")
    require_place(path)
    with _bar(console) as tick:
        threads = os.cpu_count() or 1
        report = verify(source, every_frame=every_frame, threads=threads, tick=tick)
    # What was found is printed whatever becomes of the file.
    _print(report, console)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_report(report, path)
    say(console, f"report: {path}")
    if report.faults:
        many = counted(len(report.faults), "fault")
        raise InputError(
            f"{source} is not safe to train on: {many}; "
            "mend and verify again, or train with --skip-bad."
        )
    return report


def _verify_pack(source: str, console: Console) -> None:
    """Reads the index of a pack and decodes every record."""
    read_pack(source)
    pack = open_pack(source)
    with _bar(console) as tick:
        damaged = pack.damaged(threads=os.cpu_count() or 1, tick=tick)
    count = len(pack.records)
    say(console, f"{counted(count, 'record')} decoded; {len(damaged):,} damaged")
    if damaged:
        raise InputError(f"{damaged[0]} {len(damaged)} of {count} are damaged.")


def print_layouts(console: Console) -> None:
    """Prints every layout with the first line of its reader's documentation."""
    width = max(map(len, READERS)) + len(":DIR")
    for name, reader in READERS.items():
        read = reader.func if isinstance(reader, functools.partial) else reader
        about = (inspect.getdoc(inspect.getmodule(read)) or "").splitlines()[0]
        say(console, f"{name + ':DIR':<{width}}  {about}")


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown_on = {"console": console, "disable": not console.is_terminal}
    with Progress("decode", *columns, **shown_on, transient=True) as progress:
        task = progress.add_task("decode", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print(report: VerifyReport, console: Console) -> None:
    """Prints a row per kind of fault: count, number of sequences and first example."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column("what")
    table.add_column("count", justify="right")
    table.add_column("in", justify="right")
    table.add_column("first", overflow="fold")
    for kind in dict.fromkeys(fault.kind for fault in report.faults):
        found = [fault for fault in report.faults if fault.kind == kind]
        names = {fault.sequence for fault in found}
        row = (kind, f"{len(found):,}", f"{len(names):,}", found[0].message)
        table.add_row(shown("fault", style="red"), *map(shown, row))
    for reason in dict.fromkeys(finding.reason for finding in report.left_out):
        notes = [f for f in report.left_out if f.reason == reason]
        names = {finding.sequence for finding in notes}
        frames = sum(finding.frames for finding in notes)
        row = (reason, f"{frames:,}", f"{len(names):,}", notes[0].sequence)
        table.add_row("note", *map(shown, row))
    if table.row_count:
        console.print(table)
    how = "all" if report.every_frame else "a sample; --all decodes every frame"
    say(
        console,
        f"{counted(report.sequences, 'sequence')}, {counted(report.frames, 'frame')}; "
        f"size and end of every file looked at, {counted(report.decoded, 'image')} "
        f"decoded ({how}); {counted(len(report.faults), 'fault')}",
    )
