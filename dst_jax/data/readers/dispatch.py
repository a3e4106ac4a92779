"""From what a user writes, `LAYOUT:DIR`, to the reader of that layout."""

from dst_jax.data.lint import LintReport
from dst_jax.data.readers.coco import read_coco_with_report
from dst_jax.data.readers.got10k import read_got10k
from dst_jax.data.readers.otb import read_otb
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError


def read_sequences(
    source: str, *, frames_required: bool = True
) -> tuple[Sequence, ...]:
    """The sequences of `read_with_report`, without the report."""
    return read_with_report(source, frames_required=frames_required)[0]


def read_with_report(
    source: str, *, frames_required: bool = True
) -> tuple[tuple[Sequence, ...], LintReport]:
    """Reads `otb:DIR`, `got10k:DIR` or `coco:DIR`.

    Args:
      source: Layout and folder.
      frames_required: If False, only annotations are read, and images may be missing.

    Returns:
      Sequences, whose `source` is the text given, and what the reader left out.

    Raises:
      InputError: If the layout is unknown or the data set is faulty.
    """
    layout, colon, root = source.partition(":")
    match layout if colon and root else "":
        case "otb":
            sequences = read_otb(root, frames_required=frames_required)
        case "got10k":
            sequences = read_got10k(root, frames_required=frames_required)
        case "coco":
            return read_coco_with_report(root, frames_required=frames_required)
        case _:
            raise InputError(
                f"data set {source!r}: write otb:DIR, got10k:DIR or coco:DIR."
            )
    frames = sum(len(sequence) for sequence in sequences)
    return sequences, LintReport((), len(sequences), frames)
