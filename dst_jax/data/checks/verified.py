"""Reading for training: faults that verification found are refused or left out."""

import pathlib
from collections import Counter

from dst_jax.data.checks.lint import (
    Finding,
    LintReport,
    Problems,
)
from dst_jax.data.checks.verify import (
    VerifyReport,
    absolute_source,
    fingerprint,
    load_report,
    report_beside,
    without_faults,
)
from dst_jax.data.readers import read_with_report
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError, counted
from dst_jax.files import user_path


def read_verified(
    source: str, *, report: str = "", skip_bad: bool = False
) -> tuple[tuple[Sequence, ...], LintReport]:
    """Reads a data set as its verification report allows.

    Without a report the data set is read as it is, and the first fault raises an error.
    With a report that lists faults it is refused, or read without what is listed.

    Args:
      source: The data set, `LAYOUT:DIR`.
      report: File from `dst-jax data verify`; "" looks for `DIR.verify.json`.
      skip_bad: Whether to leave out what the report lists.

    Returns:
      Sequences, and a report of what was left out and why.

    Raises:
      InputError: If the data set is faulty and is not to be read without its faults, or
        the report is missing, of another data set or of another state of this one.
    """
    path = user_path(report) if report else report_beside(source)
    if not path.is_file():
        if skip_bad or report:
            raise InputError(
                f"{path}: no such report of {source}; make it with `dst-jax data "
                f"verify {source} --all`."
            )
        return read_with_report(source)
    found = load_report(path)
    if found.source != absolute_source(source):
        raise InputError(f"{path} is the report of {found.source}, not of {source}.")
    if not found.faults:
        return read_with_report(source)
    if not skip_bad:
        raise InputError(
            f"{source} has {counted(len(found.faults), 'fault')} ({path}; the "
            f"first: {found.faults[0].message}) Mend them and verify again, "
            "or leave them out with --skip-bad."
        )
    return _read_without(source, found, path)


def _read_without(
    source: str, report: VerifyReport, path: pathlib.Path
) -> tuple[tuple[Sequence, ...], LintReport]:
    sequences, read = read_with_report(source, problems=Problems(strict=False))
    if fingerprint(sequences) != report.fingerprint:
        raise InputError(
            f"{path} is of another state of {source}; run `dst-jax data verify "
            f"{source} --all` again."
        )
    kept = without_faults(sequences, report.faults)
    counts = Counter((f.sequence, f.frame is None, f.kind) for f in report.faults)
    lengths = {sequence.name: len(sequence) for sequence in sequences}
    listed = [
        # The number of frames of a sequence that cannot be read is not known.
        Finding(name, lengths.get(name, 0) if whole else count, f"{kind} ({path.name})")
        for (name, whole, kind), count in counts.items()
    ]
    if not report.every_frame:
        reason = f"nothing else, but {path.name} saw a sample of the frames alone"
        listed.append(Finding("", 0, reason))
    frames = sum(int(sequence.visible.sum()) for sequence in kept)
    return kept, LintReport((*read.findings, *listed), len(kept), frames)
